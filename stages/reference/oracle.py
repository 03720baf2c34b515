"""The upper bound of a method that labels proposals: true boxes filter and label them (LIID, Sec. 6.2, Table 7)."""

import numpy as np

from tag2mask.data import rle


def label_by_boxes(boxes, truth_boxes, truth_categories, *, box_iou):
    """Category and overlap of every proposal by the true box that it overlaps most.

    boxes : (n, 4), truth_boxes : (m, 4) float x, y, width, height. truth_categories : (m,) int. Returns category (n,)
    int16, 0 where the overlap is not above `box_iou`, and overlap (n,) float64. Of equally good boxes the first counts.
    Source: LIID, Sec. 6.2, "The upper bound of LIID": larger than 0.5 is kept, labelled as the box of maximum IoU.
    """
    if not len(boxes) or not len(truth_boxes):
        return np.zeros(len(boxes), np.int16), np.zeros(len(boxes))
    overlaps = rle.box_iou(boxes, truth_boxes)
    best = overlaps.argmax(1)
    overlap = overlaps[np.arange(len(boxes)), best]
    return np.where(overlap > box_iou, np.asarray(truth_categories)[best], 0).astype(np.int16), overlap
