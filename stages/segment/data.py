"""From photos and instance masks to what DeepLab takes: one label map a photo, scaling, flip, crop. No I/O."""

import numpy as np

from tag2mask.data.labelmaps import VOID, merge
from tag2mask.learn.crops import frame, framed_map, framed_photo


def class_map(labels, i, number):
    """(H, W) uint8 of image i of `labels` (Instances): 0 background, k the k-th class, 255 void.

    number : see `class_numbers`. Where instances overlap the higher score wins, then the smaller mask, then the earlier
    row; pixels that only a crowd covers, and the table's own void pixels, are 255. Source: LIID Sec. 6.5 ("merge our
    instance segmentation masks of the same semantic category"); the order is ours, and the one that `evaluate` has.
    """
    merged = merge(labels, i, truth=True)  # category, 0, or -1 for void, which is 255 in a byte
    return number[merged.astype(np.uint8)]


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
    place = frame(label.shape, rng, scales=config.scales, longest=config.max_side, flip=config.flip, side=config.crop)
    return framed_photo(photo, place, mean=mean), framed_map(label, place, outside=VOID)
