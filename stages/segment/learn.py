"""Training of DeepLab: every iteration is a function of (seed, iteration) and of the state before it."""

import os
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from stages.segment import network
from stages.segment.data import VOID, class_map, training_sample
from tag2mask.errors import UserError
from tag2mask.learn import training
from tag2mask.learn.backbone import normalise
from tag2mask.store.weights import Weights


def learn(index, labels, *, config, job):
    """Weights (kind "segment") of a DeepLab trained on `labels` (Instances) over photos of `index` (Index).

    Photos without an instance are skipped. Raises UserError when no photo is left.
    """
    if len(job.devices) > 1:
        raise UserError("segment trains on one device: set gpus to 1 (the batch fits one large GPU)")
    categories = sorted(c for c in labels.categories if c > 0)
    check_ids(categories)
    photos = labelled_photos(index, labels, config.images)
    job.count(photos=len(photos), network=network.described(config))
    training.start(job.seed, job.device, threads=job.threads)
    model, mean, std = network.build(config, len(categories) + 1, seed=job.seed)
    model.to(job.device)
    optimiser = make_optimiser(model, config)

    def sample(t, k, position):
        i, row_image = photos[position]
        rng = np.random.default_rng((job.seed, 1, t, k))
        label = class_map(labels, row_image, categories)
        return training_sample(index.photo(i), label, config=config, mean=mean, rng=rng)

    def batch(t):
        positions = training.sample(len(photos), config.batch, t, seed=job.seed)
        crops, targets = zip(*(sample(t, k, position) for k, position in enumerate(positions)))
        return np.stack(crops), torch.from_numpy(np.stack(targets))

    def step(t):
        crops, targets = batches(t)
        # the head's dropout draws from torch's global state: it starts anew in every iteration
        torch.manual_seed(int(np.random.default_rng((job.seed, 2, t)).integers(2**62)))
        x = normalise(crops, mean, std, device=job.device).contiguous(memory_format=torch.channels_last)
        return pixel_loss(model(x)["out"], targets.to(job.device, torch.int64))

    workers = 0 if job.device == "cpu" else min(8, os.cpu_count() or 1)
    with training.Ahead(batch, iterations=config.iterations, workers=workers) as batches:
        loss = training.fit(
            step, model=model, optimiser=optimiser, rate=rate_of(config), iterations=config.iterations, job=job,
            every=config.checkpoint_every, clip=config.clip or None, what="DeepLab",
        )  # fmt: skip
    job.count(loss=loss)
    meta = {
        "kind": "segment",
        "config": config.model_dump(mode="json"),
        "categories": {str(c): labels.categories[c] for c in categories},
        "mean": list(mean),
        "std": list(std),
    }
    return Weights(meta, model.state_dict())


def check_ids(categories):
    """UserError where an id does not fit a map of one byte a pixel, whose 255 is void."""
    if max(categories, default=0) >= VOID:
        raise UserError(f"Category id {max(categories)} does not fit a semantic map: ids must be at most {VOID - 1}.")


def labelled_photos(index, labels, images):
    """[(photo i of the index, image of the label store)] to train on, in index order.

    images : "with_masks" or "all" (config key). A photo needs an instance that has a class and is no crowd.
    """
    split = "with_masks" if images == "with_masks" else "train"
    place = {name: k for k, name in enumerate(labels.image_id)}
    used = (labels.ignore != 1) & (labels.category > 0)
    pairs = ((int(i), place.get(index.image_id[i])) for i in index.where(split))
    found = [(i, k) for i, k in pairs if k is not None and used[labels.rows(k)].any()]
    if not found:
        raise UserError(
            f"segment: no photo of the split {split!r} has a pseudo label, so there is nothing to train on; "
            "look at the recipe's instances, or set segment.images to all"
        )
    return found


def pixel_loss(scores, targets):
    """Mean cross-entropy over the pixels that are not void, 0 where all are.

    scores : (B, K + 1, H, W) float32. targets : (B, H, W) int64, 255 void. Source: DeepLab v2, Sec. 4: the sum of
    cross-entropies, equally weighted, unlabelled pixels ignored.
    """
    total = functional.cross_entropy(scores, targets, ignore_index=VOID, reduction="sum")
    return total / (targets != VOID).sum().clamp(min=1)


def make_optimiser(model, config):
    if config.optimiser == "sgd":
        return torch.optim.SGD(network.groups(model, config), lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(network.groups(model, config), lr=config.learning_rate)


def rate_of(config):
    """iteration -> factor of the learning rates."""
    if config.schedule == "poly":
        return partial(training.poly_rate, total=config.iterations, power=config.power)
    return partial(training.step_rate, drops=config.steps, gamma=config.gamma)
