"""Masks as polygons along the edges of their pixels: exact, with holes, and as one ring where a format has no holes."""

import cv2
import numpy as np

Ring = np.ndarray  # (K, 2) x, y in pixels from the upper left corner of the photo, not closed
BLOCK = np.ones((3, 3), np.uint8)


def polygons(mask: np.ndarray) -> list[tuple[Ring, list[Ring]]]:
    """(outer ring, rings of its holes) of every part of `mask` (H, W) bool, the topmost part first.

    Rings are (K, 2) int32 corners x, y, 0 at the photo's edge, W and H at the other; the area of the outer ring less
    those of the holes is the number of the part's pixels. Parts are 8-connected, so pixels that touch at a corner are
    one part; an island in a hole is a part of its own.

    OpenCV's contours run through the middles of pixels. Here every pixel becomes 3 x 3 points of a grid of half pixels,
    so that the contours run along the edges; where OpenCV cuts a corner it is put back.
    """
    down, across = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(down):
        return []
    top, left = int(down[0]), int(across[0])
    inner = mask[top : down[-1] + 1, left : across[-1] + 1]
    grid = np.zeros((2 * inner.shape[0] + 1, 2 * inner.shape[1] + 1), np.uint8)
    grid[1::2, 1::2] = inner
    lines, tree = cv2.findContours(cv2.dilate(grid, BLOCK), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [corners(line[:, 0]) + np.array([left, top], np.int32) for line in lines]
    parent = tree[0, :, 3]
    outer = np.flatnonzero(parent < 0)[::-1]  # OpenCV finds the lowest first
    return [(rings[k], [rings[n] for n in np.flatnonzero(parent == k)]) for k in outer]


def corners(line: np.ndarray) -> Ring:
    """The pixels' corners at which a contour (K, 2) of the grid of half pixels turns."""
    after = np.roll(line, -1, 0)
    cut = (line != after).all(1)  # a diagonal step goes round a corner whose numbers are both even
    walk = np.repeat(line, 1 + cut, 0)
    walk[np.flatnonzero(cut) + np.arange(cut.sum()) + 1] = np.where(line % 2, after, line)[cut]
    walk = walk[(walk % 2 == 0).all(1)] // 2
    turns = ((walk - np.roll(walk, 1, 0)) != (np.roll(walk, -1, 0) - walk)).any(1)
    return walk[turns]


def one_ring(outer: Ring, holes: list[Ring]) -> Ring:
    """The outer ring with its holes cut in: a corridor without width leads to each hole and back.

    For formats whose polygons have no holes; by the even-odd rule, which their readers fill by, the hole stays empty.
    Corridors join nearest corners.
    """
    for hole in holes:
        outer = joined(outer, hole)
    return outer


def chained(rings_of_parts: list[Ring]) -> Ring:
    """All parts of an instance as one ring, joined like holes: for formats that have one ring an instance."""
    first, *others = rings_of_parts
    for ring in others:
        first = joined(first, ring)
    return first


def joined(a: Ring, b: Ring) -> Ring:
    """Ring `a` with a walk to ring `b`, round it and back on the same way."""
    i, j = np.unravel_index(np.argmin(((a[:, None] - b[None]) ** 2).sum(-1)), (len(a), len(b)))
    return np.concatenate([a[: i + 1], b[j:], b[: j + 1], a[i:]])


def area(ring: Ring) -> float:
    """Pixels inside a ring."""
    x, y = ring.astype(np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
