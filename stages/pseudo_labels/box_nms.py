"""Class-wise non-maximum suppression of boxes (LIID, Sec. 5.3): several proposals of one object become one."""

import numpy as np

from tag2mask.data import rle


def box_nms(boxes, scores, categories, *, threshold):
    """Which instances of one photo stay.

    boxes : (n, 4) float x, y, width, height. scores : (n,). categories : (n,) int. Returns (n,) bool. From the best
    score down (equal scores: the earlier row first) an instance stays unless its box overlaps that of one that stays,
    of the same class, by an IoU above `threshold`. Source: LIID, Sec. 5.3.
    """
    categories = np.asarray(categories)
    clash = (rle.box_iou(boxes, boxes) > threshold) & (categories[:, None] == categories)
    alive = np.ones(len(categories), bool)
    for n in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        if alive[n]:
            alive &= ~clash[n]
            alive[n] = True
    return alive
