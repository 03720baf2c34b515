"""How well proposals fit peak response maps: PRM's retrieval and ICN's Eq. 5, all proposals and peaks of a photo at
once.

N masks and P maps, compared on a grid whose pixels are those of the photo that are nearest to their middles. What lies
inside a mask is summed by its run lengths; only its outline is drawn.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from tag2mask.data import rle
from tag2mask.data.instances import Instances
from tag2mask.data.rle import Rle, Size
from tag2mask.data.scale import nearest

MASKS, PIXELS = 64, 2**25  # masks, and pixels of masks, that are painted at once: these bound the memory
FACTORS = {"prm": ("balance", "penalty"), "icn": ("alpha", "beta", "gamma", "rebalance")}
KEYS = frozenset({"score", "most", "area", "side", "outline", "background", *FACTORS["prm"], *FACTORS["icn"]})


def allowed(proposals: Instances, image: int, *, most: int, area: tuple[float, float]) -> np.ndarray:
    """(n,) int64: rows of the first `most` proposals of an image that cover a share of it in [least, most)."""
    rows = proposals.numbers(image)[:most]
    share = rle.area(proposals.rles(rows)) / np.prod(proposals.size[image], dtype=float)
    return rows[(share >= area[0]) & (share < area[1])]


def scored(
    proposals: Instances,
    rows: np.ndarray,
    maps: Sequence[np.ndarray],
    *,
    grid: Size,
    classes: Sequence[np.ndarray] | None = None,
    score: str,
    outline: int,
    background: float,
    **factors: Any,
) -> np.ndarray:
    """(N, P) float32: scores of the proposals `rows` for each map, -inf where a mask has no pixel of the grid.

    rows : (N,) int64 of one image. maps : P arrays (h, w), none 0. grid : (height, width) at which they are compared.
    classes : P arrays, where the background of each is; None: the maps themselves. score, outline, background,
    factors : keys of the section `match`; those of the other score are not looked at.
    """
    size = proposals.size[np.searchsorted(proposals.first, rows[0], side="right") - 1]
    large = at_size(maps, grid)
    behind = below(large if classes is None else at_size(classes, grid), factor=background)
    large = unit(large) if score == "icn" else large / large.sum((1, 2), keepdims=True)
    drawn = gradient(large, window=outline) if score == "icn" else large
    values = np.concatenate([large, behind, np.ones((1, *large.shape[1:]), np.float32)])
    inside, along = sums(proposals.rles(rows), values, drawn, size=size, window=outline)
    inside, in_background, area = np.split(inside, [len(large), 2 * len(large)], axis=1)
    factors = {name: factors[name] for name in FACTORS[score]}
    if score == "icn":
        scores = icn_scores(inside, along, in_background, area, **factors)
    else:
        scores = prm_scores(inside, along, in_background, **factors)
    return np.where(area > 0.5, scores, -np.inf).astype(np.float32)  # others are too small for any pixel of the grid


def sums(
    rles: Sequence[Rle], inside: np.ndarray, along: np.ndarray, *, size: Size, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """((N, Q), (N, R)) float64: sums of `inside` (Q, h, w) over N masks, and of `along` (R, h, w) over their outlines.

    size : (H, W) of the photo, whose masks are painted on the grid (h, w). A mask's sum is made of the differences of
    running sums at the ends of its runs, column by column, so that no product with all pixels is taken.
    """
    grid = inside.shape[1:]
    pixels = int(np.prod(grid))
    running = np.zeros((len(inside), pixels + 1))
    in_columns(inside).cumsum(1, out=running[:, 1:])
    along = in_columns(along)
    found = np.zeros((len(rles), len(inside))), np.zeros((len(rles), len(along)))
    step = at_once(size)
    for k in range(0, len(rles), step):
        masks = painted(rles[k : k + step], size, grid).transpose(0, 2, 1)
        flat = masks.reshape(len(masks), -1).view(bool)
        ends = np.zeros((len(masks), pixels + 1), bool)
        ends[:, 0], ends[:, -1] = flat[:, 0], flat[:, -1]
        np.not_equal(flat[:, 1:], flat[:, :-1], out=ends[:, 1:-1])
        which, place = np.divmod(np.flatnonzero(ends), pixels + 1)
        begins = (place < pixels) & flat[which, np.minimum(place, pixels - 1)]
        added(found[0][k:], which, running[:, place] * np.where(begins, -1, 1))
        which, place = np.divmod(np.flatnonzero(gradient(masks, window=window).view(bool)), pixels)
        added(found[1][k:], which, along[:, place].astype(np.float64))
    return found


def in_columns(values: np.ndarray) -> np.ndarray:
    """(n, w h): maps (n, h, w) column by column, as run lengths go."""
    return np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(len(values), -1)


def added(into: np.ndarray, which: np.ndarray, values: np.ndarray) -> None:
    """Write to the rows `which` (n,), sorted, of `into` (N, Q) the sums of `values` (Q, n)."""
    some, start = np.unique(which, return_index=True)
    if len(some):
        into[some] = np.add.reduceat(values, start, axis=1).T


def at_once(size: Size) -> int:
    """So many masks of a photo of `size` (H, W) are in memory together."""
    return max(1, min(MASKS, PIXELS // int(np.prod(size, dtype=float))))


def painted(rles: Sequence[Rle], size: Size, grid: Size) -> np.ndarray:
    """(n, h, w) uint8 0 or 1: masks of a photo of `size` (H, W) at the size `grid` (h, w), by the nearest middles.

    In memory column by column, as run lengths are.
    """
    (y, x), step = nearest(size, grid), at_once(size)
    made = np.empty((len(rles), len(x), len(y)), bool)
    for k in range(0, len(rles), step):
        made[k : k + step] = rle.decode(rles[k : k + step], size).transpose(0, 2, 1).take(x, 1).take(y, 2)
    return made.view(np.uint8).transpose(0, 2, 1)


def at_size(maps: Sequence[np.ndarray], grid: Size) -> np.ndarray:
    """(n, h, w) float32, not negative: maps at the size `grid` (h, w), linear."""
    wide = (int(grid[1]), int(grid[0]))
    resized = [cv2.resize(np.asarray(m, np.float32), wide, interpolation=cv2.INTER_LINEAR) for m in maps]
    return np.array(resized, np.float32)


def prm_scores(
    inside: np.ndarray, along: np.ndarray, behind: np.ndarray, *, balance: float, penalty: float
) -> np.ndarray:
    """balance x map inside the mask + map on the mask's outline - penalty x pixels of background in the mask.

    inside, along, behind : (N, P) sums of maps with the sum 1. Source: PRM (proposal retrieval) and released code.
    """
    return balance * inside + along - penalty * behind


def icn_scores(
    inside: np.ndarray,
    along: np.ndarray,
    behind: np.ndarray,
    area: np.ndarray,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    rebalance: bool,
) -> np.ndarray:
    """alpha V.P / sum(P) + beta E(V).P + gamma B(V).P of maps V and masks P. Source: ICN, Eq. 5.

    inside, along, behind : (N, P) sums over masks, their outlines, the background in masks: of V in [0, 1], of E(V),
    see `gradient`, and pixels. area : (N, 1) sum(P). As the text reads the equation, the second term is for "a similar
    outline", so E(V) is summed where the outline of P is, not in all of P, which would take the largest; and the third
    is "to suppress", so B(V) is -1 in the background, 0 elsewhere. rebalance : divide by sum(P).
    """
    share = inside / np.maximum(area, 1) if rebalance else inside
    return alpha * share + beta * along - gamma * behind


def gradient(values: np.ndarray, *, window: int) -> np.ndarray:
    """(n, h, w) of the dtype of `values` (n, h, w) uint8 or float32: greatest less smallest value of each window.

    window : odd side, pixels; what lies outside the photo does not count. Of a mask its outline, of a map its edges.
    Source: PRM's released code (morphological gradient).
    """
    square, found = np.ones((window, window), np.uint8), np.empty(values.shape, values.dtype)
    for one, into in zip(np.ascontiguousarray(values), found):
        cv2.morphologyEx(one, cv2.MORPH_GRADIENT, square, dst=into)
    return found


def below(maps: np.ndarray, *, factor: float) -> np.ndarray:
    """(n, h, w) float32: 1 where maps (n, h, w) are below `factor` times their own mean, else 0. Source: PRM's code."""
    return (maps < factor * maps.mean((1, 2), keepdims=True)).astype(np.float32)


def unit(maps: np.ndarray) -> np.ndarray:
    """Maps (n, h, w) min-max normalised into [0, 1]; a constant one, which says nothing, becomes 0. ICN, Sec. 4.6."""
    low = maps.min((1, 2), keepdims=True)
    reach = maps.max((1, 2), keepdims=True) - low
    return np.divide(maps - low, reach, out=np.zeros_like(maps), where=reach > 0)
