"""Semantic label maps made elsewhere: a folder of PNGs with one byte a pixel (VOC's palette images)."""

from pathlib import Path

import numpy as np
from PIL import Image

from stages.semantic.label_map import IGNORE
from tag2mask.errors import UserError


def read_label_png(folder, image_id, size, categories):
    """The map <folder>/<image_id>.png as (H, W) uint8: category ids, 0 background, 255 ignore.

    size : (H, W) of the photo. categories : the dataset's category ids. Raises UserError, one sentence, for a path
    that leaves the folder, a missing or damaged file, a picture in colours, another size, an unknown label.
    """
    root = Path(folder).resolve()
    path = (root / f"{image_id}.png").resolve()
    if not path.is_relative_to(root):
        raise UserError(f"{image_id}: its label map would lie outside {folder} (semantic.path).")
    if not path.is_file():
        raise UserError(f"{path} is missing: semantic.path needs a label PNG of every training photo.")
    try:
        with Image.open(path, formats=("PNG",)) as image:
            mode = image.mode
            label = np.array(image)
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise UserError(f"{path} is no readable PNG ({error}).") from None
    if mode not in ("P", "L"):
        raise UserError(f"{path} is a {mode} picture; a label map has one byte a pixel (palette or grey).")
    if label.shape != tuple(size):
        shown = [f"{width}x{height}" for height, width in (label.shape, size)]
        raise UserError(f"{path} is {shown[0]} pixels, its photo is {shown[1]}; label maps have the photo's size.")
    unknown = np.setdiff1d(np.unique(label), [0, IGNORE, *categories])
    if len(unknown):
        raise UserError(f"{path} holds the label {unknown[0]}, which is no category id of the dataset.")
    return label
