"""Answers of a trained instance network, one photo at a time, in the photo's own pixels."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from stages.bestie import network
from stages.bestie.config import Config
from stages.bestie.data import Marks
from stages.bestie.grouping import counted, find_centers, group, together
from stages.bestie.labels import Points
from stages.bestie.refine import allowed_classes, columns_of, located, mean_of, of_class, refined
from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder
from tag2mask.learn.backbone import normalise
from tag2mask.learn.crops import resize
from tag2mask.learn.loop import on_cpu, start
from tag2mask.run.config import parse

CELL = 32  # the network takes sides that are multiples of it
AT_ONCE = 8  # photos that go through the network at once, on a GPU


def load(weights, *, device="cpu", **test):
    """(model in evaluation mode on `device`, its Config, (K,) int64 category ids by column) from Weights of kind
    "bestie"; test: values of Config.TEST.

    Raises UserError when the tensors are not those of the network that the file describes.
    """
    config = parse(Config, {**weights.meta["config"], **test, "weights": "none"}, where="the weights' bestie")
    ids = np.array(sorted(map(int, weights.meta["categories"])), np.int64)
    model, _, _ = network.build(config, len(ids), seed=0)
    weights.fill(model)
    return model.to(device).eval(), config, ids


class Shown(NamedTuple):
    """A photo to answer. name : its id. photo : (h, w, 3) uint8 RGB, perhaps smaller than its own size (H, W). tags :
    category ids that it may show, or None: any. points : Marks in pixels of `size`, its centres, or None."""

    name: str
    photo: np.ndarray
    size: Sequence[int]
    tags: Collection[int] | None = None
    points: Marks | None = None


@torch.no_grad()
def photo_instances(model, photos, ids, *, config, mean, std, rule="test"):
    """Instances of photos, none over another, at their own sizes.

    photos : list of B Shown whose photos have one size, all with points or none. ids : (K,) int64, the category of each
    of the network's columns. Returns B times (masks, list of n RLE dicts, columns (n,) int64 in [0, K), scores (n,)
    float32 in [0, 1]); masks come back to the photo's own size by nearest pixels, empty ones are left out. rule "test":
    photos enter at config.test_size and are averaged with their mirror images (config.test_flip); see `answers`. rule
    "refine": the labels that training makes for itself of the network's own foreground, at scale 1
    (`refine.refined`), score = weight. Sources: BESTIE, Sec. 3.2, 3.5, Eq. 1; mirror image: its released code.
    """
    test = rule == "test"
    probability, center, offset = maps_of(
        model, np.stack([one.photo for one in photos]), mean=mean, std=std,
        size=entering(photos[0].photo.shape[:2], scale=config.test_size if test else 1.0, side=config.side),
        flip=test and config.test_flip,
    )  # fmt: skip
    device, inside = probability.device, probability.shape[2:]
    tags = (ids if one.tags is None else list(one.tags) for one in photos)
    allowed = torch.from_numpy(np.stack([np.isin(ids, some) for some in tags])).to(device)
    points = None
    if photos[0].points is not None:
        entered = [entering_points(one.points, one.size, inside, photo=b) for b, one in enumerate(photos)]
        points = Points(*(torch.cat(parts).to(device) for parts in zip(*entered)))
    if test:
        number, photo, column, score = answers(probability, center, offset, allowed, config=config, points=points)
    else:
        found = refined(probability, center, offset, allowed, config=config, points=points)
        number, photo, column, score = found.number, found.photo, found.column, found.weight
    number, photo, column, score = (one.cpu().numpy() for one in (number, photo, column, score))
    return [of_photo(number[b], np.flatnonzero(photo == b), column, score, one.size) for b, one in enumerate(photos)]


def of_photo(number, rows, column, score, size):
    """(masks, list of RLE dicts, columns, scores) of the instances `rows` of a batch that have a pixel at `size`.

    number : (h, w) int64 of one photo, 0 or 1 + the row.
    """
    own = np.zeros(len(column) + 1, np.int64)
    own[1 + rows] = np.arange(1, len(rows) + 1)
    masks = rle.of_numbers(own[number], len(rows), size)
    seen = np.flatnonzero(rle.area(masks))
    return [masks[n] for n in seen], column[rows[seen]], score[rows[seen]]


def entering(size, *, scale, side):
    """(h, w) at which a photo of `size` enters: its longer side at most `side` pixels (None: any), then scaled."""
    factor = scale * (1.0 if side is None else min(1.0, side / max(size)))
    return tuple(max(1, round(edge * factor)) for edge in size)


def entering_points(marks, size, inside, *, photo):
    """Points of the photo of `size` = (H, W) at place `photo` of a batch, in pixels of its maps of size `inside`."""
    yx = torch.from_numpy((marks.yx + 0.5) * np.divide(inside, size) - 0.5).float().reshape(-1, 2)
    column, score = torch.from_numpy(marks.column).long(), torch.from_numpy(marks.score).float()
    return Points(torch.full_like(column, photo), column, yx[:, 0], yx[:, 1], score)


def maps_of(model, photos, *, mean, std, size, flip):
    """(softmax (B, K + 1, h, w), centre (B, K, h, w), offset (B, 2, h, w)) of photos (B, H, W, 3) scaled to `size` =
    (h, w).

    The mean colour fills the sides up to whole cells. With `flip` the mean with the mirrored photos' maps, mirrored
    back: the offset along x changes its sign.
    """
    x = normalise(np.stack([resize(one, size) for one in photos]), mean, std, device=next(model.parameters()).device)
    found = None
    for mirrored in (False, True) if flip else (False,):
        padded = functional.pad(x.flip(3) if mirrored else x, (0, -size[1] % CELL, 0, -size[0] % CELL))
        output = model(padded.contiguous(memory_format=torch.channels_last))
        maps = [value[:, :, : size[0], : size[1]] for value in (output.semantic.softmax(1), *output[1:])]
        if mirrored:
            maps = [value.flip(3) for value in maps]
            maps[2] = maps[2] * maps[2].new_tensor([1.0, -1.0]).view(1, 2, 1, 1)
            maps = [(one + other) / 2 for one, other in zip(found, maps)]
        found = maps
    return found


def answers(probability, center, offset, allowed, *, config, points=None):
    """(number (B, h, w) int64, photo (n,) int64, column (n,) int64, score (n,) float32 in [0, 1]) by the rule "test" of
    photo_instances.

    number : 0, or 1 + the row of the instance. photo : its place in the batch. allowed : (B, K) bool. points : Points
    or None.
    Regions and centres are those of the refinement (`refine.located`), down to config.test_threshold; a component
    without any is one instance (config.test_whole). An instance's score is its centre's value times the mean
    probability of its class over its pixels; one of fewer than config.min_area pixels is left out. Source: BESTIE's
    released code; the least area of an instance is ours.
    """
    number, classes, centers, count = located(
        allowed_classes(probability, allowed), center, offset, points, threshold=config.test_threshold,
        most=config.test_most, config=config,
    )  # fmt: skip
    if config.test_whole and points is None:
        centers = with_whole(centers, of_class(center, classes), number, count=count)
    number = group(number, offset, centers, count=count)
    place = number.flatten().nonzero()[:, 0]
    row = number.flatten()[place] - 1
    rows = len(centers.region)
    column = columns_of(classes, place, row, rows)
    mean = mean_of(of_class(probability[:, 1:], classes).flatten()[place], row, rows)
    kept = counted(row, rows) >= config.min_area
    renumbered = torch.cat([kept.new_zeros(1, dtype=torch.int64), torch.where(kept, kept.cumsum(0), 0)])
    return renumbered[number], centers.photo[kept], column[kept], (centers.value.clamp(0, 1) * mean)[kept]


def with_whole(centers, value, number, *, count):
    """`centers`, and the pixel of the largest value for every region that has none."""
    has = torch.zeros(count + 1, dtype=torch.bool, device=number.device)
    has[centers.region] = True
    more = find_centers(value, torch.where(has[number], 0, number), count=count, window=1, threshold=-torch.inf, most=1)
    return together(centers, more)


def predict_photos(photos, weights, *, config, job, count=None):
    """Instances table of `photos`, an iterable as of `instances_of`.

    config : Config whose Config.TEST are used, or None for those that it was trained with, defaults for those that
    only testing reads.
    """
    start(job)
    test = {} if config is None else config.model_dump(include=Config.TEST)
    model, config, _ = load(weights, device=job.device, **test)
    return instances_of(
        model, job.progress(photos, total=count, what="BESTIE"), config=config, mean=weights.meta["mean"],
        std=weights.meta["std"], categories={int(c): name for c, name in weights.meta["categories"].items()},
        at_once=at_once(job),
    )  # fmt: skip


def at_once(job):
    """How many photos of one size go through the network together."""
    return 1 if on_cpu(job) else AT_ONCE


def instances_of(model, photos, *, config, mean, std, categories, rule="test", at_once=1):
    """Instances table of `photos`, an iterable of Shown, in their order. categories : {id: name}, the model's classes.
    rule : see `photo_instances`. at_once : so many photos of one size in a row go through the network together."""
    ids, table = np.array(sorted(categories), np.int64), InstancesBuilder(categories)
    for some in in_a_row(photos, at_once):
        found = photo_instances(model, some, ids, config=config, mean=mean, std=std, rule=rule)
        for one, (masks, columns, scores) in zip(some, found):
            table.add(one.name, one.size, masks, category=ids[columns], score=scores)
    return table.finish()


def in_a_row(photos, most):
    """Lists of at most so many successive Shown whose photos have one size, all with points or none."""
    some = []
    for one in photos:
        if some and (len(some) == most or kind(one) != kind(some[0])):
            yield some
            some = []
        some.append(one)
    if some:
        yield some


def kind(shown):
    """What is alike of photos that go through the network together."""
    return shown.photo.shape, shown.points is None
