"""One photo: its proposals and maps on one grid, the best proposal of every peak, what remains of them."""

from typing import NamedTuple

import cv2
import numpy as np

from stages.match.scores import background, gradient, icn_scores, prm_scores, suppressed, unit
from tag2mask.data import rle
from tag2mask.learn.crops import network_size

MASKS, PIXELS = 64, 2**25  # masks, and pixels of masks, that are painted at once: these bound the memory


class Matched(NamedTuple):
    """n instances, best first. row : (n,) int64 of the proposals' table. category : (n,) int. score : (n,) float32 of
    `prm_scores` or `icn_scores`. maps : (n, h, w) float32, each one's map with those it took in, over its maximum."""

    row: np.ndarray
    category: np.ndarray
    score: np.ndarray
    maps: np.ndarray


def matched(proposals, image, categories, maps, classes, *, config):
    """Matched of image number `image` of the Instances table `proposals`.

    categories : (P,) int, classes of the peaks. maps : P arrays (h, w), their peak response maps, all of one size;
    those of 0 match nothing. classes : {category: (h', w') class map}; read with `background_of: class`.
    """
    rows = allowed(proposals, image, most=config.most, area=config.area)
    maps = np.array([m for m in maps], np.float32).reshape(len(maps), *(maps[0].shape if len(maps) else (1, 1)))
    seen = np.flatnonzero(maps.any((1, 2)))
    if not len(rows) or not len(seen):
        return Matched(np.zeros(0, np.int64), np.zeros(0, int), np.zeros(0, np.float32), maps[:0])
    maps, categories = maps[seen], np.asarray(categories)[seen]
    best, score = best_of(proposals, rows, categories, maps, classes, config=config)
    some = np.isfinite(score)
    maps, categories, best, score = maps[some], categories[some], best[some], score[some]
    chosen, which = np.unique(best, return_inverse=True)
    rles = proposals.rles(chosen)
    holder = suppressed(rle.iou(rles, rles)[np.ix_(which, which)], score, threshold=config.nms)
    merged = np.zeros_like(maps)
    np.add.at(merged, holder, maps / maps.sum((1, 2), keepdims=True))
    stays = np.flatnonzero(holder == np.arange(len(holder)))
    stays = stays[np.argsort(-score[stays], kind="stable")]
    merged = merged[stays] / merged[stays].max((1, 2), keepdims=True)
    return Matched(best[stays], categories[stays], score[stays], merged)


def allowed(proposals, image, *, most, area):
    """(n,) int64: rows of the first `most` proposals of an image that cover a share of it in [least, most)."""
    rows = np.arange(len(proposals))[proposals.rows(image)][:most]
    share = rle.area(proposals.rles(rows)) / np.prod(proposals.size[image], dtype=float)
    return rows[(share >= area[0]) & (share < area[1])]


def best_of(proposals, rows, categories, maps, classes, *, config):
    """(rows (P,), scores (P,) float32): the best of the proposals `rows` for each peak; of equal ones the first.

    rows : (N,) int64 of one image. categories, maps : of P peaks, (P,) and (P, h, w) float32, none 0.
    """
    size = proposals.size[np.searchsorted(proposals.first, rows[0], side="right") - 1]
    grid = network_size(size, side=config.side, stride=1)
    large = at_size(maps, grid)
    if config.background_of == "class":
        named = np.unique(categories)
        low = background(
            at_size([classes[int(c)] for c in named], grid).reshape(len(named), -1), factor=config.background
        )
        behind = low[np.searchsorted(named, categories)]
    else:
        behind = background(large.reshape(len(large), -1), factor=config.background)
    if config.score == "icn":
        flat = unit(large.reshape(len(large), -1))
        edges = gradient(flat.reshape(large.shape), window=config.outline).reshape(flat.shape)
        factors = {name: getattr(config, name) for name in ("alpha", "beta", "gamma", "rebalance")}
    else:
        flat = large.reshape(len(large), -1)
        flat = flat / flat.sum(1, keepdims=True)
        factors = {"balance": config.balance, "penalty": config.penalty}
    found = []
    step = max(1, min(MASKS, PIXELS // int(np.prod(size, dtype=float))))
    for k in range(0, len(rows), step):
        masks = painted(proposals.rles(rows[k : k + step]), size, grid)
        outlines = gradient(masks, window=config.outline)
        masks, outlines = (one.reshape(len(one), -1).astype(np.float32) for one in (masks, outlines))
        if config.score == "icn":
            scores = icn_scores(masks, outlines, flat, edges, behind, **factors)
        else:
            scores = prm_scores(masks, outlines, flat, behind, **factors)
        found.append(np.where(masks.any(1)[:, None], scores, -np.inf))  # too small for any pixel of the grid
    found = np.concatenate(found)
    return rows[found.argmax(0)], found.max(0)


def painted(rles, size, grid):
    """(n, h, w) uint8 0 or 1: masks of a photo of `size` (H, W) at the size `grid` (h, w), by the nearest middles."""
    y, x = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(grid, size))
    return rle.decode(rles, size)[:, y[:, None], x].astype(np.uint8)


def at_size(maps, grid):
    """(n, h, w) float32, not negative: maps at the size `grid` (h, w), linear."""
    resized = [cv2.resize(np.asarray(m, np.float32), grid[::-1], interpolation=cv2.INTER_LINEAR) for m in maps]
    return np.array(resized, np.float32)
