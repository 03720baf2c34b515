"""Small datasets as other tools write them, one a kind, for docs/inputs.md and its test.

Four photos 0 to 3 of 24 x 20 pixels: 0 and 3 show a cat, 1 a dog, 2 both; a cat is the box of CAT, a dog that of DOG.
"""

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

HEIGHT, WIDTH = 20, 24
SHOWN = (("cat",), ("dog",), ("cat", "dog"), ("cat",))
BOXES = {"cat": (2, 3, 10, 13), "dog": (13, 5, 22, 17)}  # x, y, end of x, end of y
FOLDER = {"kind": "folder", "shards": 1}
COCO = {"kind": "coco", "train_json": "train.json", "val_json": None, "train_photos": "images", "shards": 1}
VOC = {"kind": "voc", "train": "Main/train", "classes": ["cat", "dog"], "shards": 1}


@dataclass
class Odd:
    """One kind. what : in words. make : writes it into a folder. keys : of the section dataset. way : keys that read
    it, where it is refused or read otherwise without them. names : {class as it is there: cat or dog}.
    """

    what: str
    make: Callable[[Path], None]
    keys: dict
    way: dict = field(default_factory=dict)
    names: dict = field(default_factory=dict)
    refused: bool = False


def mask(name):
    """(H, W) bool."""
    x, y, right, bottom = BOXES[name]
    found = np.zeros((HEIGHT, WIDTH), bool)
    found[y:bottom, x:right] = True
    return found


def save(path, i, **options):
    photo = np.random.default_rng(i).integers(90, 165, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path, **options)


def turned(code):
    """Options of a photo whose EXIF says that its pixels are to be turned."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = code
    return {"exif": exif.tobytes()}


def polygon(name):
    x, y, right, bottom = BOXES[name]
    return [x, y, right, y, right, bottom, x, bottom]


def runs(name):
    flat = mask(name).T.ravel().astype(int)
    return np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()


def coco(edit=None, *, file=lambda i: f"{i}.jpg", **options):
    """A maker: images/ and train.json. edit(document) changes it; an annotation's `name` is its class."""

    def make(root):
        document = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}
        for i, shown in enumerate(SHOWN):
            save(root / "images" / file(i).replace("\\", "/"), i, **options)
            document["images"].append({"id": i + 1, "file_name": file(i), "height": HEIGHT, "width": WIDTH})
            for name in shown:
                x, y, right, bottom = BOXES[name]
                document["annotations"].append({
                    "id": len(document["annotations"]) + 1, "image_id": i + 1, "category_id": 1 + (name == "dog"),
                    "segmentation": [polygon(name)], "bbox": [x, y, right - x, bottom - y],
                    "area": (right - x) * (bottom - y), "iscrowd": 0, "name": name,
                })  # fmt: skip
        if edit:
            edit(document)
        (root / "train.json").write_text(json.dumps(document))

    return make


def each(part="annotations", **values):
    """An edit of every entry; a value may be a function of the entry."""

    def edit(document):
        for one in document[part]:
            one.update({key: value(one) if callable(value) else value for key, value in values.items()})

    return edit


def from_zero(document):
    each("categories", id=lambda one: one["id"] - 1)(document)
    each(category_id=lambda one: one["category_id"] - 1)(document)


def rle(one, size=(HEIGHT, WIDTH)):
    return {"counts": runs(one["name"]), "size": list(size)}


def brushed(*names):
    return lambda document: [one.update(iscrowd=1, segmentation=rle(one)) for one in document["annotations"]
                             if one["name"] in names]  # fmt: skip


def twice(document):
    document["images"] += [{**one, "id": one["id"] + 100} for one in document["images"]]
    document["annotations"] += [
        {**one, "id": one["id"] + 100, "image_id": one["image_id"] + 100} for one in document["annotations"]
    ]


def table(text, *, file=lambda i: f"{i}.png", encoding="utf-8", **options):
    """A maker: photos and tags.csv. text : function of [(file, classes)]."""

    def make(root):
        for i in range(len(SHOWN)):
            save(root / file(i), i, **options)
        rows = [(file(i), shown) for i, shown in enumerate(SHOWN)]
        (root / "tags.csv").write_bytes(text(rows).encode(encoding))

    return make


def joined(separator, head="file,tags", cell="{}", line="{file},{tags}", end="\n"):
    """A CSV whose tags stand in one cell."""
    return lambda rows: (
        head
        + end
        + "".join(line.format(file=file, tags=cell.format(separator.join(shown))) + end for file, shown in rows)
    )


def ticks(yes, no, head="file,cat,dog"):
    return lambda rows: (
        head
        + "\n"
        + "".join(",".join([file, *(yes if name in shown else no for name in BOXES)]) + "\n" for file, shown in rows)
    )


def replaced(text, *pairs):
    def made(rows):
        found = text(rows)
        for old, new in pairs:
            found = found.replace(old, new)
        return found

    return made


def numbered(rows):
    return ",file,tags\n" + "".join(f"{k},{file},{';'.join(shown)}\n" for k, (file, shown) in enumerate(rows))


def every_other(rows, other):
    """The classes of every other photo in another spelling."""
    return "file,tags\n" + "".join(
        f"{file},{';'.join(other(name) if k % 2 else name for name in shown)}\n" for k, (file, shown) in enumerate(rows)
    )


def corners(decimals=""):
    """A box in VOC's XML, its four corners still to be filled in."""
    inside = "".join(f"<{key}>{{}}{decimals}</{key}>" for key in ("xmin", "ymin", "xmax", "ymax"))
    return f"<bndbox>{inside}</bndbox>"


def voc(box=None, *, name=str, difficult="0"):
    """A maker of VOC's layout."""

    def make(root):
        for folder in ("SegmentationClass", "SegmentationObject", "Annotations"):
            (root / folder).mkdir()
        for i, shown in enumerate(SHOWN):
            save(root / f"JPEGImages/{i}.jpg", i)
            (classes, numbers), objects = np.zeros((2, HEIGHT, WIDTH), np.uint8), ""
            for k, one in enumerate(shown, 1):
                classes[mask(one)], numbers[mask(one)] = 1 + (one == "dog"), k
                x, y, right, bottom = BOXES[one]
                objects += (f"<object><name>{name(one)}</name><difficult>{difficult}</difficult>"
                            f"{(box or corners()).format(x + 1, y + 1, right, bottom)}</object>")  # fmt: skip
            (root / f"Annotations/{i}.xml").write_text(f"<annotation>{objects}</annotation>")
            Image.fromarray(classes).save(root / f"SegmentationClass/{i}.png")
            Image.fromarray(numbers).save(root / f"SegmentationObject/{i}.png")
        for path, ids in (("Main/train", "0123"), ("Segmentation/train", "0123"), ("Segmentation/val", "v")):
            (root / f"ImageSets/{path}.txt").parent.mkdir(parents=True, exist_ok=True)
            (root / f"ImageSets/{path}.txt").write_text("\n".join(ids))
        save(root / "JPEGImages/v.jpg", 9)  # held out, with nothing on it
        (root / "Annotations/v.xml").write_text("<annotation/>")
        for folder in ("SegmentationClass", "SegmentationObject"):
            Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(root / folder / "v.png")

    return make


def and_then(make, more):
    def both(root):
        make(root)
        more(root)

    return both


def points_from_zero(root):
    (root / "points").mkdir()
    for i, shown in enumerate(SHOWN):
        lines = (f"{BOXES[name][0] + 2} {BOXES[name][1] + 2} {list(BOXES).index(name)} 1.0\n" for name in shown)
        (root / f"points/{i}.txt").write_text("".join(lines))


def spoil_dogs(root):
    for i, shown in enumerate(SHOWN):
        if "dog" in shown:
            (root / f"{i}.png").write_bytes(b"")


def nfd(text):
    return unicodedata.normalize("NFD", text)
