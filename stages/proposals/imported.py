"""Proposals made elsewhere: a COCO RLE list (JSON) or a folder of label maps (PNG), or what matlab.py reads.

Read as data, never executed.
"""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from tag2mask.data import rle
from tag2mask.data.names import Names, bare
from tag2mask.errors import UserError

ENDINGS = {"label_png": "png", "mat": "mat"}  # of the files of sources that are folders


def open_source(config):
    """A function (image_id, (H, W)) -> list of RLE dicts, best first, for config.source and config.path.

    It gives None for a photo that is not there, whose consequence the caller knows: `absent` says it in a sentence.
    """
    from stages.proposals.matlab import mat

    return {"coco_rle": coco_rle, "label_png": label_png, "mat": mat}[config.source](config.path)


def absent(image_id, *, config):
    """One sentence: that config.path holds nothing for the photo, and the way out."""
    if config.source == "coco_rle":
        return f"The proposals file {config.path} has no proposal for photo {image_id}; add some or drop the photo."
    name = f"{image_id}.{ENDINGS[config.source]}"
    return f"The proposals folder {config.path} has no {name}; add it or drop the photo."


def select(rles, *, config):
    """At most config.count of `rles` (best first), of min_area or more, none with IoU > nms_iou with a better one."""
    rles = [one for one, area in zip(rles, rle.area(rles)) if area >= config.min_area]
    taken = []
    for one in rles:
        if len(taken) == config.count:
            break
        if not taken or rle.iou([one], taken).max() <= config.nms_iou:
            taken.append(one)
    return taken


def coco_rle(path):
    """The source for a JSON list of {"image_id", "segmentation": {"size", "counts"}, "score"}.

    image_id : the photo's id, or the number a COCO file name is made of (30 for 000000000030). counts : COCO's string
    or a list of run lengths. score : any finite number; equal ones keep the file's order. Other keys, such as bbox,
    are not read: the box is the mask's. Also a COCO document with such `annotations` and `images` {"id", "file_name"}:
    a photo that it lists may have none, as where no salient instance was detected.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"The proposals file {path} cannot be read ({error.strerror}); check proposals.path.") from None
    except ValueError:
        raise UserError(f"The proposals file {path} is not JSON; it must hold a list of COCO RLE entries.") from None
    of_image, names = {}, {}
    if isinstance(entries, dict):
        entries, names = document(entries, path)
        of_image = {name: [] for name in names.values()}
    if not isinstance(entries, list):
        raise UserError(f"The proposals file {path} must hold a JSON list of {{image_id, segmentation, score}}.")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"image_id", "segmentation", "score"} <= set(entry):
            raise UserError(f"Entry {number} of {path} must have image_id, segmentation and score.")
        score = entry["score"]
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise UserError(f"Entry {number} of {path} has the score {score!r}; a finite number is needed.")
        image_id = str(entry["image_id"])
        of_image.setdefault(names.get(image_id, image_id), []).append((-score, number))

    photos = Names(of_image)

    def read(image_id, size):
        found = of_image.get(photos.find(image_id))
        if found is None and image_id.isdigit():
            found = of_image.get(str(int(image_id)))
        if found is None:
            return None
        return [parse_rle(entries[n]["segmentation"], size, where=f"entry {n} of {path}") for _, n in sorted(found)]

    return read


def document(content, path):
    """(annotations, {image number as str: photo's id}) of a COCO document."""
    images, entries = content.get("images"), content.get("annotations")
    if not isinstance(images, list) or not all(isinstance(one, dict) and "id" in one for one in images):
        raise UserError(
            f"The proposals file {path} must hold a JSON list, or an object with `images` and `annotations`."
        )
    return entries, {str(one["id"]): bare(str(one.get("file_name", one["id"]))) for one in images}


def parse_rle(segmentation, size, *, where):
    """The RLE dict of one COCO segmentation, checked run by run against the photo's size (H, W)."""
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise UserError(f"The segmentation of {where} is not an RLE with size and counts; convert polygons to RLE.")
    if segmentation["size"] != list(size):
        raise UserError(
            f"The mask of {where} is {segmentation['size']} (height, width), its photo is {list(size)}; "
            "make the proposals on the photos as they are."
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


def finder(folder, what):
    """A function (image_id, *names) -> Path of the first of `names` that is a file in `folder`, or None.

    what : str, what such a file is, for the sentence of UserError where one lies outside the folder.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise UserError(f"The proposals folder {folder} does not exist; check proposals.path.")

    def find(image_id, *names):
        files = [(root / name).resolve() for name in names]
        if not all(file.is_relative_to(root) for file in files):
            raise UserError(f"The {what} of photo {image_id} lies outside {folder}; put it into that folder.")
        return next((file for file in files if file.is_file()), None)

    return find


def label_png(folder):
    """The source for a folder of <image id>.png, 8- or 16-bit or palette; every label above 0 is one proposal.

    Larger ones first: label maps have no scores.
    """
    find = finder(folder, "label map")

    def read(image_id, size):
        file = find(image_id, f"{image_id}.png")
        if file is None:
            return None
        try:
            with Image.open(file, formats=("PNG",)) as image:
                labels = np.asarray(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise UserError(f"The label map {file} is not a readable PNG; make it again.") from None
        if labels.ndim != 2:
            raise UserError(f"The label map {file} has colours; save labels as one 8- or 16-bit or palette channel.")
        if labels.shape != tuple(size):
            raise UserError(
                f"The label map {file} is {list(labels.shape)} (height, width), its photo is {list(size)}; "
                "make the proposals on the photos as they are."
            )
        values, area = np.unique(labels[labels > 0], return_counts=True)
        # One at a time: a map with thousands of labels would not fit into memory as masks.
        return [rle.encode((labels == value)[None])[0] for value in values[np.argsort(-area, kind="stable")]]

    return read
