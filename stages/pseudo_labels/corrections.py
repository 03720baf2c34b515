"""What people decided about the labels, read from a file: decisions of `tag2mask review`, or a corrected COCO JSON.

Decisions name masks, not rows, so that they hold whatever number a mask gets next time. A COCO JSON (of CVAT, Label
Studio, X-AnyLabeling) says of every photo that it lists how its labels are to be, all of them.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from tag2mask.data.coco import from_coco, segment_to_rle
from tag2mask.data.coco_json import tidied
from tag2mask.data.instances import CORRECTIONS
from tag2mask.data.names import Names
from tag2mask.errors import UserError

UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded photo


@dataclass
class Decided:
    """One photo. settled : [(category, score, RLE)] that stay or are added. rejected : {(category, counts)} that go.

    whole : whether nothing but `settled` is to be left.
    """

    settled: list = field(default_factory=list)
    rejected: set = field(default_factory=set)
    whole: bool = False


def read(path, index):
    """{image id: Decided} of a file. UserError that names the file and the photo for what does not fit the `index`."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"pseudo_labels.corrections: {path} is no JSON file ({error}); name another.") from None
    if isinstance(content, dict) and content.get("schema") == CORRECTIONS:
        return decisions(content, index, path)
    if isinstance(content, dict) and all(key in content for key in ("images", "annotations", "categories")):
        return corrected(content, index, path)
    raise UserError(
        f"pseudo_labels.corrections: {path} is neither what `tag2mask review` saves nor a COCO JSON with `images`, "
        "`annotations` and `categories`; name another file."
    )


def decisions(content, index, path):
    """{image id: Decided} of what the page of `tag2mask review` saves."""
    place = {name: i for i, name in enumerate(index.image_id)}
    found = {}
    for photo in content["photos"]:
        where, name = f"{path}: {photo['image_id']}", photo["image_id"]
        if name not in place:
            raise UserError(f"{where} is no photo of this dataset; review the labels of this run.")
        size = fitting(photo["size"], index, place[name], where)
        masks = {
            verdict: [(category(one["category"], index, where), one, segment_to_rle(segment(one, size), size, where))
                      for one in photo[verdict]]
            for verdict in ("accepted", "rejected")
        }  # fmt: skip
        found[name] = Decided(
            settled=[(key, float(one["score"]), rle) for key, one, rle in masks["accepted"]],
            rejected={(key, rle["counts"]) for key, _, rle in masks["rejected"]},
        )
    return found


def segment(one, size):
    return {"size": list(size), "counts": one["counts"]}


def corrected(content, index, path):
    """{image id: Decided} of a COCO JSON; photos are known by their files' names, classes by theirs."""
    content = tidied(content, str(path))[0]
    photos, place = Names(index.path), {path: i for i, path in enumerate(index.path)}
    images, used = [], {one.get("category_id") for one in content["annotations"]}
    for image in content["images"]:
        where = f"{path}: {image.get('file_name')}"
        i = place.get(photo_of(str(image.get("file_name")), photos))
        if i is None:
            raise UserError(f"{where} is no photo of this dataset, or several; name files as the dataset does.")
        fitting((image.get("height"), image.get("width")), index, i, where)
        images.append({**image, "image_id": index.image_id[i], "file_name": index.path[i]})
    key_of = {one["id"]: category(one["name"], index, str(path)) for one in content["categories"] if one["id"] in used}
    table = from_coco({**content, "images": images}, where=str(path))
    found = {}
    for i, name in enumerate(table.image_id):
        rows = table.numbers(i)
        settled = [(key_of[int(table.category[n])], float(table.score[n])) for n in rows]
        masks = table.rles(table.rows(i))
        found[name] = Decided([(*one, rle) for one, rle in zip(settled, masks)], whole=True)
    return found


def photo_of(file_name, photos):
    """The path of `photos` (Names of the index's paths) that a tool's file name means, or None.

    Tools drop folders, put folders in front, add a few letters (Label Studio) or give the address that they serve.
    """
    name = file_name.rpartition("?d=")[2]
    ways = (name, unquote(name), UPLOADED.sub("", PurePosixPath(unquote(name)).name))
    return next(filter(None, map(photos.find, ways)), None)


def fitting(size, index, i, where):
    """(height, width) of photo i; UserError where the file has another size."""
    height, width = index.size[i].tolist()
    if None in size:
        raise UserError(f"{where} has no height and width there; export it with the sizes of its photos.")
    if list(size) != [height, width]:
        raise UserError(
            f"{where} is {size[1]} x {size[0]} there and {width} x {height} here; masks are in upright pixels of the "
            "photo (turned as its EXIF data says), so export the corrected masks at that size."
        )
    return height, width


def category(name, index, where):
    """The category id of a class name; UserError for one that the dataset does not have."""
    for key, known in index.categories.items():
        if known == name:
            return key
    known = ", ".join(index.categories.values())
    raise UserError(f"{where}: {name!r} is no class of this dataset ({known}); rename it.")
