"""Training of DeepLab on instances merged by class: its photos, its network, its loss."""

import numpy as np
import torch
from torch.nn import functional

from stages.segment import network
from stages.segment.data import class_map, training_sample
from tag2mask.data.labelmaps import VOID, class_numbers
from tag2mask.learn.backbone import normalise
from tag2mask.learn.device import moved
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.photos import labelled_photos
from tag2mask.learn.schedules import make_optimiser, make_schedule, parameter_groups
from tag2mask.learn.whole import total
from tag2mask.store.weights import Weights


def learn(index, labels, *, config, job):
    """Weights (kind "segment") of a DeepLab trained on `labels` (Instances) over photos of `index` (Index).

    Photos without an instance are skipped. Raises UserError when no photo is left.
    """
    categories = sorted(c for c in labels.categories if c > 0)
    number = class_numbers(categories)
    photos = labelled_photos(index, labels, teaching(labels), images=config.images, stage="segment")
    start(job)
    model, mean, std = network.build(config, len(categories) + 1, seed=job.seed)
    model.to(job.device)

    def sample(position, rng):
        i, image, _ = photos[position]
        return training_sample(index.photo(i), class_map(labels, image, number), config=config, mean=mean, rng=rng)

    def make_batch(positions, draw):
        crops, targets = zip(*(sample(position, draw(k)) for k, position in enumerate(positions)))
        return np.stack(crops), torch.from_numpy(np.stack(targets))

    def loss(batch, t):
        crops, targets = batch
        x = normalise(crops, mean, std, device=job.device).contiguous(memory_format=torch.channels_last)
        return pixel_loss(model(x)["out"], moved(targets, job.device).long())

    task = Task(
        "DeepLab", photos=len(photos), batch=config.batch, iterations=config.iterations, model=model,
        optimiser=optimiser_of(model, config), rate=rate_of(config), make_batch=make_batch, loss=loss,
        every=config.checkpoint_every, clip=config.clip, **config.computing(),
        asks=lambda batch, t: total((batch[1] != VOID).sum()),
    )  # fmt: skip
    train(task, job)
    job.count(network=network.described(config))
    meta = {
        "kind": "segment",
        "config": config.model_dump(mode="json"),
        "categories": {str(c): labels.categories[c] for c in categories},
        "mean": list(mean),
        "std": list(std),
    }
    return Weights(meta, model.state_dict())


def teaching(labels):
    """(n,) bool: the instances that a map is made of, those with a class that are no crowd."""
    return (labels.ignore != 1) & (labels.category > 0)


def pixel_loss(scores, targets):
    """Mean cross-entropy over the pixels that are not void, 0 where all are.

    scores : (B, K + 1, H, W) float32. targets : (B, H, W) int64, 255 void. Source: DeepLab v2, Sec. 4: the sum of
    cross-entropies, equally weighted, unlabelled pixels ignored.
    """
    found = functional.cross_entropy(scores, targets, ignore_index=VOID, reduction="sum")
    return found / total((targets != VOID).sum()).clamp(min=1)


def optimiser_of(model, config):
    """The backbone at the rate, the head at `rate_new` times it."""
    groups = parameter_groups(
        model, model.backbone, rate=config.learning_rate, new=config.rate_new, weight_decay=config.weight_decay
    )
    return make_optimiser(config.optimiser, groups, momentum=config.momentum)


def rate_of(config):
    """iteration -> factor of the learning rates."""
    return make_schedule(
        config.schedule, config.iterations, drops=config.steps, gamma=config.gamma, power=config.power
    )  # fmt: skip
