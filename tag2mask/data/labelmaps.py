"""Label maps: the class of every pixel of a photo, of instances merged by class or of one byte a pixel in a store."""

import zlib
from collections.abc import Collection, Iterable

import numpy as np

from tag2mask.data import rle
from tag2mask.data.instances import Instances
from tag2mask.data.maps import Maps
from tag2mask.data.spans import Spans
from tag2mask.errors import UserError

VOID = 255  # in a map of one byte a pixel: of no class and not background either, so not counted
NONE = -1  # the same in a map of `merge`


def merge(table: Instances, i: int, *, floor: float = 0.0, truth: bool = False) -> np.ndarray:
    """(H, W) int16 category of each pixel of image i of `table`, 0 background; see `class_runs`."""
    values, stops = class_runs(table, i, floor=floor, truth=truth)
    height, width = (int(side) for side in table.size[i])
    return np.repeat(values, np.diff(stops, prepend=0)).reshape(width, height).T


def class_runs(table: Instances, i: int, *, floor: float = 0.0, truth: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(values (S,) int16, stops (S,) int64): category of S runs of pixels of image i, column by column, 0 background.

    The higher score wins where instances overlap, then the smaller mask, then the earlier row. Instances with a score
    below `floor` are left out. truth : void pixels, and those that only a crowd covers, become -1 (NONE). What is in
    front changes at the ends of the masks' runs alone, so these are painted, not pixels.
    Source: ICN 4.4 and LIID 6.5 merge the instances of a class; the order is ours.
    """
    rows = table.numbers(i)
    rows = rows[(table.score[rows] >= floor) & ((table.category[rows] > 0) | (table.ignore[rows] == 1))]
    crowd = (table.ignore[rows] == 1) & truth
    rles = table.rles(rows)
    area = rle.area(rles).astype(np.int64)
    order = np.lexsort((np.arange(len(rows)), area, -table.score[rows], crowd))
    colours = np.where(crowd, NONE, table.category[rows]).astype(np.int16)[order]
    rles = [rles[n] for n in order]
    if truth and (void := table.void_rle(i)) is not None:
        rles, colours = [void, *rles], np.append(np.int16(NONE), colours)
    pixels = int(np.prod(table.size[i], dtype=np.int64))
    if not rles:
        return np.zeros(1, np.int16), np.array([pixels])
    spans = Spans.of(rles)
    stops = np.unique(np.concatenate([spans.start[spans.start > 0], spans.stop, [pixels]]))
    values = np.zeros(len(stops), np.int16)
    begin, end = np.searchsorted(stops, spans.start, side="right"), np.searchsorted(stops, spans.stop) + 1
    first = np.searchsorted(spans.mask_of, np.arange(len(rles) + 1))
    for n in range(len(rles) - 1, -1, -1):  # the foremost is painted last
        own = slice(first[n], first[n + 1])
        turns = np.bincount(begin[own], minlength=len(stops) + 1) - np.bincount(end[own], minlength=len(stops) + 1)
        values[np.cumsum(turns[:-1]) > 0] = colours[n]
    return values, stops


def class_numbers(categories: Collection[int]) -> np.ndarray:
    """(256,) uint8: category id -> 0 background, k + 1 for the k-th of `categories` (sorted), else VOID.

    Raises UserError where an id does not fit a map of one byte a pixel.
    """
    if max(categories, default=0) >= VOID:
        raise UserError(f"Category id {max(categories)} does not fit a semantic map: ids must be at most {VOID - 1}.")
    number = np.full(256, VOID, np.uint8)
    number[0] = 0
    number[list(categories)] = np.arange(1, len(categories) + 1)
    return number


class LabelMaps:
    """Semantic maps by image id, compressed one by one (some kB each), so that those of a large dataset fit.

    stores : Maps, asked for one at a time; of an id that stands in several the last counts.
    """

    def __init__(self, stores: Iterable[Maps]) -> None:
        self.packed: dict[str, tuple[tuple[int, ...], bytes]] = {}
        for store in stores:
            for k, name in enumerate(store.image_id):
                label = store.of(k)[1][0]
                self.packed[name] = label.shape, zlib.compress(label.tobytes(), 1)

    def __contains__(self, name: str) -> bool:
        return name in self.packed

    def __getitem__(self, name: str) -> np.ndarray:
        """(H, W) uint8 category ids, 0 background, 255 not decided."""
        size, data = self.packed[name]
        return np.frombuffer(zlib.decompress(data), np.uint8).reshape(size)
