"""Training of ICN, one map a sample: from the naive map to what it was matched with (ICN, Sec. 3.2, 4.2)."""

import numpy as np
import torch
from torch.nn import functional

from stages.icn.network import build
from tag2mask.data.labelmaps import VOID
from tag2mask.data.matching import at_size, unit
from tag2mask.errors import UserError
from tag2mask.learn.crops import frame, framed_map, framed_photo
from tag2mask.learn.device import moved
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.schedules import drops_of, iterations_of, make_optimiser, make_schedule, parameter_groups
from tag2mask.learn.shelf import Shelf
from tag2mask.learn.whole import total
from tag2mask.store.weights import Weights


def learn(index, shards, *, config, job):
    """Weights (kind "icn") of a network trained on every map that has a target.

    index : Index. shards : pairs of Maps of `prm` and Maps of their targets. Raises UserError where there is none.
    """
    start(job)
    model = build(config, weights=config.weights)  # first: a wrong file is known at once
    samples = taught(index, shards)
    if not len(samples):
        raise UserError(
            "icn: no peak response map has a target, so there is nothing to learn; look at the peaks of cam and at the "
            "proposals, or lower the floor of cam's peaks."
        )
    mean, std = model.backbone.mean, model.backbone.std
    model.to(job.device)

    def make_batch(positions, draw):
        made = [sample(index, *samples[n], config=config, mean=mean, rng=draw(k)) for k, n in enumerate(positions)]
        return tuple(map(np.stack, zip(*made)))

    def loss(batch, t):
        photos, maps, targets = batch
        x = model.backbone.normalise(photos).contiguous(memory_format=torch.channels_last)
        maps, targets = (moved(torch.from_numpy(one), job.device) for one in (maps, targets))
        return pixel_loss(model(x, maps), targets, kind=config.loss)

    iterations = iterations_of(config.epochs, len(samples), config.batch)
    task = Task(
        "ICN", photos=len(samples), batch=config.batch, iterations=iterations, model=model,
        optimiser=optimiser_of(model, config), rate=rate_of(config, len(samples), iterations), make_batch=make_batch,
        loss=loss, every=config.checkpoint_every, clip=config.clip, **config.computing(),
        asks=lambda batch, t: total(torch.tensor(np.count_nonzero(batch[2] != VOID))),
    )  # fmt: skip
    train(task, job)
    job.count(maps=len(samples))
    meta = {"kind": "icn", "config": config.model_dump(mode="json"), "mean": list(mean), "std": list(std)}
    return Weights(meta, model.state_dict())


def taught(index, shards):
    """Shelf of (photo of `index`, map (h, w) float16, target (h, w) uint8) of training photos, where neither is 0."""
    place, found = {name: i for i, name in enumerate(index.image_id) if index.train[i]}, Shelf()
    for maps, targets in shards:
        for k in range(len(maps)):
            i, pair = place.get(maps.image_id[maps.image[k]]), (maps.map(k), targets.map(k).astype(np.uint8))
            if i is not None and all(one.any() for one in pair):
                found.append((i, *pair))
    return found


def sample(index, i, naive, target, *, config, mean, rng):
    """((crop, crop, 3) uint8 photo, (crop, crop) float32 map in [0, 1], (crop, crop) uint8 target, 255 outside).

    Scaled, perhaps mirrored, and cropped at random, all three alike; the map is min-max normalised before (Sec. 4.6).
    """
    photo = index.photo(i)
    place = frame(
        photo.shape[:2], rng, scales=config.scales, longest=config.longest, flip=config.flip, side=config.crop
    )
    whole = at_size([normalised(naive)], place.size)[0]
    return (
        framed_photo(photo, place, mean=mean, jitter=config.jitter, rng=rng),
        framed_map(whole, place, outside=0),
        framed_map(target, place, outside=VOID),
    )


def normalised(values):
    """A map (h, w) min-max normalised, float32; a constant one becomes 0. Source: ICN, Sec. 4.6."""
    return unit(np.asarray(values, np.float32)[None])[0]


def pixel_loss(logits, targets, *, kind):
    """Mean over the pixels that are not void of the cross-entropy between prediction and target (Eq. 4).

    logits : (B, H, W). targets : (B, H, W) uint8, 255 void. kind : "both" of the two classes, "printed": the term of
    the instance alone. The paper's sum over pixels is a constant times it for photos of one size, and Adam does not
    see a constant.
    """
    counted = targets != VOID
    truth = (targets == 1).to(logits.dtype)
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if kind == "printed":
        each = each * truth
    return (each * counted).sum() / total(counted.sum()).clamp(min=1)


def optimiser_of(model, config):
    """The backbone at the rate, the rest at `rate_new` times it."""
    groups = parameter_groups(
        model, model.backbone, rate=config.rate, new=config.rate_new, weight_decay=config.weight_decay
    )
    return make_optimiser(config.optimiser, groups)


def rate_of(config, count, total):
    """iteration -> factor of the rates."""
    if config.schedule == "one_cycle":
        return make_schedule("one_cycle", total)
    ends = np.arange(config.drop_every, config.epochs, config.drop_every)
    return make_schedule("step", total, drops=drops_of(ends, count, config.batch), gamma=config.gamma)
