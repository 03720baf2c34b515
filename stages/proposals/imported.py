"""Proposals made elsewhere: a COCO RLE list (JSON) or a folder of label maps (PNG), or what matlab.py reads.

Read as data, never executed.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from tag2mask.data import rle
from tag2mask.data.coco_rle import coco_rle
from tag2mask.errors import UserError

ENDINGS = {"label_png": "png", "mat": "mat"}  # of the files of sources that are folders


def open_source(config):
    """A function (image_id, (H, W)) -> list of RLE dicts, best first, for config.source and config.path.

    It gives None for a photo that is not there, whose consequence the caller knows: `absent` says it in a sentence.
    """
    from stages.proposals.matlab import mat

    if config.source == "coco_rle":
        return coco_rle(config.path, section="proposals")
    return {"label_png": label_png, "mat": mat}[config.source](config.path)


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
