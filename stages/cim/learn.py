"""Training of CIM: every iteration mines what the next branch learns (Sec. 3.5), from tags and first labels alone."""

from functools import partial

import torch

from stages.cim import losses
from stages.cim.network import build
from stages.cim.photos import Photos
from stages.cim.snapshots import Snapshots
from stages.cim.targets import pseudo_labels
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.schedules import make_optimiser, make_schedule, parameter_groups, step_rate
from tag2mask.store.weights import Weights

PARTS = ("tag_loss", "cluster_loss", "class_loss", "integrity_loss", "bag_loss")


def learn(index, shards, cues, *, section, config, job):
    """(Weights of kind "cim", Table mined/1 of the snapshots).

    index : Index. shards : Instances of the training photos' proposals, one after another. cues : see `Photos`.
    section : configuration of the stage that made the proposals, kept for photos that come later.
    """
    photos = Photos(index, shards, cues, config=config, job=job)
    start(job)
    model = build(config, len(index.categories), weights=config.weights)
    model.backbone.freeze(config.freeze)
    model.to(job.device)
    meta = {
        "kind": "cim",
        "config": config.model_dump(mode="json"),
        "categories": {str(c): index.categories[c] for c in sorted(index.categories)},
        "mean": list(model.backbone.mean),
        "std": list(model.backbone.std),
        "proposals": section,
    }
    snapshots = Snapshots(photos, model, config=config, job=job)
    last = config.iterations - max(1, config.iterations // 10)
    tally = {name: 0.0 for name in (*PARTS, "mined", "foreground", "photos")}

    def make_batch(positions, draw):
        return [drawn(photos, int(n), draw(k), config=config) for k, n in enumerate(positions)]

    def loss(batch, t):
        scores = model(*zip(*(shown for _, shown, _ in batch)))
        parts = []
        for (position, _, draws), one in zip(batch, scores):
            found, numbers = photo_losses(one, photos, position, draws, config=config)
            parts.append(found)
            if t >= last:
                for name, value in numbers.items():
                    tally[name] += value
        parts = torch.stack(parts).mean(0)
        if t >= last:
            for name, value in zip(PARTS, parts.tolist()):
                tally[name] += value
        return total(parts, config)

    task = Task(
        "CIM", photos=len(photos), batch=config.batch, iterations=config.iterations, model=model,
        optimiser=optimiser_of(model, config), rate=rate_of(config), make_batch=make_batch, loss=loss,
        every=config.checkpoint_every, clip=config.clip, after=snapshots.after, tally=tally,
    )  # fmt: skip
    train(task, job)
    steps = config.iterations - last
    job.count(**{name: round(tally[name] / steps, 4) for name in PARTS})
    job.count(
        **{f"{name}_a_photo": round(tally[name] / max(1, tally["photos"]), 2) for name in ("mined", "foreground")}
    )
    return Weights(meta, model.state_dict()), snapshots.table()


def drawn(photos, position, rng, *, config):
    """(position, what the network is shown, (branches, n) draws of the anti-noise sampling) at a random side."""
    side, flip = config.sides[rng.integers(len(config.sides))], bool(rng.integers(2)) and config.flip
    shown = photos.shown(position, side, flip)
    return position, shown, torch.from_numpy(rng.random((config.branches, len(shown[1]))))


def photo_losses(scores, photos, position, draws, *, config):
    """((5,) the losses of one photo in the order of PARTS, summed over branches, {numbers of its last branch})."""
    sample, device = photos.samples[position], scores.t.device
    present = torch.from_numpy(sample.present).to(device)
    log_y, t = scores
    zero = log_y.sum() * 0
    parts = [losses.tag_loss(log_y[0], t[0], present), zero, zero, zero, zero]
    if config.agpl:
        label, cluster = (torch.from_numpy(one).to(device) for one in sample.first)
        parts[1] = losses.cluster_loss(log_y[0], label, cluster, kind=config.pcl)
    numbers = {"photos": 1}
    overlaps = photos.overlaps(position) if config.branches else None
    for k in range(1, config.branches + 1):
        labels, mined = pseudo_labels(scores, k, overlaps, present, draws[k - 1].to(device), config=config)
        factor = config.first_weight if k == 1 else 1.0
        parts[2] = parts[2] + factor * losses.class_loss(log_y[k], labels)
        if config.integrity:
            parts[3] = parts[3] + factor * losses.integrity_loss(t[k], labels)
        if config.bag_weight:
            parts[4] = parts[4] + losses.bag_loss(log_y[k], t[k], labels, present)
        numbers |= {"mined": len(mined.index), "foreground": int((labels.label > 0).sum())}
    return torch.stack(parts), numbers


def total(parts, config):
    """Eq. 8 of the losses (5,) in the order of PARTS."""
    weights = (1.0, config.pcl_weight, 1.0, config.integrity_weight, config.bag_weight)
    return parts @ parts.new_tensor(weights)


def optimiser_of(model, config):
    """The backbone at the rate, the rest at `rate_new` times it, biases at `bias_rate` times theirs."""
    groups = parameter_groups(
        model, model.backbone, rate=config.rate, new=config.rate_new, weight_decay=config.weight_decay
    )
    for group in groups:
        if all(p.ndim == 1 for p in group["params"]):
            group["lr"] *= config.bias_rate
    return make_optimiser(config.optimiser, groups, momentum=config.momentum)


def rate_of(config):
    """iteration -> factor of the rates."""
    if config.schedule == "one_cycle":
        return make_schedule("one_cycle", config.iterations)
    drops = [round(part * config.iterations) for part in config.drops]
    return partial(step_rate, drops=drops, warmup=config.warmup, start=1 / 3)
