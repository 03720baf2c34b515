"""What a candidate is worth: the log odds that it is an object, linear in what was seen without any mask."""

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

from stages.fuse.candidates import support
from tag2mask.data import rle
from tag2mask.data.matching import sums
from tag2mask.data.scale import LARGEST, size_within
from tag2mask.data.spans import Spans, around


def features(found, trust, kin, maps, *, config):
    """{name: (n,) float64} of the candidates `found` (Candidates of one photo).

    trust : (S,) float > 0, how much a source counts. kin : (S,) of any kind, equal where sources are cut from the same.
    maps : {"cam", "semantic", "saliency", "edges": {category: (h, w) float32 map in [0, 1], category 0 for all}}, those
    that are read. config : section `fuse`.

    agreement : in [0, 1], see `agreement`, of the support by its own class. dispute : by other classes. score :
    its own. edges : see `outlined`. Of each of the other `maps` : `contrast`.
    """
    trust = np.asarray(trust, np.float64)
    like, unlike = (support(found, len(trust), at=config.same, same=same) for same in (True, False))
    return {
        "agreement": agreement(like, trust, kin, share=config.kin),
        "dispute": agreement(unlike, trust, kin, share=config.kin),
        "score": found.score.astype(np.float64),
        **{
            name: outlined(found, classes[0]) if name == "edges" else contrasts(found, classes, margin=config.margin)
            for name, classes in maps.items()
        },
    }


def kindred(cut_from):
    """(S,) int: one number for sources that share something, directly or by way of others. cut_from : S lists of str"""
    shared = [[not set(one).isdisjoint(other) for other in cut_from] for one in cut_from]
    return connected_components(np.array(shared))[1]


def agreement(support, trust, kin, *, share):
    """(n,) float64 in [0, 1]: the trust of the sources times their support, over that of sources that all agree.

    support : (n, S) float in [0, 1]. trust : (S,) float > 0. kin : (S,). Of sources that are kin the one that says most
    counts whole, the others by `share`: what was cut from the same masks is hardly a second witness.
    """
    kin = np.asarray(kin)
    said = np.concatenate([support, np.ones((1, len(trust)))]) * trust
    total = np.zeros(len(said))
    for one in np.unique(kin):
        total += (1 - share) * said[:, kin == one].max(1) + share * said[:, kin == one].sum(1)
    return total[:-1] / total[-1]


def odds(seen, config):
    """(n,) float64: log odds that each candidate is an object, the weights times what was seen, less the price.

    seen : see `features`. config : section `fuse`.
    """
    return sum(getattr(config, f"weight_{name}") * values for name, values in seen.items()) - config.price


def contrasts(found, classes, *, margin):
    """(n,) float64: `contrast` of each candidate with the map of its class. classes : {category: map}, or {0: map}.

    A large photo's are looked at scaled down.
    """
    size = size_within(found.rles[0]["size"], LARGEST)
    rles = rle.scaled(found.rles, size)
    spans, boxes = Spans.of(rles), rle.to_bbox(rles)
    out = np.zeros(len(rles))
    for category, values in classes.items():
        own = (found.category == category) | (category == 0)
        values = cv2.resize(np.asarray(values, np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        out[own] = contrast(spans, boxes, values, margin=margin)[own]
    return out


def contrast(spans, boxes, values, *, margin):
    """(n,) float64 in [-1, 1]: mean of a map inside each mask less its mean around it.

    spans : Spans of n masks. boxes : (n, 4) float, their x, y, width, height. values : (H, W) float32 in [0, 1].
    Around is what else is in the box that is `margin` sides wider each way; where that is nothing, its mean is 0.
    """
    inside = spans.sums(values)
    ring = around(np.ones_like(values), boxes, margin) - spans.area
    outside = around(values, boxes, margin) - inside
    return inside / np.maximum(spans.area, 1) - np.where(ring > 0, outside, 0) / np.maximum(ring, 1)


def outlined(found, values):
    """(n,) float64 in [-1, 1]: mean of an edge map (h, w) in [0, 1] along each candidate's outline less that inside.

    The outline is the pixel inside and the one outside, at the map's size; a mask without a pixel there has 0.
    """
    both = np.stack([values, np.ones_like(values)])
    inside, along = sums(found.rles, both, both, size=found.rles[0]["size"], window=3)
    mean, outline = (part[:, 0] / np.maximum(part[:, 1], 1) for part in (inside, along))
    return np.where(inside[:, 1] > 0, outline - mean, 0)
