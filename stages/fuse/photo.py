"""One photo: its candidates, what they are worth, which of them explain it, and where they leave doubt."""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from stages.fuse.candidates import gathered, with_consensus
from stages.fuse.program import chosen
from stages.fuse.worth import features, kindred, odds
from tag2mask.data import rle


class Fused(NamedTuple):
    """n instances, best first. rles : RLE dicts. category, source (see Candidates) : (n,) int. score : (n,) float.
    void : (H, W) bool, or None where nothing is in doubt."""

    rles: list
    category: np.ndarray
    score: np.ndarray
    source: np.ndarray
    void: np.ndarray | None


def fused(tables, images, tags, *, named, maps, config):
    """Fused of one photo.

    tables, images, tags : see `gathered`. named : the words of the sources. maps : {"cam", "semantic", "saliency",
    "edges": (categories, maps) of the photo}, those that are read. config : section `fuse`.
    """
    trust = np.array([getattr(config, f"trust_{word}") for word in named])
    found = gathered(tables, images, tags)
    if not found.rles:
        return Fused([], found.category, found.score, found.source, None)
    if config.consensus:
        found = with_consensus(found, trust, at=config.same)
    kin = kindred([config.cut_from.get(word, [word]) for word in named])
    worth = odds(features(found, trust, kin, prepared(maps, found.category), config=config), config)
    picked = np.flatnonzero(chosen(worth, found.inside > config.overlap, found.category, reward=config.reward))
    picked = picked[np.argsort(-worth[picked], kind="stable")]
    score = 1 / (1 + np.exp(-worth))
    doubted = np.setdiff1d(np.flatnonzero(score >= config.void), picked)
    void = beside([found.rles[n] for n in doubted], [found.rles[n] for n in picked])
    rles = parted([found.rles[n] for n in picked], found.inside[np.ix_(picked, picked)])
    some = rle.area(rles) > 0
    picked = picked[some]
    return Fused(
        [one for one, has in zip(rles, some) if has], found.category[picked], score[picked], found.source[picked], void
    )


def prepared(maps, categories):
    """{name: {category: (h, w) float32 in [0, 1]}} of the maps of a photo: a label map becomes one map a class.

    maps : {name: (categories, list of maps)}. categories : those that are asked for; 0 is any.
    """
    found = {}
    for name, (of, values) in maps.items():
        if name == "semantic":
            found[name] = {c: (values[0] == c).astype(np.float32) for c in np.unique(categories).tolist()}
        else:
            found[name] = {int(c): np.asarray(one, np.float32) for c, one in zip(of, values)}
    return found


def parted(masks, inside):
    """RLE dicts of masks of which each has what none before it has; one may be left empty.

    masks : n RLE dicts, best first. inside : (n, n) float, their intersections over the smaller one.
    """
    out = list(masks)
    for n in np.flatnonzero((np.tril(inside, -1) > 0).any(1)):
        before = [masks[k] for k in np.flatnonzero(inside[n, :n] > 0)]
        mask, taken = rle.decode([masks[n], coco_mask.merge(before)], masks[n]["size"])
        out[n] = rle.encode((mask & ~taken)[None])[0]
    return out


def beside(masks, taken):
    """(H, W) bool: pixels of `masks` that none of `taken` has, both lists of RLE dicts; None where there is none."""
    if not masks:
        return None
    size = masks[0]["size"]
    union, covered = (rle.decode([coco_mask.merge(some)] if some else [], size).any(0) for some in (masks, taken))
    left = union & ~covered
    return left if left.any() else None
