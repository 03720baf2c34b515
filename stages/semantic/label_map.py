"""Class scores or true masks to a semantic label map: category ids, 0 background, 255 ignore."""

import cv2
import numpy as np
from skimage.filters import threshold_otsu

from stages.semantic.random_walk import random_walk

IGNORE = 255


def from_cam(photo, categories, cams, config):
    """The semantic label map of one photo.

    photo : (H, W, 3) uint8 RGB. categories : (n,) int of the CAMs, ascending. cams : list of n (h, w) float16 in
    [0, 1] at network stride. config : semantic.config.Config. Returns (H, W) uint8.
    """
    height, width = photo.shape[:2]
    if not len(cams):
        return np.zeros((height, width), np.uint8)
    scale = min(1.0, config.side / max(height, width)) if config.refine == "random_walk" else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scores = np.stack([cv2.resize(cam.astype(np.float32), size) for cam in cams], -1)
    if config.refine == "random_walk":
        small = photo if scale == 1 else cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        scores = random_walk(
            scores,
            small,
            superpixels=config.superpixels,
            colour=config.colour,
            edge=config.edge,
            restart=config.restart,
        )
        # The walk levels a map; thresholds are shares of the maximum before it and after it (IRN does the same).
        peak = scores.max((0, 1))
        scores = np.divide(scores, peak, out=np.zeros_like(scores), where=peak > 0)
    if scale < 1:
        scores = np.stack([cv2.resize(scores[..., c], (width, height)) for c in range(len(cams))], -1)
    least = np.full(len(cams), config.foreground)
    if config.split == "otsu":
        least = np.maximum(least, [otsu(scores[..., c]) for c in range(len(cams))])
    return threshold(scores, categories, foreground=least, background=config.background)


def otsu(scores):
    """The value that splits a map (H, W) in two classes with the least variance inside; 0 where all are equal.

    Source: N. Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    return float(threshold_otsu(scores)) if np.ptp(scores) > 0 else 0.0


def threshold(scores, categories, *, foreground, background):
    """Best class of those whose score is at least their `foreground`, 0 where all are below `background`, else 255.

    scores : (H, W, n) float in [0, 1], n >= 1. categories : (n,) int in 1..254. foreground : float, or (n,) a class.
    Returns (H, W) uint8. Of equal scores the first class counts.
    """
    reached = np.where(scores >= foreground, scores, -1)
    label = np.asarray(categories, np.uint8)[reached.argmax(-1)]
    return np.where(reached.max(-1) >= 0, label, np.where(scores.max(-1) < background, 0, IGNORE)).astype(np.uint8)


def from_masks(masks, categories, crowd, void):
    """The semantic label map of true masks; a smaller object lies over a larger one.

    masks : (n, H, W) bool. categories : (n,) int. crowd : (n,) bool, no single objects: ignored unless an
    object lies there. void : (H, W) bool. Returns (H, W) uint8.
    """
    label = np.zeros(void.shape, np.uint8)
    order = np.lexsort((-masks.sum((1, 2)), ~crowd))  # crowds first, then from large to small
    for n in order:
        label[masks[n]] = IGNORE if crowd[n] else categories[n]
    label[void] = IGNORE
    return label
