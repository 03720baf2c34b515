"""What a peak response map should become: proposals that match it, or a salient instance (ICN, Sec. 3.2)."""

import numpy as np

from tag2mask.data.matching import allowed, at_size, below, painted, scored
from tag2mask.learn.crops import network_size


def matched(proposals, image, maps, *, most, keys):
    """(P, h, w) uint8 0 or 1: the union of the `most` proposals that match each map best.

    proposals : Instances. image : its image. maps : P arrays (h, w). keys : those of the section `match` that rank
    (Eq. 5, the background is the map's own). From the best score down (of equal ones the first) a proposal is taken
    unless those taken cover all of it. A map of 0, or one without a proposal, becomes 0.
    """
    made = empty(maps)
    seen = np.flatnonzero([m.any() for m in maps])
    rows = allowed(proposals, image, most=keys["most"], area=keys["area"])
    if not len(rows) or not len(seen):
        return made
    grid = network_size(proposals.size[image], side=keys["side"], stride=1)
    scores = scored(proposals, rows, [maps[k] for k in seen], grid=grid, score="icn", **keys)
    masks = painted(proposals.rles(rows), proposals.size[image], made.shape[1:]).reshape(len(rows), -1) > 0
    scores[~masks.any(1)] = -np.inf
    order = np.argsort(-scores, axis=0, kind="stable")
    union = np.zeros((len(seen), masks.shape[1]), bool)
    taken = np.zeros(len(seen), int)
    for rank in order:  # of all maps at once
        new = (masks[rank] & ~union).any(1) & (taken < most) & np.isfinite(scores[rank, np.arange(len(seen))])
        union |= masks[rank] & new[:, None]
        taken += new
        if (taken == most).all():
            break
    made[seen] = union.reshape(len(seen), *made.shape[1:])
    return made


def salient(instances, image, maps):
    """(P, h, w) uint8 0 or 1: the salient instance with the best IoU with each map, 0 where none touches it.

    instances : Instances of salient instances, best first. The IoU is that of the mask and of where the map is at least
    its mean; of equal ones the first.
    """
    made = empty(maps)
    rows = instances.numbers(image)
    if not len(rows) or not len(maps):
        return made
    masks = painted(instances.rles(rows), instances.size[image], made.shape[1:])
    large = at_size(maps, made.shape[1:])
    held = ((1 - below(large, factor=1.0)) * large.any((1, 2), keepdims=True)).reshape(len(maps), -1)
    wide = masks.reshape(len(rows), -1).astype(np.float32)
    both = wide @ held.T
    iou = both / np.maximum(wide.sum(1, keepdims=True) + held.sum(1) - both, 1)
    best = iou.argmax(0)
    made[...] = masks[best] * (iou.max(0) > 0)[:, None, None]
    return made


def empty(maps):
    """(P, h, w) uint8 zeros."""
    return np.zeros((len(maps), *(maps[0].shape if len(maps) else (1, 1))), np.uint8)
