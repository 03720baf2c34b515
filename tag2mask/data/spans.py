"""The masks of one photo as runs of pixels: sums over all of them at once, without a mask being decoded."""

from collections.abc import Sequence

import cv2
import numpy as np

from tag2mask.data.rle import Rle, Size, from_counts, to_counts


class Spans:
    """Foreground runs of n masks of one size.

    runs : (R,) uint32 COCO run lengths, column-major, background first. bounds : (n + 1,) int64, those of mask k are
    runs[bounds[k]:bounds[k + 1]]. size : (H, W). area : (n,) float64, pixels.
    """

    def __init__(self, runs: np.ndarray, bounds: np.ndarray, size: Size) -> None:
        self.size, self.count = size, len(bounds) - 1
        lengths = np.diff(bounds)
        runs = runs[bounds[0] : bounds[-1]].astype(np.int64)
        number = np.arange(len(runs)) - np.repeat(bounds[:-1] - bounds[0], lengths)
        inside = number % 2 == 1
        self.mask_of = np.repeat(np.arange(self.count), lengths)[inside]
        self.stop = np.cumsum(runs)[inside] - self.mask_of * (size[0] * size[1])  # a mask's runs sum to its pixels
        self.start = self.stop - runs[inside]
        self.area = np.bincount(self.mask_of, self.stop - self.start, self.count)

    @classmethod
    def of(cls, rles: Sequence[Rle]) -> "Spans":
        """Spans of RLE dicts of one size, at least one."""
        runs = [to_counts(one) for one in rles]
        return cls(np.concatenate(runs), np.cumsum([0, *map(len, runs)]), rles[0]["size"])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(n,) float64: the sum of `values` (H, W) inside each mask."""
        total = np.concatenate([[0.0], np.cumsum(values.ravel(order="F"), dtype=np.float64)])
        return np.bincount(self.mask_of, total[self.stop] - total[self.start], self.count)

    def agreed(self, votes: np.ndarray) -> list[Rle]:
        """m RLE dicts of the pixels of which at least half of the votes speak. votes : (m, n) float >= 0, each row > 0.

        A row's votes change at the ends of its masks' runs alone, so it is a sum over these.
        """
        found = []
        for row in votes:
            own = row[self.mask_of] > 0
            weight = row[self.mask_of[own]].astype(np.float64)
            ends, at = np.unique(np.concatenate([self.start[own], self.stop[own]]), return_inverse=True)
            said = np.cumsum(np.bincount(at, np.concatenate([weight, -weight]), len(ends)))
            inside = 2 * said >= row.sum(dtype=np.float64) * (1 - 1e-9)  # what was added and taken leaves a rest
            turns = ends[np.diff(inside, prepend=False)]
            found.append(from_counts(np.diff(turns, prepend=0, append=self.size[0] * self.size[1]), self.size))
        return found


def around(values: np.ndarray, boxes: np.ndarray, margin: float) -> np.ndarray:
    """(n,) float64: sums of `values` (H, W) in the boxes (n, 4) x, y, width, height, `margin` sides wider each way."""
    total = cv2.integral(values, sdepth=cv2.CV_64F)
    corner, side = np.split(np.asarray(boxes, np.float64), 2, axis=1)
    limit = (values.shape[1], values.shape[0])
    x0, y0 = np.round(np.clip(corner - margin * side, 0, limit)).astype(np.int64).T
    x1, y1 = np.round(np.clip(corner + (1 + margin) * side, 0, limit)).astype(np.int64).T
    return total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
