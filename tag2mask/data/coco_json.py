"""COCO JSON as other tools write it, tidied to what COCO describes; what had to be guessed is told in notes.

    document, notes = tidied(load(path), path)

Ids and numbers as text, backslashes, sizes missing or -1, one polygon not in a list, polygons of fewer than three
points, boxes that are no four numbers, annotation ids that stand twice.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tag2mask.errors import UserError

IDS = ("id", "image_id", "category_id")
POINTS = 3  # least points of a polygon


def load(source: Any, each: Callable[[dict], Any] | None = None) -> Any:
    """What the JSON file at `source` holds; anything but a path is handed back.

    each : dict -> what is kept of it, asked of every annotation as it is read; all of COCO's take eight times the room
    of their text.
    """
    if not isinstance(source, str | Path):
        return source

    def kept(one: dict) -> Any:
        return each(one) if each and "image_id" in one and "category_id" in one else one

    try:
        data = Path(source).read_bytes()
        text = data.decode(json.detect_encoding(data), "surrogatepass")  # UTF-8, 16 or 32
        del data
        return json.loads(text, object_hook=kept if each else None)
    except FileNotFoundError:
        raise UserError(f"{source} does not exist.") from None
    except ValueError as error:
        raise UserError(f"{source} is no JSON file: {error}.") from None


def tidied(content: dict[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """(the document with tidy images, annotations and categories, sentences on what was guessed).

    content : a COCO document, not modified; a part of it that is not a list of dicts is left for the reader to refuse.
    where : the file's name, for the sentences.
    """
    parts = {key: content.get(key) for key in ("images", "annotations", "categories")}
    if not all(isinstance(part, list) and all(isinstance(one, dict) for one in part) for part in parts.values()):
        return content, []
    images = [image(one) for one in parts["images"] or ()]
    categories = [{**one, **whole_ids(one, "id")} for one in parts["categories"] or ()]
    annotations, notes = tidied_annotations(parts["annotations"] or [], where)
    numbers = [one.get("id") for one in annotations]
    if not all(type(number) is int for number in numbers) or len(set(numbers)) != len(numbers):
        notes.append(f"{where} has annotation ids that are missing, no numbers or used twice; all were numbered anew.")
        annotations = [{**one, "id": number} for number, one in enumerate(annotations, 1)]
    return {**content, "images": images, "annotations": annotations, "categories": categories}, notes


def tidied_annotations(
    annotations: list[dict[str, Any]], where: str, *, ids: Sequence[str] = IDS
) -> tuple[list[dict[str, Any]], list[str]]:
    """(tidy annotations, or results, sentences on what was left out). ids : keys that may be numbers as text."""
    found, dropped = [], 0
    for one in annotations:
        tidy, fewer = annotation(one, ids=ids)
        dropped += fewer
        found.append(tidy)
    return found, left_out(dropped, where)


def left_out(dropped: int, where: str) -> list[str]:
    """The sentence on `dropped` polygons, or none."""
    return [f"{where}: {dropped} polygons of fewer than {POINTS} points were left out."] if dropped else []


def annotation(one: dict[str, Any], *, ids: Sequence[str] = IDS) -> tuple[dict[str, Any], int]:
    """(a tidy annotation, polygons that were left out); see `tidied_annotations`."""
    tidy, dropped = {**one, **whole_ids(one, *ids)}, 0
    if "iscrowd" in one:
        tidy["iscrowd"] = flag(one["iscrowd"])
    for key, values in (("bbox", numbers(one.get("bbox"), 4)), ("area", numbers([one.get("area")], 1))):
        tidy.pop(key, None)
        if values is not None:
            tidy[key] = values if key == "bbox" else values[0]
    if "segmentation" in one:
        tidy["segmentation"], dropped = outlines(one["segmentation"])
    return tidy, dropped


def image(one: dict[str, Any]) -> dict[str, Any]:
    """A tidy entry of `images`: a whole id, / in its file name, sides that are pixels or not there."""
    tidy = {**one, **whole_ids(one, "id")}
    if isinstance(one.get("file_name"), str):
        tidy["file_name"] = one["file_name"].replace("\\", "/")
    for key in ("height", "width"):
        side = whole(one.get(key))
        if isinstance(side, int) and side > 0:
            tidy[key] = side
        else:
            tidy.pop(key, None)
    return tidy


def whole_ids(one: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: whole(one[key]) for key in keys if key in one}


def whole(value: Any) -> Any:
    """`value` as an int where it is one, written as text or as a float; else as it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def flag(value: Any) -> int:
    """1 or 0 of a flag written as a number, a bool or text."""
    return int(str(value).strip().lower() not in ("", "0", "0.0", "false", "no", "none", "null"))


def numbers(values: Any, count: int) -> list[float] | None:
    """`count` finite floats, or None where `values` are none."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(math.isfinite(value) for value in found) else None


def outlines(segment: Any) -> tuple[Any, int]:
    """(the segmentation as COCO has it, polygons left out): a single flat polygon becomes a list of one.

    Polygons of fewer than three points are left out; None where no other is left.
    """
    if not isinstance(segment, list) or not segment:
        return segment, 0
    if all(isinstance(value, int | float) for value in segment):
        segment = [segment]
    if not all(isinstance(part, list) for part in segment):
        return segment, 0
    kept = [part for part in segment if len(part) >= 2 * POINTS]
    return kept or None, len(segment) - len(kept)
