"""Random crops of photos for training, and the one size that a whole photo is given for inference."""

import math

import cv2
import numpy as np


def crop_box(rng, size, *, area, aspect):
    """A random box (y, x, height, width) in pixels inside a photo of `size` (height, width).

    Its share of the photo is uniform in `area`, its side ratio the photo's times a factor in [1 / aspect, aspect],
    log-uniform; clipped to the photo.
    """
    h, w = size
    share = rng.uniform(*area)
    factor = math.exp(rng.uniform(-1, 1) * math.log(aspect)) ** 0.5
    bh = int(np.clip(round(h * math.sqrt(share) * factor), 1, h))
    bw = int(np.clip(round(w * math.sqrt(share) / factor), 1, w))
    return int(rng.integers(0, h - bh + 1)), int(rng.integers(0, w - bw + 1)), bh, bw


def augment(photo, rng, *, size, area, aspect, flip, jitter):
    """A (size, size, 3) uint8 crop of `photo` (H, W, 3) uint8 RGB: random crop, mirror, brightness and contrast."""
    y, x, h, w = crop_box(rng, photo.shape[:2], area=area, aspect=aspect)
    crop = resize(photo[y : y + h, x : x + w], (size, size))
    mirrored = bool(rng.integers(2)) and flip
    if mirrored:
        crop = crop[:, ::-1]
    return np.ascontiguousarray(jittered(crop, jitter, rng))


def jittered(photo, amount, rng):
    """`photo` (H, W, 3) uint8 with its contrast about the mean and its brightness times 1 +- up to `amount`."""
    contrast, brightness = 1 + amount * rng.uniform(-1, 1, 2)
    mean = float(photo.mean())
    table = np.clip(((np.arange(256) - mean) * contrast + mean) * brightness, 0, 255)
    return np.rint(table).astype(np.uint8)[photo]


def resize(photo, size):
    """`photo` (H, W, 3) uint8 at `size` (height, width): area averaging when smaller, linear when larger."""
    smaller = size[0] * size[1] < photo.shape[0] * photo.shape[1]
    return cv2.resize(photo, (size[1], size[0]), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def network_size(size, *, side, stride):
    """Height and width at which a whole photo of `size` enters the network.

    The square root of its area becomes `side`, and both are rounded to multiples of `stride` (at least one), so that
    the map's cells tile the photo exactly.
    """
    factor = side / math.sqrt(size[0] * size[1])
    return tuple(max(1, round(s * factor / stride)) * stride for s in size)
