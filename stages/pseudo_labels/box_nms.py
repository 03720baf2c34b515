"""Class-wise non-maximum suppression of boxes (LIID, Sec. 5.3): several proposals of one object become one."""

import numpy as np

from tag2mask.data import rle
from tag2mask.data.scores import best_first


def box_nms(boxes, scores, categories, *, threshold):
    """Which instances of one photo stay.

    boxes : (n, 4) float x, y, width, height. scores : (n,). categories : (n,) int. Returns (n,) bool. From the best
    score down (equal scores: the earlier row first) an instance stays unless its box overlaps that of one that stays,
    of the same class, by an IoU above `threshold`. Source: LIID, Sec. 5.3.
    """
    categories = np.asarray(categories)
    clash = (rle.box_iou(boxes, boxes) > threshold) & (categories[:, None] == categories)
    return best_first(scores, clash)
