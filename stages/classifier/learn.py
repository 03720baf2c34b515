"""Training of the classifier, and the tag average precision that tells whether it learned."""

from functools import partial

import numpy as np
import torch

from stages.classifier import augment
from stages.classifier.model import build
from tag2mask.errors import UserError
from tag2mask.learn import training
from tag2mask.store.weights import Weights

# the keys of the configuration that say what the network is
BUILD = (
    "backbone", "head", "alpha", "pam_layers", "pam_channels", "output_stride", "dilate", "last_conv", "frozen_norm",
    "size",
)  # fmt: skip


def learn(index, config, job):
    """Weights of the classifier trained on `index`'s photos of the split train."""
    classes = sorted(index.categories)
    photos = np.asarray(index.where("train"))
    if not len(photos):
        raise UserError("The split train holds no photo: name a list of training photos in dataset.train.")
    tags = tag_matrix(index, photos, classes)
    training.start(job.seed, job.device, threads=job.threads)
    meta = {"kind": "classifier", "classes": classes, "names": [index.categories[c] for c in classes]}
    meta |= {name: getattr(config, name) for name in BUILD}
    model = build(meta, weights=config.weights)
    model.start_at(tags.mean(0))
    model.backbone.freeze(config.freeze)
    model.to(job.device)
    meta |= {"stride": model.stride, "mean": list(model.backbone.mean), "std": list(model.backbone.std)}

    def batch(t):
        chosen = training.sample(len(photos), config.batch, t, seed=job.seed)
        rng = training.rng(job.seed, t)
        crops = [
            augment.augment(
                index.photo(photos[n]), rng, size=config.size, area=config.crop_area, aspect=config.crop_aspect,
                flip=config.flip, jitter=config.jitter,
            )
            for n in chosen
        ]  # fmt: skip
        return np.stack(crops), torch.from_numpy(tags[chosen])

    iterations = training.iterations_of(config.epochs, len(photos), config.batch)
    workers = 0 if str(job.device) == "cpu" else max(2, job.threads)
    with training.Ahead(batch, iterations=iterations, workers=workers) as batches:

        def step(t):
            crops, wanted = batches(t)
            logits, _ = model(model.backbone.normalise(crops))
            return torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted.to(logits.device))

        loss = training.fit(
            step,
            model=model,
            optimiser=optimiser(model, config),
            rate=schedule(config, iterations, len(photos)),
            iterations=iterations,
            job=job,
            every=config.checkpoint_every,
            what=f"classifier ({config.head})",
        )
    job.count(iterations=iterations, photos=len(photos), loss=round(loss, 4))
    val = np.asarray(index.where("val"))
    truth = tag_matrix(index, val, classes)
    if truth.any():  # the held-out photos of a folder have no tags
        answers = predict(model, index, val, side=config.size, job=job)
        job.count(tag_map=round(mean_average_precision(answers, truth), 4), tag_chance=round(float(truth.mean()), 4))
        job.log.info("classifier (%s): loss %.3f, tag mAP on val %.3f", config.head, loss, job.numbers["tag_map"])
    return Weights(meta, model.state_dict())


def optimiser(model, config):
    groups = model.groups(config.rate, new=config.rate_new, weight_decay=config.weight_decay)
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.rate)


def schedule(config, iterations, count):
    """iteration -> factor of the rates."""
    if config.schedule == "one_cycle":
        return partial(training.one_cycle_rate, total=iterations)
    drops = [round(epochs * count / config.batch) for epochs in config.drops]
    return partial(training.step_rate, drops=drops)


def tag_matrix(index, photos, classes):
    """(len(photos), K) float32: 1 where the photo has the class's tag."""
    column = {category: k for k, category in enumerate(classes)}
    tags = np.zeros((len(photos), len(classes)), np.float32)
    for row, i in enumerate(photos):
        tags[row, [column[c] for c in index.tags(i)]] = 1
    return tags


@torch.no_grad()
def predict(model, index, photos, *, side, job):
    """Logits (len(photos), K) float32 of whole photos at the inference size."""
    rows = []
    for i in job.progress(photos, what="tags of val"):
        photo = index.photo(i)
        size = augment.network_size(photo.shape[:2], side=side, stride=model.stride)
        rows.append(model(model.backbone.normalise(augment.resize(photo, size)[None]))[0][0].cpu().numpy())
    return np.stack(rows)


def mean_average_precision(scores, truth):
    """Mean over the classes that occur in `truth` (N, K) of the average precision of `scores` (N, K).

    Average precision: the mean over a class's photos of the precision at that photo's rank, ties in photo order.
    """
    values = []
    for k in np.flatnonzero(truth.any(0)):
        hit = truth[np.argsort(-scores[:, k], kind="stable"), k] > 0
        ranks = np.flatnonzero(hit) + 1
        values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(values)) if values else 0.0
