"""Training of the classifier, and the tag average precision that tells whether it learned."""

import numpy as np
import torch

from stages.classifier.model import build
from tag2mask.data.scale import LARGEST, size_within
from tag2mask.errors import UserError
from tag2mask.learn import crops
from tag2mask.learn.device import moved
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.schedules import drops_of, iterations_of, make_optimiser, make_schedule, parameter_groups
from tag2mask.learn.whole import share
from tag2mask.store.weights import Weights

# the keys of the configuration that say what the network is
BUILD = (
    "backbone", "head", "alpha", "pam_layers", "pam_context", "pam_channels", "enlarge", "output_stride", "dilate",
    "last_conv", "frozen_norm", "size",
)  # fmt: skip


def learn(index, config, job):
    """Weights of the classifier trained on `index`'s photos of the split train and on its negatives."""
    classes = sorted(index.categories)
    photos = np.flatnonzero(index.train | index.negative)
    if not len(photos):
        raise UserError("The split train holds no photo: name a list of training photos in dataset.train.")
    tags = tag_matrix(index, photos, classes)
    start(job)
    meta = {"kind": "classifier", "classes": classes, "names": [index.categories[c] for c in classes]}
    meta |= {name: getattr(config, name) for name in BUILD}
    model = build(meta, weights=config.weights)
    model.start_at(tags.mean(0))
    model.backbone.freeze(config.freeze)
    model.to(job.device)
    meta |= {"stride": model.stride, "mean": list(model.backbone.mean), "std": list(model.backbone.std)}
    iterations = iterations_of(config.epochs, len(photos), config.batch)

    def make_batch(positions, draw):
        rng, box = draw(), {"area": config.crop_area, "aspect": config.crop_aspect, "keep": config.keep_aspect}
        for n in draw.before:
            crops.pass_over(rng, size_within(index.size[photos[n]], LARGEST), **box)
        look = {**box, "size": config.size, "flip": config.flip, "jitter": config.jitter}
        shown = [crops.augment(index.photo(photos[n]), rng, **look) for n in positions]
        return np.stack(shown), torch.from_numpy(tags[positions])

    def loss(batch, t):
        shown, wanted = batch
        logits, _ = model(model.backbone.normalise(shown))
        return share(torch.nn.functional.binary_cross_entropy_with_logits(logits, moved(wanted, logits.device)))

    task = Task(
        f"classifier ({config.head})", photos=len(photos), batch=config.batch, iterations=iterations, model=model,
        optimiser=optimiser_of(model, config), rate=rate_of(config, iterations, len(photos)),
        make_batch=make_batch, loss=loss, every=config.checkpoint_every, **config.computing(),
    )  # fmt: skip
    train(task, job)
    measure(model, index, classes, side=config.size, job=job)
    return Weights(meta, model.state_dict())


def optimiser_of(model, config):
    """The backbone at the rate, the head and the backbone's last 1x1 convolution at `rate_new` times it."""
    groups = parameter_groups(
        model, model.backbone.net, rate=config.rate, new=config.rate_new, weight_decay=config.weight_decay
    )
    return make_optimiser(config.optimiser, groups)


def rate_of(config, iterations, count):
    """iteration -> factor of the rates, over `count` photos."""
    return make_schedule(config.schedule, iterations, drops=drops_of(config.drops, count, config.batch))


def tag_matrix(index, photos, classes):
    """(len(photos), K) float32: 1 where the photo has the class's tag."""
    column = {category: k for k, category in enumerate(classes)}
    tags = np.zeros((len(photos), len(classes)), np.float32)
    for row, i in enumerate(photos):
        tags[row, [column[c] for c in index.tags(i)]] = 1
    return tags


def measure(model, index, classes, *, side, job):
    """Count how well the trained network finds the tags of val; the held-out photos of a folder have none."""
    val = np.asarray(index.where("val"))
    truth = tag_matrix(index, val, classes)
    if not truth.any():
        return
    answers = predict(model, index, val, side=side, job=job)
    job.count(tag_map=round(mean_average_precision(answers, truth), 4), tag_chance=round(float(truth.mean()), 4))
    job.log.info("classifier: loss %.3f, tag mAP on val %.3f", job.numbers["loss"], job.numbers["tag_map"])


@torch.no_grad()
def predict(model, index, photos, *, side, job):
    """Logits (len(photos), K) float32 of whole photos at the inference size."""
    rows = []
    for i in job.progress(photos, what="tags of val"):
        photo = index.photo(i)
        size = crops.network_size(photo.shape[:2], side=side, stride=model.stride)
        rows.append(model(model.backbone.normalise(crops.resize(photo, size)[None]))[0][0].cpu().numpy())
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
