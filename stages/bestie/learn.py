"""Training of the instance network on transferred instances and on those that it refines itself, step by step.

Every iteration is a function of (seed, iteration) and of the state before it. Source: BESTIE, Sec. 3.3 to 3.5, 4.2.
"""

import os
from functools import partial

import numpy as np
import torch

from stages.bestie import infer, losses, network, refine
from stages.bestie.data import NO_MARKS, class_numbers, collate, marks_of, training_sample
from stages.bestie.labels import Labels, drawn, gaussians
from stages.segment.data import VOID
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.errors import UserError
from tag2mask.learn import training
from tag2mask.learn.backbone import normalise
from tag2mask.store.weights import Weights


def learn(index, transfer, semantic, *, points=None, config, job):
    """(Weights of kind "bestie", Instances of the snapshots) of a network trained on the training photos of `index`.

    transfer : Instances, the pseudo labels. semantic : LabelMaps of the photos. points : Table peaks/1 or None, then
    they draw the centre maps and are the refinement's centres (BESTIE, Sec. 4.3). Raises UserError when there is
    nothing to train on. Snapshots: see `Snapshots`.
    """
    if len(job.devices) > 1:
        raise UserError("bestie trains on one device: set gpus to 1 (the batch fits one large GPU)")
    photos = Photos(index, transfer, semantic, points=points, config=config)
    classes, total = len(index.categories), training.iterations_of(config.epochs, len(photos), config.batch)
    job.count(photos=len(photos), iterations=total, network=network.described(config), **photos.counted())
    training.start(job.seed, job.device, threads=job.threads)
    model, mean, std = network.build(config, classes, seed=job.seed)
    model.to(job.device)
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimiser]
    optimiser = make(network.groups(model, config), lr=config.rate)
    snapshots = Snapshots(index, model, marks=photos.marks, total=total, config=config, mean=mean, std=std, job=job)
    begin, last = config.refine_from * total, total - max(1, total // 10)
    tally = dict.fromkeys(("refined_iterations", "instances", "pseudo_pixels", "refined_pixels"), 0)

    def batch(t):
        positions = training.sample(len(photos), config.batch, t, seed=job.seed)
        rngs = (np.random.default_rng((job.seed, 1, t, k)) for k in range(config.batch))
        samples = [photos.sample(position, mean=mean, rng=rng) for position, rng in zip(positions, rngs)]
        return collate(samples), torch.from_numpy(photos.tags[positions])

    def step(t):
        given, tags = batches(t)
        given = given.to(job.device)
        # the pyramids' dropout draws from torch's global state: it starts anew in every iteration
        torch.manual_seed(int(np.random.default_rng((job.seed, 2, t)).integers(2**62)))
        x = normalise(given.crops, mean, std, device=job.device).contiguous(memory_format=torch.channels_last)
        output = model(x)
        pseudo, refined = drawn(given.labels, classes, sigma=config.sigma), None
        if config.refine and t >= begin:
            labels = refined_labels(output, tags.to(job.device), given, config=config)
            refined = drawn(labels, classes, sigma=config.sigma)
            count(t, labels, pseudo, refined)
        if given.points is not None:  # their centre map takes the place of both (BESTIE, Sec. 4.3)
            center = pointed(given, classes, sigma=config.sigma)
            pseudo, refined = pseudo._replace(center=center), refined and refined._replace(center=center)
        return losses.total(output, pseudo, refined, given.target, config=config)

    def count(t, labels, pseudo, refined):
        tally["refined_iterations"] += len(labels.photo) > 0
        if t >= last:
            tally["instances"] += len(labels.photo)
            tally["pseudo_pixels"] += int(pseudo.inside.sum())
            tally["refined_pixels"] += int(refined.inside.sum())

    workers = 0 if job.device == "cpu" else min(8, os.cpu_count() or 1)
    with training.Ahead(batch, iterations=total, workers=workers) as batches:
        loss = training.fit(
            step, model=model, optimiser=optimiser, rate=partial(training.poly_rate, total=total, power=config.power),
            iterations=total, job=job, every=config.checkpoint_every, clip=config.clip or None, what="BESTIE",
            after=snapshots.after, tally=tally,
        )  # fmt: skip
    job.count(loss=loss)
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


def pointed(given, classes, *, sigma):
    """(B, K, H, W) float32: the centre map of the points of a Batch."""
    points = given.points
    center = torch.stack([points.y, points.x], 1)
    number = torch.zeros_like(given.labels.number)
    return gaussians(Labels(number, points.photo, points.column, center, points.score), classes, sigma=sigma)


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


class Photos:
    """The photos to train on: training photos of the index with a semantic map that says something, or an instance.

    tags : (n, K) bool, the classes of each. Only instances with a class and ignore 0 count, and of the points those
    of classes of the index. Raises UserError where no photo has an instance (with points: a point), a photo has no
    semantic map, or an id is above 254.
    """

    def __init__(self, index, transfer, semantic, *, points, config):
        self.index, self.transfer, self.semantic, self.config = index, transfer, semantic, config
        self.categories = sorted(index.categories)
        if max(self.categories, default=0) >= VOID:
            raise UserError(f"Category id {self.categories[-1]} does not fit a semantic map: ids must be at most 254.")
        self.number = class_numbers(self.categories)
        if config.undecided == "background":
            self.number[VOID] = 0
        self.column = {category: k for k, category in enumerate(self.categories)}
        place = {name: k for k, name in enumerate(transfer.image_id)}
        used = (transfer.ignore == 0) & (transfer.category > 0)
        self.marks = None if points is None else marks_of(points, self.column)
        self.chosen = []  # (photo of the index, row numbers of its instances)
        for i in index.where("train"):
            name = index.image_id[i]
            if name not in semantic:
                raise UserError(f"bestie: there is no semantic map of the photo {name}; run the stage semantic again.")
            first, end = transfer.first[place[name] : place[name] + 2] if name in place else (0, 0)
            rows = first + np.flatnonzero(used[first:end])
            if len(rows) or (semantic[name] != VOID).any():
                self.chosen.append((int(i), rows))
        found = self.counted()
        if self.marks is not None and not found["photos_with_points"]:
            raise UserError("bestie: no training photo has a point; name the points of this dataset (dataset.points)")
        if self.marks is None and not found["instances"]:
            raise UserError(
                "bestie: no training photo has a transferred instance, so there is nothing to train on; look at the "
                "peaks and the semantic maps (stages cam, semantic), or lower transfer.min_area"
            )
        self.tags = np.zeros((len(self.chosen), len(self.categories)), bool)
        for k, (i, _) in enumerate(self.chosen):
            self.tags[k, [self.column[c] for c in index.tags(i)]] = True

    def __len__(self):
        return len(self.chosen)

    def counted(self):
        """Numbers for the manifest."""
        found = {"instances": int(sum(len(rows) for _, rows in self.chosen))}
        if self.marks is not None:
            names = [self.index.image_id[i] for i, _ in self.chosen]
            found["photos_with_points"] = sum(name in self.marks for name in names)
        return found

    def sample(self, position, *, mean, rng):
        """The training sample of one of the photos; see data.training_sample."""
        i, rows = self.chosen[position]
        name = self.index.image_id[i]
        masks = np.array([self.transfer.mask(row) for row in rows], bool).reshape(-1, *self.index.size[i])
        filled = masks.any((1, 2))
        column = np.array([self.column[int(c)] for c in self.transfer.category[rows]], np.int64)
        label = self.number[self.semantic[name]]
        return training_sample(
            self.index.photo(i), label, masks=masks[filled], column=column[filled], config=self.config, mean=mean,
            rng=rng, points=None if self.marks is None else self.marks.get(name, NO_MARKS),
        )  # fmt: skip


class Snapshots:
    """Refined labels of training photos at config.snapshots equal intervals of the training, the last at its end.

    A table's image ids are "<iterations done, six digits>/<image id>". Each is kept beside the checkpoints, so that a
    resumed training has the earlier ones too. Source: BESTIE, Fig. 6.
    """

    def __init__(self, index, model, *, marks, total, config, mean, std, job):
        self.marks = marks
        self.index, self.model, self.config, self.mean, self.std, self.job = index, model, config, mean, std, job
        self.at = sorted({max(1, round(total * (k + 1) / config.snapshots)) for k in range(config.snapshots)})
        photos = index.where("with_masks")
        self.photos = (photos if len(photos) else index.where("train"))[: config.snapshot_photos]
        self.kept = {}

    def after(self, t):
        """Called after iteration t: takes a snapshot if one is due."""
        if t + 1 not in self.at:
            return
        self.model.eval()
        table = self.taken(t + 1)
        self.model.train()
        if self.job.checkpoints is None:
            self.kept[t + 1] = table
        else:
            table.save(self.path(t + 1))

    def taken(self, done):
        """Instances of the chosen photos by the rules of the refinement."""
        names = self.index.image_id
        photos = (
            (f"{done:06d}/{names[i]}", self.index.photo(i), self.index.tags(i), self.points_of(names[i]))
            for i in self.photos
        )
        return infer.instances_of(
            self.model, photos, config=self.config, mean=self.mean, std=self.std, categories=self.index.categories,
            rule="refine",
        )  # fmt: skip

    def points_of(self, name):
        return None if self.marks is None else self.marks.get(name, NO_MARKS)

    def path(self, done):
        return self.job.checkpoints / f"snapshot-{done:06d}.zarr.zip"

    def table(self):
        """All snapshots, in order of time."""
        if not self.at:
            return InstancesBuilder(self.index.categories).finish()
        parts = [self.kept[k] if k in self.kept else Instances.load(self.path(k)) for k in self.at]
        whole = Instances.concat(parts)
        return whole.replaced(id=np.arange(1, len(whole) + 1))
