"""Training of CIM: every iteration mines what the next branch learns (Sec. 3.5), from tags and first labels alone."""

from functools import partial

import torch

from stages.cim import losses
from stages.cim.network import build, take_over
from stages.cim.photos import Photos
from stages.cim.snapshots import Snapshots
from stages.cim.targets import pseudo_labels
from tag2mask.learn.device import moved
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.schedules import make_optimiser, make_schedule, parameter_groups, step_rate
from tag2mask.learn.whole import share
from tag2mask.store.weights import Weights

PARTS = ("tag_loss", "cluster_loss", "class_loss", "integrity_loss", "bag_loss")


def learn(index, shards, cues, *, section, begin=None, config, job):
    """(Weights of kind "cim", Table mined/1 of the snapshots).

    index : Index. shards : Instances of the training photos' proposals, one after another. cues : see `Photos`.
    section : configuration of the stage that made the proposals, kept for photos that come later. begin : Weights of a
    classifier, whose backbone it begins with.
    """
    start(job)
    model = build(config, len(index.categories), weights=config.weights)  # first: a wrong file is known at once
    if begin is not None:
        job.count(tensors_of_the_classifier=take_over(model.backbone, begin))
    model.backbone.freeze(config.freeze)
    model.to(job.device)
    photos = Photos(index, shards, cues, config=config, job=job)
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
    tally = dict.fromkeys(PARTS, 0.0)

    def make_batch(positions, draw):
        return [drawn(photos, int(n), draw(k), config=config) for k, n in enumerate(positions)]

    def loss(batch, t):
        scores = model(*zip(*(shown for _, shown, _ in batch)))
        parts = [
            photo_losses(one, photos.samples[position], photos.overlaps(position), draws, config=config)
            for (position, _, draws), one in zip(batch, scores)
        ]
        mean = {name: share(torch.stack([one[name] for one in parts]).mean()) for name in PARTS}
        if t >= last:
            for name in PARTS:
                tally[name] = tally[name] + mean[name].detach().double()
        return total(mean, config)

    task = Task(
        "CIM", photos=len(photos), batch=config.batch, iterations=config.iterations, model=model,
        optimiser=optimiser_of(model, config), rate=rate_of(config), make_batch=make_batch, loss=loss,
        every=config.checkpoint_every, clip=config.clip, after=snapshots.after, tally=tally,
        joint=False, **config.computing(),
    )  # fmt: skip
    train(task, job)
    job.count(**{name: round(tally[name] / (config.iterations - last), 4) for name in PARTS})
    return Weights(meta, model.state_dict()), snapshots.table()


def drawn(photos, position, rng, *, config):
    """(position, what the network is shown, (branches, n) draws of the anti-noise sampling) at a random side."""
    side, flip = config.sides[rng.integers(len(config.sides))], bool(rng.integers(2)) and config.flip
    shown = photos.shown(position, side, flip)
    return position, shown, torch.from_numpy(rng.random((config.branches, len(shown[1]))))


def photo_losses(scores, sample, overlaps, draws, *, config):
    """name in PARTS -> loss of one photo, summed over branches with the first one's factor.

    scores : Scores. sample : photos.Sample. overlaps : mining.Overlaps. draws : (branches, N) float64 in [0, 1).
    """
    log_y, t = scores
    tags = moved(torch.from_numpy(sample.tags), t.device)
    present = torch.zeros(log_y.shape[2], dtype=torch.bool, device=t.device).index_fill(0, tags, True)
    present[0] = True
    parts = dict.fromkeys(PARTS, log_y.new_zeros(()))
    parts["tag_loss"] = losses.tag_loss(log_y[0], t[0], present)
    if config.agpl:
        label, cluster = (moved(torch.from_numpy(one), t.device) for one in sample.first)
        parts["cluster_loss"] = losses.cluster_loss(log_y[0], label, cluster, kind=config.pcl)
    draws = moved(draws, t.device)
    for k in range(1, config.branches + 1):
        labels, _ = pseudo_labels(scores, k, overlaps, tags, draws[k - 1], config=config)
        factor = config.first_weight if k == 1 else 1.0
        parts["class_loss"] = parts["class_loss"] + factor * losses.class_loss(log_y[k], labels)
        if config.integrity:
            parts["integrity_loss"] = parts["integrity_loss"] + factor * losses.integrity_loss(t[k], labels)
        if config.bag_weight:
            parts["bag_loss"] = parts["bag_loss"] + losses.bag_loss(log_y[k], t[k], labels, present)
    return parts


def total(parts, config):
    """Eq. 8. parts : name in PARTS -> loss."""
    return (
        parts["tag_loss"] + config.pcl_weight * parts["cluster_loss"] + parts["class_loss"]
        + config.integrity_weight * parts["integrity_loss"] + config.bag_weight * parts["bag_loss"]
    )  # fmt: skip


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
    return partial(step_rate, drops=drops, gamma=config.gamma, warmup=config.warmup, start=config.warmup_start)
