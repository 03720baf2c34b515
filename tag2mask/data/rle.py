"""COCO run lengths (column-major, background first): masks in, masks out, overlaps. pycocotools underneath."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pycocotools import mask as coco_mask

from tag2mask.data.scale import nearest, resized, size_within

Rle = dict[str, Any]  # {"size": [h, w], "counts": bytes}
Size = Sequence[int] | np.ndarray  # height, width


def encode(masks: ArrayLike) -> list[Rle]:
    """RLE dicts {"size": [h, w], "counts": bytes} of `masks` (n, H, W) bool or uint8; [] for n = 0."""
    masks = np.asarray(masks)
    if len(masks) == 0:
        return []
    return coco_mask.encode(np.asfortranarray(np.moveaxis(masks, 0, 2).astype(np.uint8)))


def decode(rles: Sequence[Rle], size: Size, *, within: int | None = None) -> np.ndarray:
    """(n, H, W) bool masks of a list of RLE dicts; size : (H, W), needed where the list is empty.

    within : masks with a longer side are scaled down to it (`size_within`), by nearest pixels.
    """
    size = int(size[0]), int(size[1])
    small = size if within is None else size_within(size, within)
    if not rles:
        return np.zeros((0, *small), bool)
    if small != size:
        rles = scaled(rles, small)
    return np.moveaxis(coco_mask.decode(list(rles)), 2, 0).astype(bool)


def scaled(rles: Sequence[Rle], size: Size) -> list[Rle]:
    """The masks at `size` (H, W), by nearest pixels, one after the other: a large photo has room for few at once."""
    height, width = map(int, size)
    return [
        one if tuple(one["size"]) == (height, width)
        else encode(resized(coco_mask.decode(one), (height, width))[None])[0]
        for one in rles
    ]  # fmt: skip


def of_numbers(numbers: np.ndarray, count: int, size: Size) -> list[Rle]:
    """The masks of the numbers 1 to `count` in a map (h, w) of numbers, at `size` (H, W) by nearest pixels.

    One after the other, some may be empty. Numbers are laid column by column, as run lengths go.
    """
    y, x = nearest(numbers.shape, size)
    large = numbers.astype(np.min_scalar_type(count)).T.take(x, 0).take(y, 1).T
    return [encode((large == n)[None])[0] for n in range(1, count + 1)]


def to_counts(rle: Rle) -> np.ndarray:
    """The run lengths of one compressed RLE as (R,) uint32, background first.

    Source: the string code of cocoapi's rleFrString: six bits a character, least significant first, each run but the
    first three a difference to the run two before.
    """
    code = np.frombuffer(rle["counts"], np.uint8).astype(np.int64) - 48
    last = np.flatnonzero((code & 0x20) == 0)  # the last character of each number
    if len(last) == 0:
        return np.zeros(0, np.uint32)
    first = np.concatenate(([0], last[:-1] + 1))
    place = np.arange(len(code)) - np.repeat(first, last - first + 1)
    values = np.add.reduceat((code & 0x1F) << (5 * place), first)
    negative = (code[last] & 0x10) != 0
    values = np.where(negative, values - (np.int64(1) << (5 * (last - first + 1))), values)
    # run[i] = value[i] + run[i - 2] for i > 2: two interleaved running sums; run 0 stands outside them
    runs = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    return runs.astype(np.uint32)


def from_counts(counts: ArrayLike, size: Size) -> Rle:
    """The compressed RLE of run lengths (R,) uint32 on a mask of size (H, W)."""
    height, width = int(size[0]), int(size[1])
    return coco_mask.frPyObjects({"size": [height, width], "counts": np.asarray(counts).tolist()}, height, width)


def area(rles: Sequence[Rle]) -> np.ndarray:
    """Pixels of each mask, (n,) uint32."""
    # 255 at a time: with numpy 2 pycocotools 2.0.11 overflows a uint8 count on more
    parts = [coco_mask.area(list(rles[k : k + 255])) for k in range(0, len(rles), 255)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32)


def to_bbox(rles: Sequence[Rle]) -> np.ndarray:
    """Tight boxes (n, 4) float64: x, y, width, height in pixels."""
    return coco_mask.toBbox(list(rles)) if len(rles) else np.zeros((0, 4))


def iou(a: Sequence[Rle], b: Sequence[Rle], crowd: ArrayLike | None = None) -> np.ndarray:
    """(len(a), len(b)) float64 mask overlaps of two lists of RLE dicts.

    crowd : (len(b),) bool or None; over a crowd of b the intersection is divided by the area of a (COCO).
    """
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    flags = np.zeros(len(b), np.uint8) if crowd is None else np.asarray(crowd, np.uint8)
    return np.asarray(coco_mask.iou(list(a), list(b), flags.tolist())).reshape(len(a), len(b))


def box_iou(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """(len(a), len(b)) float64 overlaps of boxes (n, 4): x, y, width, height."""
    a, b = np.asarray(a, np.float64).reshape(-1, 4), np.asarray(b, np.float64).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(-1)
    union = a[:, 2:].prod(-1)[:, None] + b[:, 2:].prod(-1)[None] - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
