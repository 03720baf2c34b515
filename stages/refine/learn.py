"""Training of Mask R-CNN: every iteration is a function of (seed, iteration) and of the state before it."""

import os
from functools import partial

import numpy as np
import torch

from stages.refine import model as networks
from stages.refine.data import training_sample
from tag2mask.errors import UserError
from tag2mask.learn import training
from tag2mask.store.weights import Weights


def learn(index, labels, *, config, job):
    """Weights (kind "refine") of a Mask R-CNN trained on `labels` (Instances) over photos of `index` (Index).

    Rows with ignore 1 or 2 and rows of category 0 are not used, photos without a row left are skipped.
    Raises UserError when no photo is left.
    """
    if len(job.devices) > 1:
        raise UserError("refine trains on one device: set gpus to 1 (the batch fits one large GPU)")
    photos = labelled_photos(index, labels, config.images)
    categories = sorted(labels.categories)
    class_of = {category: k for k, category in enumerate(categories)}
    job.count(photos=len(photos), instances=int(sum(len(rows) for _, _, rows in photos)))
    training.start(job.seed, job.device, threads=job.threads)
    model = networks.build(config, len(categories), seed=job.seed).to(job.device)
    optimiser = make_optimiser(model, config)

    def sample(t, k, position):
        i, row_image, rows = photos[position]
        masks = labels.masks(row_image)[rows - int(labels.first[row_image])]
        classes = [class_of[int(c)] for c in labels.category[rows]]
        rng = np.random.default_rng((job.seed, 1, t, k))
        return training_sample(index.photo(i), masks, classes, config=config, rng=rng)

    def batch(t):
        positions = training.sample(len(photos), config.batch, t, seed=job.seed)
        return [sample(t, k, position) for k, position in enumerate(positions)]

    def step(t):
        items = batches(t)
        # detectron2 samples anchors and proposals from torch's global state: it starts anew in every iteration
        torch.manual_seed(int(np.random.default_rng((job.seed, 2, t)).integers(2**62)))
        return networks.losses(model, items)

    workers = 0 if job.device == "cpu" else min(8, os.cpu_count() or 1)
    with training.Ahead(batch, iterations=config.iterations, workers=workers) as batches:
        loss = training.fit(
            step, model=model, optimiser=optimiser, rate=rate_of(config), iterations=config.iterations, job=job,
            every=config.checkpoint_every, clip=config.clip or None, what="Mask R-CNN",
        )  # fmt: skip
    job.count(loss=loss)
    meta = {
        "kind": "refine",
        "config": config.model_dump(mode="json"),
        "categories": {str(c): labels.categories[c] for c in categories},
        "pixel_mean": model.pixel_mean.flatten().tolist(),
        "pixel_std": model.pixel_std.flatten().tolist(),
    }
    return Weights(meta, model.state_dict())


def labelled_photos(index, labels, images):
    """[(photo i of the index, image of the label store, row numbers)] to train on, in index order.

    images : "with_masks" or "all" (config key). Only rows that count (ignore 0, a category) are listed.
    """
    split = "with_masks" if images == "with_masks" else "train"
    place = {name: k for k, name in enumerate(labels.image_id)}
    used = (labels.ignore == 0) & (labels.category > 0)
    found = []
    for i in index.where(split):
        k = place.get(index.image_id[i])
        if k is None:
            continue
        rows = np.arange(len(labels))[labels.rows(k)]
        rows = rows[used[rows]]
        if len(rows):
            found.append((int(i), k, rows))
    if not found:
        raise UserError(
            f"refine: no photo of the split {split!r} has a pseudo label, so there is nothing to train on; "
            "look at the recipe's instances, or set refine.images to all"
        )
    return found


def make_optimiser(model, config):
    """SGD or AdamW over the trained parameters, rate scaled linearly with the batch (detectron2's rule)."""
    groups = networks.groups(model, config)
    rate = config.learning_rate * config.batch / config.rate_batch
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=rate)


def rate_of(config):
    """iteration -> factor of the learning rate."""
    if config.schedule == "one_cycle":
        return partial(training.one_cycle_rate, total=config.iterations)
    return partial(training.step_rate, drops=config.steps, gamma=config.gamma, warmup=config.warmup)
