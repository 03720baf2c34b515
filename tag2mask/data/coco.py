"""COCO JSON to instance tables and back: polygons, uncompressed and compressed RLE, crowds, result lists.

    table = from_coco("instances_val.json")
    predictions = from_coco("results.json", like="instances_val.json")  # a list of {image_id, category_id, ...}
    json.dump(to_coco(table), file)

What COCO has no word for stands under extra keys that its readers skip (an image's name and void pixels, `ignore` for
VOC's difficult), so that the way there and back changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from tag2mask.data import rle
from tag2mask.data.coco_json import IDS, load, tidied, tidied_annotations
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.names import photo_ids
from tag2mask.data.rle import Rle, Size
from tag2mask.errors import UserError

CROWD, DIFFICULT = 1, 2
Image = tuple[Any, str, tuple[int, int], Any]  # COCO id, name, size, void


def image_numbers(image_id: Sequence[str]) -> list[int]:
    """The integer COCO id of each image name: the name's own number where that keeps order, else 1, 2, ...

    image_id : list of I str. Returns list of I int, strictly increasing.
    """
    if all(name.isascii() and name.isdigit() for name in image_id):
        numbers = [int(name) for name in image_id]
        if all(a < b for a, b in zip(numbers, numbers[1:])):
            return numbers
    return list(range(1, len(image_id) + 1))


def to_coco(instances: Instances, *, file_names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A COCO ground-truth dict of an instance table; images and annotations in table order, image ids increasing.

    file_names : dict image_id -> file name, default "<image_id>.jpg". Every annotation has `segmentation` (compressed
    RLE, counts as str), `bbox` x, y, width, height in pixels, `area`, `iscrowd`, `score` and an id that is unique
    over the file. Raises ValueError when the table's ids are not unique.
    """
    return {key: list(part) for key, part in coco_parts(instances, file_names=file_names).items()}


def coco_parts(
    instances: Instances, *, file_names: Mapping[str, str] | None = None
) -> dict[str, Iterator[dict[str, Any]]]:
    """As `to_coco`, its lists as iterators: for tables whose masks would take gigabytes as dicts."""
    if len(np.unique(instances.id)) != len(instances):
        raise ValueError("instance ids must be unique over the table")
    numbers = image_numbers(instances.image_id)
    categories = [{"id": key, "name": name} for key, name in sorted(instances.categories.items())]
    return {
        "images": (_image(instances, i, numbers[i], file_names or {}) for i in range(instances.images)),
        "annotations": (one for i in range(instances.images) for one in _annotations(instances, i, numbers[i])),
        "categories": iter(categories),
    }


def _image(instances: Instances, i: int, number: int, names: Mapping[str, str]) -> dict[str, Any]:
    name = instances.image_id[i]
    height, width = (int(side) for side in instances.size[i])
    file_name = names.get(name, f"{name}.jpg")
    image = {"id": number, "file_name": file_name, "height": height, "width": width, "image_id": name}
    void = instances.void_rle(i)
    return image if void is None else {**image, "void": _as_json(void)}


def _annotations(instances: Instances, i: int, number: int) -> Iterator[dict[str, Any]]:
    for n, segment in zip(instances.numbers(i), instances.rles(instances.rows(i))):
        annotation = {
            "id": int(instances.id[n]),
            "image_id": number,
            "category_id": int(instances.category[n]),
            "segmentation": _as_json(segment),
            "bbox": [float(side) for side in instances.bbox[n]],
            "area": float(instances.area[n]),
            "iscrowd": int(instances.ignore[n] == CROWD),
            "score": float(instances.score[n]),
        }
        yield {**annotation, "ignore": 1} if instances.ignore[n] == DIFFICULT else annotation


def _as_json(segment: Rle) -> dict[str, Any]:
    return {"size": [int(side) for side in segment["size"]], "counts": segment["counts"].decode("ascii")}


def from_coco(
    source: str | Path | dict | list, *, like: str | Path | dict | Instances | None = None, where: str = "COCO data"
) -> Instances:
    """The instance table of a COCO ground-truth file or of a list of results; images sorted by their COCO id.

    source : path of a JSON file, or what it holds. like : for a list of results, which names no images: the ground
    truth they belong to, as a path, a COCO dict or an Instances table (then `image_id` is a name or the number that
    `to_coco` gives it); the table gets exactly its images, in its order, and its categories.
    Instances keep their own area, box and score where given; `iscrowd` becomes ignore 1, `ignore` 2 (VOC's difficult).
    What other tools write is tidied first (`tag2mask.data.coco_json`). An image is named by its file's path without
    ending (`tag2mask.data.names.photo_ids`). where : what an error calls a source that is no path. Raises UserError
    naming the file and the annotation.
    """
    where = str(source) if isinstance(source, str | Path) else where
    content = load(source)
    if isinstance(content, list):
        if like is None:
            raise UserError(f"{where} is a list of results, which has no image sizes: name its ground truth too.")
        truth = like if isinstance(like, Instances) else None
        head = {} if truth is not None else load(like)
        head = tidied(head, str(like))[0] if isinstance(head, dict) else head
        images, categories = _images_of(truth) if truth is not None else images_of(head, str(like))
        annotations = [{"id": n, **result} for n, result in enumerate(content, 1)]
        ids = ("category_id",) if truth is not None else IDS  # a store's photos may have numbers for names
        annotations = tidied_annotations(annotations, where, ids=ids)[0]
        return _table(images, categories, annotations, where=where, by_name=truth is not None)
    if not isinstance(content, dict):
        raise UserError(f"{where} is no COCO file: it must hold an object or a list of results.")
    document = tidied(content, where)[0]
    return _table(*images_of(document, where), document["annotations"], where=where, by_name=False)


def images_of(content: Any, where: str) -> tuple[list[Image], dict[int, str]]:
    """Images sorted by id, and the categories, of a ground-truth dict; UserError for what cannot be one."""
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"{where} has no list `{key}`; COCO ground truth needs it.")
    images, ids = [], photo_ids(str(image.get("file_name", image.get("id"))) for image in content["images"])
    for image in content["images"]:
        if not all(isinstance(image.get(key), int) for key in ("height", "width")) or "id" not in image:
            raise UserError(f"{where}: image {image.get('id')} needs `id`, `height` and `width`.")
        name = image.get("image_id") or ids[str(image.get("file_name", image["id"]))]
        images.append((image["id"], str(name), (image["height"], image["width"]), image.get("void")))
    try:
        images.sort(key=lambda image: image[0])
    except TypeError:
        raise UserError(f"{where}: image ids are partly numbers, partly text; use one kind.") from None
    for what, values in (("id", [im[0] for im in images]), ("name", [im[1] for im in images])):
        seen = set()
        for value in values:
            if value in seen:
                raise UserError(f"{where} has two images of the {what} {value}; each must stand once.")
            seen.add(value)
    categories = {}
    for category in content["categories"]:
        if not isinstance(category.get("id"), int) or not 0 <= category["id"] <= np.iinfo(np.int16).max:
            raise UserError(f"{where}: category id {category.get('id')} must be a whole number up to 32767.")
        categories[category["id"]] = str(category.get("name", category["id"]))
    return images, categories


def _images_of(truth: Instances) -> tuple[list[Image], dict[int, str]]:
    numbers = image_numbers(truth.image_id)
    size = [(int(h), int(w)) for h, w in truth.size]
    return list(zip(numbers, truth.image_id, size, [None] * truth.images)), truth.categories


def _table(
    images: list[Image], categories: dict[int, str], annotations: Iterable[dict], *, where: str, by_name: bool
) -> Instances:
    """The table of the annotations of the images."""
    builder = InstancesBuilder(categories)
    for image, group in zip(images, grouped(images, categories, annotations, where=where, by_name=by_name)):
        add(builder, image, group, where=where)
    return builder.finish()


def grouped(
    images: list[Image], categories: Mapping[int, str], annotations: Iterable[dict], *, where: str, by_name: bool
) -> list[list[dict]]:
    """The annotations of each image, in their order. by_name : whether they may name images by name.

    Raises UserError for one whose image or category is not listed, or whose id is no number of its own.
    """
    position = {image[0]: i for i, image in enumerate(images)}
    if by_name:
        position.update({image[1]: i for i, image in enumerate(images)})
    groups: list[list[dict]] = [[] for _ in images]
    seen = set()
    for annotation in annotations:
        label = f"{where}: annotation {annotation.get('id')}"
        if annotation.get("image_id") not in position:
            raise UserError(f"{label} names image {annotation.get('image_id')}, which is not listed.")
        if annotation.get("category_id") not in categories:
            raise UserError(f"{label} has category {annotation.get('category_id')}, which is not listed.")
        if not isinstance(annotation.get("id"), int) or annotation["id"] in seen:
            raise UserError(f"{label}: annotation ids must be whole numbers, each used once.")
        seen.add(annotation["id"])
        groups[position[annotation["image_id"]]].append(annotation)
    return groups


def add(builder: InstancesBuilder, image: Image, group: list[dict], *, where: str) -> None:
    """Add an image with its annotations."""
    _, name, size, void = image
    masks = [segment_to_rle(a.get("segmentation"), size, f"{where}: annotation {a['id']}") for a in group]
    boxes, areas = rle.to_bbox(masks), rle.area(masks).astype(np.float64)
    for n, annotation in enumerate(group):
        boxes[n] = annotation.get("bbox", boxes[n])
        areas[n] = annotation.get("area", areas[n])
    builder.add(
        name,
        size,
        masks,
        category=[a["category_id"] for a in group],
        score=[a.get("score", 1.0) for a in group],
        bbox=boxes,
        area=areas,
        ignore=[CROWD if a.get("iscrowd") else DIFFICULT if a.get("ignore") else 0 for a in group],
        id=[a["id"] for a in group],
        void=None if void is None else rle.decode([segment_to_rle(void, size, f"{where}: {name}")], size)[0],
    )


def segment_to_rle(segment: Any, size: Size, where: str) -> Rle:
    """A COCO `segmentation` (polygons, one RLE or several, compressed or not) as RLE dict of an image of `size` (H, W).

    An empty list of polygons is an empty mask. where : str, the place, for messages. Raises UserError when the
    segmentation is missing, malformed, or of another size.
    """
    height, width = int(size[0]), int(size[1])
    if isinstance(segment, dict) and "counts" in segment and "size" in segment:
        if [int(side) for side in segment["size"]] != [height, width]:
            order = " (COCO's order is height, width)" if height != width else ""
            raise UserError(f"{where} has a mask of size {segment['size']}; its image is {[height, width]}{order}.")
        counts = segment["counts"]
        if isinstance(counts, list):
            if sum(counts) != height * width:
                raise UserError(f"{where}: the run lengths do not add up to the image's {height * width} pixels.")
            return rle.from_counts(counts, size)
        counts = counts.encode("ascii") if isinstance(counts, str) else counts
        code = {"size": [height, width], "counts": counts}
        # pycocotools decodes past the mask's end without a word when the runs do not fit it
        if int(rle.to_counts(code).sum()) != height * width:
            raise UserError(f"{where}: the run lengths do not add up to the image's {height * width} pixels.")
        return code
    if isinstance(segment, list) and all(isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0 for p in segment):
        if not segment:
            return rle.from_counts([height * width], size)
        try:
            return coco_mask.merge(coco_mask.frPyObjects(segment, height, width))
        except (TypeError, ValueError):
            raise UserError(f"{where} has a segmentation of no numbers ({str(segment)[:40]}); mend it.") from None
    if isinstance(segment, list) and all(isinstance(part, dict) for part in segment):
        return coco_mask.merge([segment_to_rle(part, size, where) for part in segment])
    raise UserError(f"{where} has no mask: `segmentation` must be polygons of at least 3 points, or RLE.")
