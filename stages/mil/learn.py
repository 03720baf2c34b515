"""Training of LIID's network (Sec. 4), from tags, proposals and CAMs; the CAMs never change, so Eq. 3 is done once."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from stages.mil import losses
from stages.mil.features import corners, entering, mirrored
from stages.mil.network import BUILD, build
from stages.mil.scores import box_statistics, mask_statistics, relevance
from stages.mil.select import chosen
from stages.mil.shards import pairs, tagged_maps
from tag2mask.data.index import Index
from tag2mask.errors import UserError
from tag2mask.learn import training
from tag2mask.store.weights import Weights

CHECKED = 256  # training photos, evenly spread, on which the finished network is looked at


@dataclass
class Sample:
    """A training photo. number : in the index. shares : (n, 4) float32 boxes' corners. pseudo : (n,) int64 classes of
    Eq. 3. present : (K + 1,) bool, its tags and the background."""

    number: int
    shares: np.ndarray
    pseudo: np.ndarray
    present: np.ndarray


def learn(inputs, config, job):
    """See `stages.mil.train`."""
    index = Index.load(inputs.index)
    if config.scores == "attention":
        from stages.mil import extractor

        return extractor.learn(index, config, job)
    if config.scores == "cam":
        raise UserError("mil.scores is cam, which trains nothing: set it to network or attention.")
    labels = [0, *sorted(index.categories)]
    samples = prepare(inputs, index, labels, config, job)
    training.start(job.seed, job.device, threads=job.threads)
    meta = {"kind": "mil", "scores": "network", "labels": labels} | {name: getattr(config, name) for name in BUILD}
    model = build(meta, weights=config.weights)
    model.backbone.freeze(config.freeze)
    model.to(job.device)
    meta |= {"mean": list(model.backbone.mean), "std": list(model.backbone.std)}
    stride = model.backbone.strides[-1]

    def batch(t):
        numbers = training.sample(len(samples), config.batch, t, seed=job.seed)
        flips = training.rng(job.seed, t).integers(2, size=len(numbers)).astype(bool) & config.flip
        return [(samples[n], *shown(index, samples[n], config.size, stride, flip)) for n, flip in zip(numbers, flips)]

    def step(t):
        items = batches(t)
        f, scores = model([photo for _, photo, _ in items], [shares for _, _, shares in items])
        parts = photo_losses(model, f, scores, [sample for sample, _, _ in items], config)
        with torch.no_grad():  # after the loss, which looks at the centres as they were
            model.centers.copy_(losses.updated(model.centers, f, scores.argmax(1), config.center_rate))
        return losses.total(parts.mean(0), config)

    iterations = training.iterations_of(config.epochs, len(samples), config.batch)
    workers = 0 if str(job.device) == "cpu" else max(2, job.threads)
    with training.Ahead(batch, iterations=iterations, workers=workers) as batches:
        loss = training.fit(
            step, model=model, optimiser=optimiser(model, config), rate=schedule(config, iterations, len(samples)),
            iterations=iterations, job=job, every=config.checkpoint_every, what="mil (network)",
        )  # fmt: skip
    job.count(iterations=iterations, photos=len(samples), loss=round(loss, 4))
    check(model, index, samples, config, job)
    return Weights(meta, model.state_dict())


def prepare(inputs, index, labels, config, job):
    """A `Sample` of every training photo that has proposals. Shards are read one after another."""
    number = {name: i for i, name in enumerate(index.image_id)}
    column = {category: k for k, category in enumerate(labels)}
    samples = []
    for proposals, cam in pairs(inputs.proposals, inputs.cam):
        for i, name in job.progress(enumerate(proposals.image_id), total=proposals.images, what="pseudo labels"):
            if name not in number:
                raise UserError(f"The proposals hold the photo {name}, which the index lacks: build them again.")
            n = number[name]
            photo = index.photo(n) if config.select == "salient" else None
            rows = chosen(proposals, i, photo, config=config)
            if not len(rows):
                continue
            tags = index.tags(n)
            present = np.zeros(len(labels), bool)
            present[[0, *(column[c] for c in tags)]] = True
            columns, maps = tagged_maps(cam, i, tags, column)
            pseudo = losses.pseudo_labels(region_relevance(proposals, i, rows, maps, config), columns, config.eta)
            samples.append(Sample(n, corners(proposals.bbox[rows], proposals.size[i]), pseudo, present))
    if not samples:
        raise UserError("No training photo has a proposal: look at the stage proposals.")
    counts = np.bincount(np.concatenate([sample.pseudo for sample in samples]), minlength=len(labels))
    shares = (counts / counts.sum()).round(4).tolist()
    names = ["background", *(index.categories[c] for c in labels[1:])]
    job.count(proposals=int(counts.sum()), pseudo_background=shares[0], pseudo_share=dict(zip(names, shares)))
    return samples


def region_relevance(proposals, i, rows, maps, config):
    """(n, T) R of Eq. 3 of the rows of photo i: over their boxes or their masks, by `pooling` and `terms`."""
    if not maps:
        return np.zeros((len(rows), 0))
    if config.pooling == "mask":
        masks = np.stack([proposals.mask(row) for row in rows])
        return relevance([mask_statistics(one, masks) for one in maps], config.terms)
    boxes, size = proposals.bbox[rows], proposals.size[i]
    return relevance([box_statistics(one, boxes, size=size) for one in maps], config.terms)


def shown(index, sample, size, stride, flip):
    """(photo (h, w, 3) uint8, corners (n, 4)) as they enter the network, both mirrored if `flip`.

    R of Eq. 3 is of the stored CAM: mirroring photo, map and box alike would not change it.
    """
    photo = entering(index.photo(sample.number), size, stride=stride)
    return (np.ascontiguousarray(photo[:, ::-1]), mirrored(sample.shares)) if flip else (photo, sample.shares)


def photo_losses(model, f, scores, samples, config):
    """(B, 3): the three losses of each photo. f (N, D), scores (N, K + 1): rows in the order of `samples`."""
    counts = [len(sample.pseudo) for sample in samples]
    centers = model.centers[scores.argmax(1)]
    parts = []
    for sample, f_i, scores_i, centers_i in zip(samples, f.split(counts), scores.split(counts), centers.split(counts)):
        z = losses.aggregate(scores_i.softmax(1), config.lse)
        present = torch.from_numpy(sample.present).to(z.device)
        cam = losses.cam_loss(scores_i, torch.from_numpy(sample.pseudo).to(z.device))
        mil = losses.mil_loss(z, present, positive_norm=config.positive_norm)
        parts.append(torch.stack([cam, mil, losses.center_loss(f_i, centers_i)]))
    return torch.stack(parts)


@torch.no_grad()
def check(model, index, samples, config, job):
    """Numbers of the finished network on some training photos: losses, and whether Z finds the tags.

    tag_hits : of as many classes with the highest Z as a photo has tags, the share that are its tags; tag_chance : the
    share that a blind guess has. background : the share of proposals whose most probable class is the background.
    """
    some = [samples[k] for k in np.unique(np.linspace(0, len(samples) - 1, CHECKED).round().astype(int))]
    parts, hits, chance, background = [], [], [], []
    for sample in job.progress(some, what="mil (check)"):
        photo, shares = shown(index, sample, config.size, model.backbone.strides[-1], False)
        f, scores = model([photo], [shares])
        parts.append(photo_losses(model, f, scores, [sample], config)[0].cpu().numpy())
        z = losses.aggregate(scores.softmax(1), config.lse)[1:].cpu().numpy()
        tags = int(sample.present[1:].sum())
        if tags:
            hits.append(sample.present[1:][np.argsort(-z, kind="stable")[:tags]].mean())
            chance.append(tags / len(z))
        background += (scores.argmax(1) == 0).tolist()
    cam, mil, center = np.mean(parts, 0).tolist()
    job.count(cam_loss=round(cam, 4), mil_loss=round(mil, 4), center_loss=round(center, 4))
    job.count(background=round(float(np.mean(background)), 4))
    if hits:
        job.count(tag_hits=round(float(np.mean(hits)), 4), tag_chance=round(float(np.mean(chance)), 4))


def optimiser(model, config):
    groups = model.groups(config.rate, new=config.rate_new, weight_decay=config.weight_decay)
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.rate)


def schedule(config, iterations, count):
    """iteration -> factor of the rates."""
    if config.schedule == "one_cycle":
        return partial(training.one_cycle_rate, total=iterations)
    drops = [round(epochs * count / config.batch) for epochs in config.drops]
    return partial(training.step_rate, drops=drops)
