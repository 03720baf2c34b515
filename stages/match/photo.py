"""One photo: its proposals and maps on one grid, the best proposal of every peak, what remains of them."""

from typing import NamedTuple

import numpy as np

from tag2mask.data import rle
from tag2mask.data.matching import KEYS, allowed, scored
from tag2mask.learn.crops import network_size


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
    scores = scored(
        proposals, rows, maps, grid=network_size(proposals.size[image], side=config.side, stride=1),
        classes=[classes[int(c)] for c in categories] if config.background_of == "class" else None,
        **config.model_dump(include=KEYS),
    )  # fmt: skip
    best, score = rows[scores.argmax(0)], scores.max(0)  # of equal ones the first
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


def suppressed(iou, scores, *, threshold):
    """(P,) int64: which of P instances each one is part of, itself where it stays. ICN, Algorithm 1, line 14.

    iou : (P, P) of their masks. scores : (P,). From the best score down (equal ones: the earlier first) an instance
    stays unless a better one that stays overlaps it by at least `threshold`; the best of these takes it in. Source:
    PRM's released code, which asks for no class either.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    holder = np.full(len(order), -1)
    for n in order:
        if holder[n] < 0:
            taken = (holder < 0) & (iou[n] >= threshold)
            holder[taken], holder[n] = n, n
    return holder
