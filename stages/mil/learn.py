"""Training of LIID's network (Sec. 4): from tags, proposals and CAMs to the scores of proposals."""

from functools import partial

import numpy as np
import torch

from stages.mil import losses
from stages.mil.network import BUILD, build
from stages.mil.rates import optimiser_of, rate_of
from stages.mil.samples import prepare, shown
from tag2mask.learn.device import moved
from tag2mask.learn.loop import Task, start, train
from tag2mask.learn.photos import spread
from tag2mask.learn.schedules import iterations_of
from tag2mask.learn.whole import share
from tag2mask.store.weights import Weights


def learn(index, shards, config, job):
    """Weights of kind "mil", scores "network". shards : (Instances, Maps), proposals and CAMs of the same photos."""
    labels = [0, *sorted(index.categories)]
    samples = prepare(index, shards, labels, config, job)
    start(job)
    meta = {"kind": "mil", "scores": "network", "labels": labels} | {name: getattr(config, name) for name in BUILD}
    model = build(meta, weights=config.weights)
    model.backbone.freeze(config.freeze)
    model.to(job.device)
    meta |= {"mean": list(model.backbone.mean), "std": list(model.backbone.std)}
    show = partial(shown, index, size=config.size, stride=model.backbone.strides[-1])
    centers = losses.Moving(model, config.center_rate)
    parts_of = partial(photo_losses, model.centers, lse=config.lse, positive_norm=config.positive_norm)
    weights = (config.cam_loss, config.mil_loss, config.center_loss)

    def make_batch(positions, draw):
        first = len(draw.before)
        flips = draw().integers(2, size=first + len(positions))[first:].astype(bool) & config.flip
        return [(samples[n], *show(samples[n], flip)) for n, flip in zip(positions, flips)]

    def loss(batch, t):
        seen, photos, shares = zip(*batch)
        f, scores = model(photos, shares)
        parts, _ = parts_of(seen, f, scores)
        centers.see(f, scores.argmax(1))
        return share(losses.total(parts.mean(0), weights))

    iterations = iterations_of(config.epochs, len(samples), config.batch)
    task = Task(
        "mil (network)", photos=len(samples), batch=config.batch, iterations=iterations, model=model,
        optimiser=optimiser_of(model, config), rate=rate_of(config, iterations, len(samples)),
        make_batch=make_batch, loss=loss, every=config.checkpoint_every, after=centers.after, joint=False,
        **config.computing(),
    )  # fmt: skip
    train(task, job)
    check(model, samples, show, parts_of, job)
    return Weights(meta, model.state_dict())


def photo_losses(centers, samples, f, scores, *, lse, positive_norm):
    """(the three losses of each photo (B, 3), Z of Eq. 5 (B, K + 1)).

    centers : (K + 1, D). f (N, D), scores (N, K + 1): rows in the order of the B `samples`.
    """
    counts = [len(sample.pseudo) for sample in samples]
    own = centers[scores.argmax(1)]
    parts, found = [], []
    for sample, f_i, scores_i, centers_i in zip(samples, f.split(counts), scores.split(counts), own.split(counts)):
        z = losses.aggregate(scores_i.softmax(1), lse)
        present, pseudo = (moved(torch.from_numpy(one), z.device) for one in (sample.present, sample.pseudo))
        cam = losses.cam_loss(scores_i, pseudo)
        mil = losses.mil_loss(z, present, positive_norm=positive_norm)
        parts.append(torch.stack([cam, mil, losses.center_loss(f_i, centers_i)]))
        found.append(z)
    return torch.stack(parts), torch.stack(found)


@torch.no_grad()
def check(model, samples, show, parts_of, job):
    """Numbers of the finished network on some training photos: losses, and whether Z finds the tags.

    show, parts_of : as in `learn`. tag_hits : of as many classes with the highest Z as a photo has tags, the share that
    are its tags; tag_chance : the share that a blind guess has. background : the share of proposals whose most probable
    class is the background.
    """
    some = [samples[k] for k in spread(len(samples))]
    parts, hits, chance, background = [], [], [], []
    for sample in job.progress(some, what="mil (check)"):
        photo, shares = show(sample, False)
        f, scores = model([photo], [shares])
        found, z = parts_of([sample], f, scores)
        parts.append(found[0].cpu().numpy())
        z = z[0, 1:].cpu().numpy()
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
