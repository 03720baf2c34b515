"""Grey maps, saliency or boundaries: how a store keeps them, and a folder of PNGs made elsewhere."""

from pathlib import Path

import numpy as np
from PIL import Image

from tag2mask.data.rle import Size
from tag2mask.errors import UserError


def kept(values: np.ndarray) -> np.ndarray:
    """`values` in [0, 1] as float16 in steps of 1/255, as pictures of 8 bits hold them.

    The digits beyond, which nobody reads, take eight times the disk (U2-Netp's maps: 147 instead of 18 kB a photo).
    """
    return (np.rint(values * 255) / 255).astype(np.float16)


def read_grey(folder: str | Path, image_id: str, size: Size, *, key: str) -> np.ndarray | None:
    """<folder>/<image_id>.png as (H, W) float32 in [0, 1], black 0 and white 1; None where there is no such file.

    size : (H, W) of the photo. key : the configuration's key that names the folder. 8 or 16 bits; three equal channels
    count as grey, for that is what U2-Net's published code writes. Raises UserError, one sentence, for a folder that is
    not there, a path that leaves it, a damaged file, colours, another size.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise UserError(f"The folder {folder} does not exist; check {key}.")
    path = (root / f"{image_id}.png").resolve()
    if not path.is_relative_to(root):
        raise UserError(f"{image_id}: its map would lie outside {folder} ({key}).")
    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=("PNG",)) as image:
            mode, values = image.mode, np.array(image)
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise UserError(f"{path} is no readable PNG ({error}).") from None
    if mode == "RGB" and (values == values[..., :1]).all():
        mode, values = "L", values[..., 0]
    white = {"1": 1, "L": 255, "I;16": 65535, "I": 65535}.get(mode)
    if white is None:
        raise UserError(f"{path} is a {mode} picture; a map of {key} is grey, of 8 or 16 bits.")
    if values.shape != tuple(size):
        shown = [f"{width}x{height}" for height, width in (values.shape, size)]
        raise UserError(f"{path} is {shown[0]} pixels, its photo is {shown[1]}; maps of {key} have the photo's size.")
    return (values / np.float32(white)).astype(np.float32)
