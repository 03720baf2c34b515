"""Answers of a trained instance network, one photo at a time, in the photo's own pixels."""

import numpy as np
import torch
from torch.nn import functional

from stages.bestie import network
from stages.bestie.config import Config
from stages.bestie.grouping import counted, find_centers, group, together
from stages.bestie.labels import Points
from stages.bestie.refine import allowed_classes, columns_of, located, mean_of, of_class, refined
from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder
from tag2mask.learn.backbone import normalise
from tag2mask.learn.crops import resize
from tag2mask.learn.loop import start
from tag2mask.run.config import parse

CELL = 32  # the network takes sides that are multiples of it


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


@torch.no_grad()
def photo_instances(model, photo, *, size, config, mean, std, tags=None, points=None, rule="test"):
    """Instances of one photo (h, w, 3) uint8 RGB, none over another, at its own `size` (H, W); (h, w) may be less.

    tags : (K,) bool, the classes that may be found, None: all. points : Marks in pixels of `size`, which are the
    centres then, or None. Returns (masks, list of n RLE dicts, columns (n,) int64 in [0, K), scores (n,) float32 in
    [0, 1]); masks come back to `size` by nearest pixels, empty ones are left out. rule "test": the photo enters at
    config.test_size and is averaged with its mirror image (config.test_flip); see `answers`. rule "refine": the labels
    that training makes for itself of the network's own foreground, at scale 1 (`refine.refined`), score = weight.
    Sources: BESTIE, Sec. 3.2, 3.5, Eq. 1; mirror image: its released code.
    """
    test = rule == "test"
    probability, center, offset = maps_of(
        model, photo, mean=mean, std=std,
        size=entering(photo.shape[:2], scale=config.test_size if test else 1.0, side=config.side),
        flip=test and config.test_flip,
    )  # fmt: skip
    device = probability.device
    allowed = torch.ones(center.shape[1], dtype=torch.bool) if tags is None else torch.as_tensor(tags, dtype=torch.bool)
    allowed = allowed.to(device)[None]
    if points is not None:
        points = entered(points, size, probability.shape[2:], device=device)
    if test:
        number, column, score = answers(probability, center, offset, allowed, config=config, points=points)
    else:
        found = refined(probability, center, offset, allowed, config=config, points=points)
        number, column, score = found.number, found.column, found.weight
    masks = rle.of_numbers(number[0].cpu().numpy(), len(column), size)
    seen = np.flatnonzero(rle.area(masks))
    return [masks[n] for n in seen], column.cpu().numpy()[seen], score.cpu().numpy()[seen]


def entering(size, *, scale, side):
    """(h, w) at which a photo of `size` enters: its longer side at most `side` pixels (None: any), then scaled."""
    factor = scale * (1.0 if side is None else min(1.0, side / max(size)))
    return tuple(max(1, round(edge * factor)) for edge in size)


def entered(marks, size, inside, *, device):
    """Points of one photo of `size` = (H, W) in the pixels of its maps of size `inside`."""
    yx = torch.from_numpy((marks.yx + 0.5) * np.divide(inside, size) - 0.5).float().reshape(-1, 2)
    column, score = torch.from_numpy(marks.column).long(), torch.from_numpy(marks.score).float()
    return Points(*(one.to(device) for one in (torch.zeros_like(column), column, yx[:, 0], yx[:, 1], score)))


def maps_of(model, photo, *, mean, std, size, flip):
    """(softmax (1, K + 1, h, w), centre (1, K, h, w), offset (1, 2, h, w)) of a photo scaled to `size` = (h, w).

    The mean colour fills the sides up to whole cells. With `flip` the mean with the mirrored photo's maps, mirrored
    back: the offset along x changes its sign.
    """
    x = normalise(resize(photo, size)[None], mean, std, device=next(model.parameters()).device)
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
    """(number (1, h, w) int64, column (n,) int64, score (n,) float32 in [0, 1]) by the rule "test" of photo_instances.

    number : 0, or 1 + the row of the instance. allowed : (1, K) bool. points : Points or None.
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
    return renumbered[number], column[kept], (centers.value.clamp(0, 1) * mean)[kept]


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
    )  # fmt: skip


def instances_of(model, photos, *, config, mean, std, categories, rule="test"):
    """Instances table of `photos`: an iterable of (image id, (h, w, 3) uint8 RGB, its own size (H, W), category ids it
    may show or None, Marks that are its centres or None). categories : {id: name}, the model's classes. rule : see
    `photo_instances`."""
    ids, table = np.array(sorted(categories), np.int64), InstancesBuilder(categories)
    for name, photo, size, allowed, points in photos:
        tags = None if allowed is None else np.isin(ids, list(allowed))
        masks, columns, scores = photo_instances(
            model, photo, size=size, config=config, mean=mean, std=std, tags=tags, points=points, rule=rule
        )
        table.add(name, size, masks, category=ids[columns], score=scores)
    return table.finish()
