"""The truth of COCO files that are read twice, masks the second time, against the files read at once."""

import json

import numpy as np
import pytest
from images_files import PHOTO, photo, write

from stages.images import coco, run
from stages.images.config import Config
from tag2mask.data import rle
from tag2mask.data.coco import from_coco
from tag2mask.data.instances import Instances
from tag2mask.run.job import Job
from tag2mask.store.store import digest

KEYS = {"kind": "coco", "train_json": "train.json", "val_json": "val.json", "train_photos": "train",
        "val_photos": "val"}  # fmt: skip


def segment(rng):
    """Polygons, a flat one, one of too few points, run lengths, compressed ones."""
    height, width = PHOTO
    pixels, first = height * width, int(rng.integers(0, 9))
    polygon = [float(v) for v in rng.integers(0, 20, 8)]
    return [
        [polygon, [float(v) for v in rng.integers(0, 20, 6)]], polygon, [polygon, [1.0, 2.0]],
        {"size": [height, width], "counts": [first, 7, pixels - first - 7]},
        {"size": [height, width], "counts": rle.from_counts([first, 3, pixels - first - 3], PHOTO)["counts"].decode()},
    ][rng.integers(5)]  # fmt: skip


def document(rng, names, *, first, text):
    """A COCO document as tools write it: ids as text, boxes and areas that are missing or none, crowds, no order."""
    height, width = PHOTO
    images = [{"id": str(k) if text else k, "file_name": f"{name}.jpg", "height": height, "width": width}
              for k, name in enumerate(names, 1)]  # fmt: skip
    annotations = []
    for _ in range(30):
        one = {"id": first + len(annotations), "image_id": int(rng.integers(1, len(names) + 1)),
               "category_id": int(rng.choice([3, 7, 9])), "segmentation": segment(rng),
               "iscrowd": int(rng.random() < 0.2)}  # fmt: skip
        if rng.random() < 0.6:
            one |= {"bbox": rng.random(4).tolist(), "area": rng.random()}
        elif rng.random() < 0.5:
            one |= {"bbox": [1, 2], "area": "nothing", "score": 0.5}
        annotations.append(one)
    order = rng.permutation(len(images))
    kinds = [{"id": key, "name": name} for key, name in ((3, "cat"), (7, "dog"), (9, "emu"))]
    return {"annotations": annotations, "categories": kinds, "images": [images[k] for k in order]}


def at_once(index, documents, classes):
    """The table as from files that are read whole: one a split, ids of the second raised, rows of the classes."""
    tables = [from_coco(one) for one in documents]
    tables = [one.select(np.isin(one.category, list(classes))).replaced(categories=classes) for one in tables]
    if np.intersect1d(tables[0].id, tables[1].id).size:
        tables[1] = tables[1].replaced(id=tables[1].id + tables[0].id.max())
    whole = Instances.concat(tables)
    return whole.images_subset([whole.image_id.index(name) for name in index.image_id])


@pytest.mark.parametrize("seed", range(4))
def test_masks_that_are_read_later_are_those_of_the_file(tmp_path, seed):
    rng = np.random.default_rng(seed)
    names = {"train": ["10", "2", "b", "é"], "val": ["v1", "a"]}
    given = []
    for split, photos in names.items():
        for k, name in enumerate(photos):
            photo(tmp_path / split / f"{name}.jpg", seed=k)
        given.append(document(rng, photos, first=1 if seed % 2 else 1 + 500 * len(given), text=seed > 1))
        write(tmp_path / f"{split}.json", json.dumps(given[-1]))
    job, classes = Job(), ["cat", "emu"] if seed == 3 else None
    made = run(None, Config(root=str(tmp_path), classes=classes, on_untagged="skip", **KEYS), job)
    index, truth = made["index"], made["truth"]
    assert len(index) == truth.images >= 5 and len(truth) > 20
    keep = [set(index.image_id) & {*photos} for photos in names.values()]
    documents = [
        {**one, "images": images, "annotations": [a for a in one["annotations"] if a["image_id"] in numbers]}
        for one, names in zip(given, keep)
        for images in [[i for i in one["images"] if i["file_name"].removesuffix(".jpg") in names]]
        for numbers in [{int(i["id"]) for i in images}]
    ]
    assert digest(truth.arrays()) == digest(at_once(index, documents, index.categories).arrays())
    assert any("polygons of fewer than 3 points were left out" in sentence for sentence in job.warnings)


def test_nothing_of_a_mask_is_held_while_photos_are_looked_at(tmp_path):
    write(tmp_path / "train.json", json.dumps(document(np.random.default_rng(0), ["a", "b"], first=1, text=True)))
    held = coco.load(tmp_path / "train.json", "train.json", "train", Job())
    assert [one["number"] for one in held["annotations"]] == list(range(30))
    for one in held["annotations"]:
        assert one.keys() <= {*coco.LIGHT, "segmentation", "number"} and one["segmentation"] is True
