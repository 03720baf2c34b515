"""Masks of photos made elsewhere, as a COCO RLE list (JSON). Read as data, never executed."""

import json
import math
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tag2mask.data import rle
from tag2mask.errors import UserError


def coco_rle(path: str | Path, *, section: str) -> Callable[[str, tuple[int, int]], list[dict] | None]:
    """A function (image_id, (H, W)) -> list of RLE dicts, best first, None for a photo that is not there.

    path : a JSON list of {"image_id", "segmentation": {"size", "counts"}, "score"}. section : of the configuration,
    whose key `path` names the file, for the sentences of UserError. image_id : the photo's id, or the number a COCO
    file name is made of (30 for 000000000030). counts : COCO's string or a list of run lengths. score : any finite
    number; equal ones keep the file's order. Other keys, such as bbox, are not read: the box is the mask's. Also a COCO
    document with such `annotations` and `images` {"id", "file_name"}: a photo that it lists may have none, as where no
    salient instance was detected.
    """
    what = f"The {section} file {path}"
    try:
        entries = json.loads(Path(path).read_text())
    except OSError as error:
        raise UserError(f"{what} cannot be read ({error.strerror}); check {section}.path.") from None
    except ValueError:
        raise UserError(f"{what} is not JSON; it must hold a list of COCO RLE entries.") from None
    of_image: dict[str, list[tuple[float, int]]] = {}
    names: dict[str, str] = {}
    if isinstance(entries, dict):
        entries, names = document(entries, what)
        of_image = {name: [] for name in names.values()}
    if not isinstance(entries, list):
        raise UserError(f"{what} must hold a JSON list of {{image_id, segmentation, score}}.")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"image_id", "segmentation", "score"} <= set(entry):
            raise UserError(f"Entry {number} of {path} must have image_id, segmentation and score.")
        score = entry["score"]
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise UserError(f"Entry {number} of {path} has the score {score!r}; a finite number is needed.")
        image_id = str(entry["image_id"])
        of_image.setdefault(names.get(image_id, image_id), []).append((-score, number))

    def read(image_id: str, size: tuple[int, int]) -> list[dict] | None:
        found = of_image.get(image_id)
        if found is None and image_id.isdigit():
            found = of_image.get(str(int(image_id)))
        if found is None:
            return None
        return [parse_rle(entries[n]["segmentation"], size, where=f"entry {n} of {path}") for _, n in sorted(found)]

    return read


def document(content: dict, what: str) -> tuple[Any, dict[str, str]]:
    """(annotations, {image number as str: photo's id}) of a COCO document."""
    images, entries = content.get("images"), content.get("annotations")
    if not isinstance(images, list) or not all(isinstance(one, dict) and "id" in one for one in images):
        raise UserError(f"{what} must hold a JSON list, or an object with `images` and `annotations`.")
    return entries, {str(one["id"]): PurePosixPath(str(one.get("file_name", one["id"]))).stem for one in images}


def parse_rle(segmentation: Any, size: tuple[int, int], *, where: str) -> dict:
    """The RLE dict of one COCO segmentation, checked run by run against the photo's size (H, W)."""
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise UserError(f"The segmentation of {where} is not an RLE with size and counts; convert polygons to RLE.")
    if segmentation["size"] != list(size):
        raise UserError(
            f"The mask of {where} is {segmentation['size']} (height, width), its photo is {list(size)}; "
            "make the masks on the photos as they are."
        )
    counts = segmentation["counts"]
    if isinstance(counts, str):
        code = counts.encode("utf-8")
        whole = bool(code) and all(48 <= byte < 112 for byte in code) and not (code[-1] - 48) & 0x20
        runs = rle.to_counts({"counts": code}).astype(np.int64) if whole else np.zeros(0, np.int64)
    else:
        plain = isinstance(counts, list) and all(type(run) is int and run >= 0 for run in counts)
        runs = np.array(counts if plain and sum(counts) == size[0] * size[1] else [], np.int64)
    if runs.sum() != size[0] * size[1]:
        raise UserError(f"The run lengths of {where} do not add up to its size; the file is damaged.")
    return rle.from_counts(runs.astype(np.uint32), size)
