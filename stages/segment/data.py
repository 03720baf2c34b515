"""From photos and instance masks to what DeepLab takes: one label map a photo, scaling, flip, crop. No I/O."""

import cv2
import numpy as np

from stages.classifier.augment import resize
from stages.evaluate.semantic import merge

VOID = 255


def class_map(labels, i, categories):
    """(H, W) uint8 of image i of `labels` (Instances): 0 background, k the k-th of `categories` (sorted), 255 void.

    Where instances overlap the higher score wins, then the smaller mask, then the earlier row; pixels that only a
    crowd covers, and the table's own void pixels, are 255. Source: LIID Sec. 6.5 ("merge our instance segmentation
    masks of the same semantic category"); the order is ours, and the one that `evaluate` merges by.
    """
    merged = merge(labels, i, truth=True)  # category, 0, or -1 for void
    number = np.full(max(categories) + 2, VOID, np.uint8)  # the last entry is that of -1
    number[0] = 0
    number[list(categories)] = np.arange(1, len(categories) + 1)
    return number[merged]


def entering(size, *, scale, max_side, stride):
    """(h, w) at which a photo of `size` enters the network: scaled, whole cells of `stride` pixels, at least one.

    A photo whose longer side is above `max_side` is scaled down to it first.
    """
    factor = scale * min(1.0, max_side / max(size))
    return tuple(max(1, round(side * factor / stride)) * stride for side in size)


def training_sample(photo, label, *, config, mean, rng):
    """One photo with its label map, scaled, perhaps flipped, and cropped at random.

    photo : (H, W, 3) uint8 RGB. label : (H, W) uint8. mean : 3 floats in 0..1, the colour outside the photo, where the
    label is 255. rng : np.random.Generator. Returns ((crop, crop, 3) uint8, (crop, crop) uint8); nothing is modified.
    """
    factor = rng.uniform(*config.scales) * min(1.0, config.max_side / max(label.shape))
    flip = rng.random() < config.flip
    size = tuple(max(1, round(side * factor)) for side in label.shape)
    if size != label.shape:
        photo = resize(photo, size)
        label = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    if flip:
        photo, label = photo[:, ::-1], label[:, ::-1]
    crop = np.broadcast_to(np.rint(255 * np.asarray(mean)).astype(np.uint8), (config.crop, config.crop, 3)).copy()
    target = np.full((config.crop, config.crop), VOID, np.uint8)
    # the photo's window and its place in the crop, along each side: one of the two starts at 0
    (a, y, h), (b, x, w) = (window(side, config.crop, rng) for side in size)
    crop[y : y + h, x : x + w] = photo[a : a + h, b : b + w]
    target[y : y + h, x : x + w] = label[a : a + h, b : b + w]
    return crop, target


def window(side, crop, rng):
    """(first pixel of the photo, its place in the crop, number of pixels) along one side, at random."""
    shift = int(rng.integers(0, abs(side - crop) + 1))
    return (shift, 0, crop) if side >= crop else (0, shift, side)
