"""Stores and a COCO file of a dataset's size, fabricated: ellipses on photos of 480 x 640 pixels, nothing to learn.

    fabricate(folder, photos=10_000)

Like COCO: 7.6 objects a photo of 80 classes, one held-out photo for 24 others, 256 shards, 40 nodes a photo (mil.keep).
"""

import json

import numpy as np
from PIL import Image

from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.ragged import starts, take_ragged

SIZE = (480, 640)
SHAPES = 20_000  # different ellipses
OBJECTS = 896_000 / 123_287  # an object's photo has so many, COCO's 2017 annotations
HELD = 24  # training photos for each held-out one
SHARDS, NODES = 256, 40  # config/coco.yaml
LABELLED = 0.25  # share of the nodes that get a class
CORNERS = 32  # of a polygon: 500 bytes an annotation, as in COCO


class Shapes:
    """Run lengths, boxes, areas and polygons of SHAPES ellipses; widths and heights as COCO's, log-normal about 70."""

    def __init__(self, rng):
        height, width = SIZE
        w, h = (rng.lognormal(np.log(70), 0.8, SHAPES).clip(4, side - 20).astype(int) for side in (width, height))
        x, y = (rng.random(SHAPES) * (width - w - 4) + 2).astype(int), (rng.random(SHAPES) * (height - h - 4) + 2)
        runs, self.bbox, self.area, self.polygon = [], np.zeros((SHAPES, 4), np.float32), np.zeros(SHAPES), []
        turn = 2 * np.pi * np.arange(CORNERS) / CORNERS
        for k in range(SHAPES):
            half = h[k] / 2 * np.sqrt(1 - ((np.arange(w[k]) + 0.5) / w[k] * 2 - 1) ** 2)
            middle = y[k] + h[k] / 2
            top = np.floor(middle - half).astype(int)
            long = np.maximum(1, np.round(2 * half).astype(int))
            begin = (x[k] + np.arange(w[k])) * height + top
            edges = np.stack([begin, begin + long], 1).ravel()
            runs.append(np.diff(np.concatenate(([0], edges, [height * width]))))
            self.bbox[k] = x[k], top.min(), w[k], (top + long).max() - top.min()
            self.area[k] = long.sum()
            corners = np.stack([x[k] + w[k] / 2 * (1 + np.cos(turn)), middle + h[k] / 2 * np.sin(turn)], 1)
            self.polygon.append(json.dumps(np.round(corners.ravel(), 2).tolist()))
        self.first, self.runs = starts([len(one) for one in runs]), np.concatenate(runs).astype(np.uint32)


class Rows:
    """Objects of photos: first (I + 1,), shape (N,) and category (N,)."""

    def __init__(self, first, shape, category):
        self.first, self.shape, self.category = first, shape, category

    def of(self, photos):
        """Those of some photos."""
        at, first = take_ragged(np.arange(len(self.shape)), self.first, photos)
        return Rows(first, self.shape[at], self.category[at])

    def moved(self, rng, share):
        """The same with other shapes for a share of them."""
        other = rng.integers(0, SHAPES, len(self.shape))
        return Rows(self.first, np.where(rng.random(len(self.shape)) < share, other, self.shape), self.category)


def random_rows(rng, photos, mean, *, classes=80):
    first = starts(rng.poisson(mean - 1, photos) + 1)
    kinds = rng.integers(1, classes + 1, first[-1]) if classes else np.zeros(first[-1], int)
    return Rows(first, rng.integers(0, SHAPES, first[-1]), kinds)


def table(names, rows, shapes, *, categories, score):
    """The Instances of photos `names`, ids from 1."""
    count = len(rows.shape)
    runs, rle_first = take_ragged(shapes.runs, shapes.first, rows.shape)
    return Instances(
        categories, list(names), np.tile(np.array(SIZE, np.int32), (len(names), 1)), rows.first,
        np.arange(1, count + 1), rows.category.astype(np.int16), np.asarray(score, np.float32),
        shapes.bbox[rows.shape], shapes.area[rows.shape], np.zeros(count, np.uint8), rle_first, runs,
        np.zeros(len(names) + 1, np.int64), np.zeros(0, np.uint32),
    )  # fmt: skip


def fabricate(folder, *, photos, seed=0):
    """All that the jobs of `benchmarks.scale` read, in `folder`; photos : how many to train on."""
    rng = np.random.default_rng(seed)
    shapes, held = Shapes(rng), max(1, photos // HELD)
    names = [f"{k:012d}" for k in range(1, photos + held + 1)]
    categories = {k: f"class {k}" for k in range(1, 81)}
    objects = random_rows(rng, len(names), OBJECTS)
    write_coco(folder / "data", names, objects, shapes, categories=categories, train=photos)
    train = np.arange(len(names)) < photos
    index = Index.build(
        folder / "data", categories, image_id=names,
        path=[f"{'train' if one else 'val'}/{name}.jpg" for one, name in zip(train, names)],
        size=[SIZE] * len(names), tags=np.split(objects.category, objects.first[1:-1]), train=train, with_masks=train,
        val=~train, shards=min(SHARDS, photos // 4),
    )  # fmt: skip
    index.save(folder / "index.zarr.zip")
    table(names, objects, shapes, categories=categories, score=np.ones(len(objects.shape))).save(
        folder / "truth.zarr.zip"
    )
    for k in range(index.shards):
        own = index.of_shard(k)
        labels = objects.of(own).moved(rng, 0.4)
        score = rng.random(len(labels.shape))
        table([names[i] for i in own], labels, shapes, categories=categories, score=score).save(
            folder / f"instances/{k:04d}.zarr.zip"
        )
        nodes = random_rows(rng, len(own), NODES, classes=0)
        table([names[i] for i in own], nodes, shapes, categories={0: "proposal"}, score=np.ones(len(nodes.shape))).save(
            folder / f"proposals/{k:04d}.zarr.zip"
        )
    own = np.flatnonzero(index.val)
    answers = objects.of(own).moved(rng, 0.6)
    table([names[i] for i in own], answers, shapes, categories=categories, score=rng.random(len(answers.shape))).save(
        folder / "predictions.zarr.zip"
    )


def write_coco(folder, names, objects, shapes, *, categories, train):
    """COCO's layout: photos, which are links to one grey one, and two JSON files."""
    height, width = SIZE
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
    Image.new("RGB", (width, height), "grey").save(folder / "grey.jpg")
    kinds = json.dumps([{"id": key, "name": name} for key, name in categories.items()])
    for split, photos in (("train", range(train)), ("val", range(train, len(names)))):
        for i in photos:
            (folder / split / f"{names[i]}.jpg").symlink_to(folder / "grey.jpg")
        with (folder / f"{split}.json").open("w") as file:
            file.write('{"images": [')
            file.write(",\n".join(
                f'{{"id": {i + 1}, "file_name": "{names[i]}.jpg", "height": {height}, "width": {width}}}'
                for i in photos
            ))  # fmt: skip
            file.write('], "annotations": [')
            for i in photos:
                for n in range(objects.first[i], objects.first[i + 1]):
                    shape = objects.shape[n]
                    file.write(
                        f'{"," if n > objects.first[photos[0]] else ""}\n{{"segmentation": [{shapes.polygon[shape]}], '
                        f'"area": {shapes.area[shape]}, "iscrowd": 0, "image_id": {i + 1}, '
                        f'"bbox": {shapes.bbox[shape].tolist()}, "category_id": {objects.category[n]}, "id": {n + 1}}}'
                    )
            file.write(f'], "categories": {kinds}}}')
