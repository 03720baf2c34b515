"""Salient instances: the connected parts of a saliency map that are salient and large enough."""

import cv2
import numpy as np


def salient_components(saliency, size, *, threshold, least_area, keep):
    """(masks (n, H, W) bool, score (n,) float64 in (0, 1]) of one photo, best first, n <= keep.

    saliency : (h, w) in [0, 1], cells that tile the photo of `size` (H, W), to which it is enlarged (bilinear). An
    instance is an 8-connected component of the pixels at or above `threshold` with at least a share `least_area` of the
    photo's pixels; its score is its area, as such a share, times its mean saliency. Of equal ones the one whose first
    pixel in row order comes first.
    """
    large = cv2.resize(np.asarray(saliency, np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    count, component, stats, _ = cv2.connectedComponentsWithStats((large >= threshold).astype(np.uint8), connectivity=8)
    total = np.bincount(component.ravel(), large.ravel(), minlength=count)[1:]
    score, area = total / large.size, stats[1:, cv2.CC_STAT_AREA]
    labels, at = np.unique(component, return_index=True)
    first = np.zeros(count, np.int64)
    first[labels] = at
    best = np.lexsort((first[1:], -score))
    best = best[area[best] >= least_area * large.size][:keep]
    return component[None] == (best + 1)[:, None, None], score[best]
