"""How well proposals fit peak response maps: PRM's retrieval and ICN's Eq. 5, all proposals and peaks of a photo at
once, as matrix products.

N masks and P maps on one grid of S pixels, flat. masks, outlines : (N, S) float32 0 or 1. maps : (P, S) float32, not
negative. background : (P, S) float32, 1 where the background of the map's object is. All scores are (N, P) float32.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from tag2mask.data import rle
from tag2mask.data.instances import Instances
from tag2mask.data.rle import Rle, Size

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
    lowest = large if classes is None else at_size(classes, grid)
    behind = below(lowest.reshape(len(large), -1), factor=background)
    flat = large.reshape(len(large), -1)
    factors = {name: factors[name] for name in FACTORS[score]}
    if score == "icn":
        flat = unit(flat)
        edges = gradient(flat.reshape(large.shape), window=outline).reshape(flat.shape)
    else:
        flat = flat / flat.sum(1, keepdims=True)
    found = []
    step = max(1, min(MASKS, PIXELS // int(np.prod(size, dtype=float))))
    for k in range(0, len(rows), step):
        masks = painted(proposals.rles(rows[k : k + step]), size, grid)
        outlines = gradient(masks, window=outline)
        masks, outlines = (one.reshape(len(one), -1).astype(np.float32) for one in (masks, outlines))
        if score == "icn":
            scores = icn_scores(masks, outlines, flat, edges, behind, **factors)
        else:
            scores = prm_scores(masks, outlines, flat, behind, **factors)
        seen = masks.max(axis=1, keepdims=True) > 0  # others are too small for any pixel of the grid
        found.append(np.where(seen, scores, -np.inf))
    return np.concatenate(found)


def painted(rles: Sequence[Rle], size: Size, grid: Size) -> np.ndarray:
    """(n, h, w) uint8 0 or 1: masks of a photo of `size` (H, W) at the size `grid` (h, w), by the nearest middles."""
    y, x = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(grid, size))
    return rle.decode(rles, size)[:, y[:, None], x].astype(np.uint8)


def at_size(maps: Sequence[np.ndarray], grid: Size) -> np.ndarray:
    """(n, h, w) float32, not negative: maps at the size `grid` (h, w), linear."""
    wide = (int(grid[1]), int(grid[0]))
    resized = [cv2.resize(np.asarray(m, np.float32), wide, interpolation=cv2.INTER_LINEAR) for m in maps]
    return np.array(resized, np.float32)


def prm_scores(
    masks: np.ndarray, outlines: np.ndarray, maps: np.ndarray, background: np.ndarray, *, balance: float, penalty: float
) -> np.ndarray:
    """balance x map inside the mask + map on the mask's outline - penalty x pixels of background in the mask.

    maps : each with the sum 1. Source: PRM (proposal retrieval) and released code.
    """
    return balance * (masks @ maps.T) + outlines @ maps.T - penalty * (masks @ background.T)


def icn_scores(
    masks: np.ndarray,
    outlines: np.ndarray,
    maps: np.ndarray,
    edges: np.ndarray,
    background: np.ndarray,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    rebalance: bool,
) -> np.ndarray:
    """alpha V.P / sum(P) + beta E(V).P + gamma B(V).P of maps V and masks P. Source: ICN, Eq. 5.

    maps : each in [0, 1]. edges : (P, S) float32, E(V), see `gradient`. As the text reads the equation, the second
    term is for "a similar outline", so E(V) is summed where the outline of P is, not in all of P, which would take the
    largest; and the third is "to suppress", so B(V) is -1 in the background, 0 elsewhere. rebalance : divide by sum(P).
    """
    inside = masks @ maps.T
    if rebalance:
        inside = inside / np.maximum(masks.sum(1, keepdims=True), 1)
    return alpha * inside + beta * (outlines @ edges.T) - gamma * (masks @ background.T)


def gradient(values: np.ndarray, *, window: int) -> np.ndarray:
    """(n, h, w) of the dtype of `values` (n, h, w) uint8 or float32: greatest less smallest value of each window.

    window : odd side, pixels; what lies outside the photo does not count. Of a mask its outline, of a map its edges.
    Source: PRM's released code (morphological gradient).
    """
    square = np.ones((window, window), np.uint8)
    found = [cv2.morphologyEx(np.ascontiguousarray(one), cv2.MORPH_GRADIENT, square) for one in values]
    return np.array(found, values.dtype).reshape(values.shape)


def below(maps: np.ndarray, *, factor: float) -> np.ndarray:
    """(n, S) float32: 1 where maps (n, S) are below `factor` times their own mean, else 0. Source: PRM's code."""
    return (maps < factor * maps.mean(1, keepdims=True)).astype(np.float32)


def unit(maps: np.ndarray) -> np.ndarray:
    """Maps (n, S) min-max normalised into [0, 1]; a constant one, which says nothing, becomes 0. Source: ICN, 4.6."""
    low = maps.min(1, keepdims=True)
    reach = maps.max(1, keepdims=True) - low
    return np.divide(maps - low, reach, out=np.zeros_like(maps), where=reach > 0)
