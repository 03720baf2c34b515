"""Training of the instance network on transferred instances and on those that it refines itself, step by step.

Source: BESTIE, Sec. 3.3 to 3.5, 4.2.
"""

import torch

from stages.bestie import losses, network, refine
from stages.bestie.data import collate
from stages.bestie.labels import Labels, drawn, gaussians
from stages.bestie.photos import Photos
from stages.bestie.snapshots import Snapshots
from tag2mask.data.labelmaps import VOID
from tag2mask.learn import whole
from tag2mask.learn.backbone import normalise
from tag2mask.learn.device import moved
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.schedules import iterations_of, make_optimiser, make_schedule, parameter_groups
from tag2mask.store.weights import Weights


def learn(index, transfer, semantic, *, points=None, config, job):
    """(Weights of kind "bestie", Instances of the snapshots) of a network trained on the training photos of `index`.

    transfer : Instances, the pseudo labels. semantic : LabelMaps of the photos. points : Table peaks/1 or None, then
    they draw the centre maps and are the refinement's centres (BESTIE, Sec. 4.3). Raises UserError when there is
    nothing to train on. Snapshots: see `Snapshots`.
    """
    photos = Photos(index, transfer, semantic, points=points, config=config)
    classes, total = len(index.categories), iterations_of(config.epochs, len(photos), config.batch)
    job.count(network=network.described(config), **photos.counted())
    start(job)
    model, mean, std = network.build(config, classes, seed=job.seed)
    model.to(job.device)
    snapshots = Snapshots(index, model, marks=photos.marks, total=total, config=config, mean=mean, std=std, job=job)
    begin, last = config.refine_from * total, total - max(1, total // 10)
    tally = dict.fromkeys(("refined_iterations", "instances", "pseudo_pixels", "refined_pixels"), 0)

    def make_batch(positions, draw):
        samples = [photos.sample(position, mean=mean, rng=draw(k)) for k, position in enumerate(positions)]
        return collate(samples), torch.from_numpy(photos.tags[positions])

    def loss(batch, t):
        given, tags = batch
        given = given.to(job.device)
        x = normalise(given.crops, mean, std, device=job.device).contiguous(memory_format=torch.channels_last)
        output = model(x)
        seen = {"sigma": config.sigma, "everywhere": not config.instance_aware}
        pseudo, refined = drawn(given.labels, classes, **seen), None
        if config.refine and t >= begin:
            labels = refined_labels(output, moved(tags, job.device), given, config=config)
            refined = drawn(labels, classes, **seen)
            count(t, given.labels, labels)
        if given.points is not None:  # their centre map takes the place of both (BESTIE, Sec. 4.3)
            pseudo, refined = (one and pointed(one, given, classes, sigma=config.sigma) for one in (pseudo, refined))
        return losses.total(output, pseudo, refined, given.target, config=config)

    def count(t, pseudo, refined):
        found = whole.total(torch.full((), len(refined.photo), device=refined.photo.device))
        more = {"refined_iterations": (found > 0) & whole.is_first()}
        if t >= last:
            more |= {"instances": torch.full_like(found, len(refined.photo))}
            more |= {
                f"{name}_pixels": (one.number > 0).sum() for name, one in (("pseudo", pseudo), ("refined", refined))
            }
        for name, value in more.items():
            tally[name] = tally[name] + value.double()

    task = Task(
        "BESTIE", photos=len(photos), batch=config.batch, iterations=total, model=model,
        optimiser=optimiser_of(model, config), rate=make_schedule("poly", total, power=config.power),
        make_batch=make_batch, loss=loss, every=config.checkpoint_every, clip=config.clip, after=snapshots.after,
        tally=tally, asks=loss, **config.computing(),
    )  # fmt: skip
    train(task, job)
    if config.refine:
        job.count(**shares(tally, total, total - last, config))
    meta = {
        "kind": "bestie",
        "config": config.model_dump(mode="json"),
        "categories": {str(c): index.categories[c] for c in sorted(index.categories)},
        "mean": list(mean),
        "std": list(std),
    }
    return Weights(meta, model.state_dict()), snapshots.table()


def optimiser_of(model, config):
    """The backbone at the rate, the rest at `rate_new` times it."""
    groups = parameter_groups(
        model, model.backbone, rate=config.rate, new=config.rate_new, weight_decay=config.weight_decay
    )
    return make_optimiser(config.optimiser, groups)


@torch.no_grad()
def refined_labels(output, tags, given, *, config):
    """Labels that the network's own answers (Output) give for the Batch that it was just shown (BESTIE, Sec. 3.5).

    Outside the photos there is background: what the network says there is nobody's guidance.
    """
    semantic, center, offset = (one.detach() for one in output)
    probability = semantic.softmax(1)
    probability[:, 1:] *= given.photo[:, None]
    classes = None
    if config.refine_on == "semantic":
        classes = torch.where(given.target == VOID, 0, given.target)
    return refine.refined(probability, center, offset, tags, config=config, points=given.points, classes=classes)


def pointed(drawn, given, classes, *, sigma):
    """`drawn` with the centre maps of the points of a Batch."""
    points = given.points
    center = torch.stack([points.y, points.x], 1)
    number = torch.zeros_like(given.labels.number)
    labels = Labels(number, points.photo, points.column, center, points.score)
    return drawn._replace(center=gaussians(labels, classes, sigma=sigma, at=drawn.at))


def shares(tally, total, last, config):
    """What the manifest says of the refinement: share of iterations with refined labels; over the `last` iterations,
    refined instances a photo and the shares of the crops' pixels inside pseudo and inside refined instances."""
    pixels = last * config.batch * config.size**2
    return {
        "refined_iterations": round(tally["refined_iterations"] / total, 4),
        "refined_instances": round(tally["instances"] / (last * config.batch), 4),
        "pseudo_pixels": round(tally["pseudo_pixels"] / pixels, 4),
        "refined_pixels": round(tally["refined_pixels"] / pixels, 4),
    }
