"""Training of Mask R-CNN on instances: its rounds, its photos, its network, its loss."""

from dataclasses import replace

import numpy as np

from stages.refine import model as networks
from stages.refine.data import on_device, training_sample
from stages.refine.rounds import additions
from tag2mask.data.instances import Instances
from tag2mask.data.scale import LARGEST, resized
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.photos import labelled_photos
from tag2mask.learn.schedules import make_optimiser, make_schedule
from tag2mask.learn.whole import of_first
from tag2mask.store.weights import Weights


def learn(index, labels, foreground=None, *, config, job):
    """(Weights of kind "refine", Instances that were added to `labels` for the last round) of a trained Mask R-CNN.

    index : Index. labels : Instances; rows with ignore 1 or 2 and rows of category 0 are not used, photos without a row
    left are skipped. foreground : LabelMaps of the photos, or None; with config.ignore their tags' pixels that have no
    label are not taught as background. Raises UserError when no photo is left.

    Every one of config.rounds trains a new network; what the one before sees on the photos joins the labels. With one
    round the second table has no image.
    """
    added = labels.images_subset([])
    for number in range(1, config.rounds + 1):
        own = of_round(job, number)
        done = own.checkpoints and own.checkpoints / "added.zarr.zip"
        if done and done.exists():
            job.log.info("round %d of %d was finished before", number, config.rounds)
            added = Instances.load(done)
            continue
        given = labels.merged(added) if added.images else labels
        weights, model = fit(index, given, foreground, config=config, job=own)
        if number < config.rounds:
            if job.rank == 0:
                added = additions(model, index, labels, config=config, job=job)
                if done:
                    added.save(done)
            added = of_first(added)
    if config.rounds > 1:
        job.count(added=len(added))
    return weights, added


def of_round(job, number):
    """The Job of a round: the first has its checkpoints where every training has them, others in a folder below."""
    if job.checkpoints is None or number == 1:
        return job
    folder = job.checkpoints / f"round_{number}"
    folder.mkdir(exist_ok=True)
    return replace(job, checkpoints=folder)


def fit(index, labels, foreground, *, config, job):
    """(Weights, model in evaluation mode) of one round; arguments as in `learn`."""
    photos = labelled_photos(index, labels, teaching(labels), images=config.images, stage="refine")
    categories = sorted(labels.categories)
    class_of = {category: k for k, category in enumerate(categories)}
    mean = labels.score[np.concatenate([rows for _, _, rows in photos])].mean(dtype=np.float64)
    start(job)
    model = networks.build(config, len(categories), seed=job.seed).to(job.device)

    def sample(position, rng):
        i, image, rows = photos[position]
        masks = labels.masks(image, rows, within=LARGEST)
        classes = [class_of[int(c)] for c in labels.category[rows]]
        weights = weights_of(labels.score[rows], mean) if config.score_weight else None
        hidden = (
            unlabelled(index, i, masks, labels.void_mask(image, within=LARGEST), foreground)
            if config.ignore is not None
            else None
        )
        return training_sample(
            index.photo(i), masks, classes, config=config, rng=rng, weights=weights, hidden=hidden
        )  # fmt: skip

    def loss(batch, t):
        return networks.losses(model, [on_device(one, job.device) for one in batch])

    task = Task(
        "Mask R-CNN", photos=len(photos), batch=config.batch, iterations=config.iterations, model=model,
        optimiser=optimiser_of(model, config), rate=rate_of(config),
        make_batch=lambda positions, draw: [sample(position, draw(k)) for k, position in enumerate(positions)],
        loss=loss, asks=loss, every=config.checkpoint_every, clip=config.clip, **config.computing(),
    )  # fmt: skip
    train(task, job)
    job.count(instances=sum(len(rows) for _, _, rows in photos))
    meta = {
        "kind": "refine",
        "config": config.model_dump(mode="json"),
        "categories": {str(c): labels.categories[c] for c in categories},
        "pixel_mean": model.pixel_mean.flatten().tolist(),
        "pixel_std": model.pixel_std.flatten().tolist(),
    }
    return Weights(meta, model.state_dict()), model


def teaching(labels):
    """(n,) bool: the instances that count (ignore 0) and have a class."""
    return (labels.ignore == 0) & (labels.category > 0)


def weights_of(scores, mean):
    """(n,) float32: how much labels of these scores (n,) count: 1 on average where the mean of all scores is `mean`."""
    return (scores / mean if mean > 0 else np.ones(len(scores))).astype(np.float32)


def unlabelled(index, i, masks, void, foreground):
    """(H, W) bool: pixels of photo i that may be of an object without a label.

    Those of its tags in `foreground` (LabelMaps, or None) and void ones, (H, W) bool, less those of its labels, masks
    (n, H, W) bool.
    """
    if foreground is not None:
        void = void | np.isin(resized(foreground[index.image_id[i]], void.shape), index.tags(i))
    return void & ~masks.any(axis=0)


def optimiser_of(model, config):
    """SGD or AdamW over the trained parameters, rate scaled linearly with the batch (detectron2's rule)."""
    rate = config.learning_rate * config.batch / config.rate_batch
    groups = [{**group, "lr": rate} for group in networks.groups(model, config)]
    return make_optimiser(config.optimiser, groups, momentum=config.momentum)


def rate_of(config):
    """iteration -> factor of the learning rate."""
    return make_schedule(
        config.schedule, config.iterations, drops=config.steps, gamma=config.gamma, warmup=config.warmup
    )
