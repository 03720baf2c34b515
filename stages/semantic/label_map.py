"""Class scores or true masks to a semantic label map: category ids, 0 background, 255 ignore."""

import cv2
import numpy as np

from stages.semantic.dense_crf import dense_crf
from stages.semantic.random_walk import random_walk
from tag2mask.data.scale import LARGEST, resized, scaled_down, size_within

IGNORE = 255


def from_cam(photo, categories, cams, config, *, size=None, saliency=None):
    """The semantic label map of one photo.

    photo : (h, w, 3) uint8 RGB, of its own size or scaled down from it. size : (H, W), its own; None: (h, w).
    categories : (n,) int of the CAMs, ascending. cams : list of n (h, w) float16 in [0, 1] at network stride. config :
    semantic.config.Config. saliency : (h, w) float16 in [0, 1], cells that tile the photo, mixed into the scores by
    `saliency_share`; None: they are the CAMs. Returns (H, W) uint8.
    """
    height, width = size or photo.shape[:2]
    if not len(cams):
        return np.zeros((height, width), np.uint8)
    most = config.side if config.refine != "none" else LARGEST
    size = size_within((height, width), most)[::-1]
    scores = np.stack([cv2.resize(cam.astype(np.float32), size) for cam in cams], -1)
    small = scaled_down(photo, size[::-1])
    # Mixing and walk level a map; thresholds are shares of the maximum before and after them (IRN does the same).
    if saliency is not None:
        saliency = cv2.resize(saliency.astype(np.float32), size)
        scores = over_maximum(mixed(scores, saliency, share=config.saliency_share, floor=config.saliency_floor))
    if config.refine == "random_walk":
        scores = random_walk(
            scores,
            small,
            superpixels=config.superpixels,
            colour=config.colour,
            edge=config.edge,
            restart=config.restart,
        )
        scores = over_maximum(scores)
    if size != (width, height) and config.refine != "crf":
        size = size_within((height, width), LARGEST)[::-1]
        scores = np.stack([cv2.resize(scores[..., c], size) for c in range(len(cams))], -1)
    if config.refine == "crf":
        return resized(twice(scores, categories, small, config=config), (height, width))
    label = threshold(scores, categories, foreground=config.foreground, background=config.background)
    return resized(label, (height, width))


def mixed(scores, saliency, *, share, floor):
    """Class scores in which the saliency of a pixel is given to its classes, by how near each is to the best one.

    scores : (H, W, n) float32 in [0, 1]. saliency : (H, W) float32 in [0, 1]. Returns (H, W, n) float32 in [0, 1]:
    (1 - share) s + share saliency s / max s over the classes, the second term 0 where s <= floor. Source: ours.
    """
    best = scores.max(-1, keepdims=True)
    nearness = np.divide(scores, best, out=np.zeros_like(scores), where=scores > floor)
    return (1 - share) * scores + share * saliency[..., None] * nearness


def over_maximum(scores):
    """Every class's map of scores (H, W, n), not negative, over its own maximum; one of zeros stays so."""
    peak = scores.max((0, 1))
    return np.divide(scores, peak, out=np.zeros_like(scores), where=peak > 0)


def twice(scores, categories, photo, *, config):
    """Label map of two dense CRFs: one of what is foreground for certain, one of what may be.

    scores : (H, W, n) float in [0, 1]. photo : (H, W, 3) uint8. Class where the first CRF has one, 0
    where neither has, else 255. Returns (H, W) uint8. Source: IRN's released code, which BESTIE's repeats.
    """
    certain, possible = (
        dense_crf(best(scores, least), photo, count=scores.shape[-1] + 1, **crf_keys(config))
        for least in (config.foreground, config.background)
    )
    label = np.append(0, categories).astype(np.uint8)[certain]
    label[(certain == 0) & (possible > 0)] = IGNORE
    return label


def refined(label, photo, config):
    """A label map (H, W) uint8 made elsewhere, after one dense CRF over its classes; what is 255 gets a class.

    photo : (h, w, 3) uint8 RGB, of the map's size or scaled down from it, not below `config.side`, at which the CRF
    runs.
    """
    size = size_within(label.shape, config.side)
    small = resized(label, size)
    categories = np.setdiff1d(small, [0, IGNORE])
    if not len(categories):
        return label
    number = np.full(256, -1)
    number[[0, *categories]] = np.arange(len(categories) + 1)
    found = dense_crf(number[small], scaled_down(photo, size), count=len(categories) + 1, **crf_keys(config))
    return resized(np.append(0, categories).astype(np.uint8)[found], label.shape)


def crf_keys(config):
    """The keys `crf_...` as arguments of `dense_crf`."""
    return {key.removeprefix("crf_"): value for key, value in config.model_dump().items() if key.startswith("crf_")}


def threshold(scores, categories, *, foreground, background):
    """Best class of those whose score is at least `foreground`, 0 where all are below `background`, else 255.

    scores : (H, W, n) float in [0, 1], n >= 1. categories : (n,) int in 1..254.
    Returns (H, W) uint8. Of equal scores the first class counts.
    """
    found = best(scores, foreground)
    label = np.append(0, categories).astype(np.uint8)[found]
    return np.where(found > 0, label, np.where(scores.max(-1) < background, 0, IGNORE)).astype(np.uint8)


def best(scores, least):
    """(H, W) int64: 1 + the class of the highest score of those that are at least `least`, else 0."""
    reached = np.where(scores >= least, scores, -1)
    return np.where(reached.max(-1) >= 0, 1 + reached.argmax(-1), 0)


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
