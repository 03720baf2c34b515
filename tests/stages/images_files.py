"""Tiny datasets on disk for the tests of the stage images."""

import json

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog")
PHOTO = (20, 24)  # height, width


def photo(path, *, seed=0, size=PHOTO, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def xml(*objects):
    """objects : (name, difficult, box or None, instance or None)."""
    parts = []
    for name, difficult, box, instance in objects:
        corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box or ()))
        parts.append(
            f"<object><name>{name}</name><difficult>{difficult}</difficult>"
            + (f"<instance>{instance}</instance>" if instance else "")
            + (f"<bndbox>{corners}</bndbox>" if box else "")
            + "</object>"
        )
    return f"<annotation>{''.join(parts)}</annotation>"


def labels(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, np.uint8))
    image.putpalette(np.arange(768, dtype=np.uint8).tobytes())
    image.save(path)


def voc(root):
    """Photos a, b, c (training; a, b with masks) and d (held out), of classes cat and dog; tags in XML only.

    a: cat (instance 1) and a difficult dog (2). b: two dogs. c: a cat. d: a dog, with masks.
    """
    for k, name in enumerate("abcd"):
        photo(root / f"JPEGImages/{name}.jpg", seed=k)
    write(root / "Annotations/a.xml", xml(("cat", 0, (1, 1, 8, 20), None), ("dog", 1, (13, 1, 24, 20), None)))
    write(root / "Annotations/b.xml", xml(("dog", 0, (1, 1, 8, 20), 2), ("dog", 0, (13, 1, 24, 20), 1)))
    write(root / "Annotations/c.xml", xml(("cat", 0, (1, 1, 24, 20), None)))
    write(root / "Annotations/d.xml", xml(("dog", 0, (1, 1, 24, 20), None)))
    for name, (left, right) in {"a": (1, 2), "b": (2, 2), "d": (2, 0)}.items():
        objects, classes = np.zeros(PHOTO, np.uint8), np.zeros(PHOTO, np.uint8)
        objects[:, :8], classes[:, :8] = 1, left
        if right:
            objects[:, 12:], classes[:, 12:] = 2, right
        objects[:, 8], classes[:, 8] = 255, 255
        labels(root / f"SegmentationObject/{name}.png", objects)
        labels(root / f"SegmentationClass/{name}.png", classes)
    write(root / "ImageSets/Main/train.txt", "c\nb\na\n")
    write(root / "ImageSets/Segmentation/train.txt", "a\nb\n")
    write(root / "ImageSets/Segmentation/val.txt", "d\n")
    return root


def coco_document(*, photos, first):
    """Two photos; the first has a polygon of category 3 and a crowd of category 7, the second an RLE of category 7."""
    height, width = PHOTO
    square = [2.0, 3.0, 10.0, 3.0, 10.0, 9.0, 2.0, 9.0]
    box = [2.0, 3.0, 8.0, 6.0]
    crowd = {"size": [height, width], "counts": [0, 5, height * width - 5]}
    plain = {"size": [height, width], "counts": [3, 7, height * width - 10]}
    images = [
        {"id": first + k, "file_name": f"{name}.jpg", "height": height, "width": width} for k, name in enumerate(photos)
    ]
    annotations = [
        {"segmentation": [square], "area": 47.5, "bbox": box, "iscrowd": 0, "category_id": 3},
        {"segmentation": crowd, "area": 5, "bbox": [0, 0, 1, 5], "iscrowd": 1, "category_id": 7},
        {"segmentation": plain, "area": 7, "bbox": [0, 3, 1, 7], "iscrowd": 0, "category_id": 7},
    ]
    for k, (one, image) in enumerate(zip(annotations, (first, first, first + 1))):
        one.update(id=first * 10 + k, image_id=image)
    return {"images": images, "annotations": annotations,
            "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]}  # fmt: skip


def coco(root, change=None):
    """A COCO dataset of two training and two held-out photos. change : function (split, document) that mends it."""
    for split, photos, first in (("train", ("000000000009", "000000000010"), 9), ("val", ("v1", "v2"), 40)):
        for k, name in enumerate(photos):
            photo(root / split / f"{name}.jpg", seed=first + k)
        document = coco_document(photos=photos, first=first)
        if change is not None:
            change(split, document)
        write(root / f"{split}.json", json.dumps(document))
    return root


def folder(root, table="file,tags\na.jpg,dog;cat\nsub/b.png,cat\n"):
    photo(root / "a.jpg")
    photo(root / "sub/b.png", seed=1)
    write(root / "tags.csv", table)
    return root
