"""Photos as networks take them: scaled, cropped, mirrored and recoloured at random for training; whole for inference.

Two ways to crop: `augment` resizes a random box of the photo to the network's size, for learning from tags; a `Frame`
scales the whole photo and lets a window of the network's size see it, for learning from maps and masks, which it takes
along. No I/O. Pixel (y, x) has its centre at (y, x): scaled by f it lies at (y + 0.5) f - 0.5.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from tag2mask.data.scale import resized


def crop_box(rng, size, *, area, aspect, keep=False):
    """A random box (y, x, height, width) in pixels inside a photo of `size` (height, width).

    Its share of the photo is uniform in `area`, its side ratio the photo's times a factor in [1 / aspect, aspect],
    log-uniform; clipped to the photo. keep : the side ratio is that factor itself, whatever the photo's, and a box that
    would be larger than the photo is made as much smaller as fits: objects keep their proportions in a square.
    """
    h, w = size
    share = rng.uniform(*area)
    factor = math.exp(rng.uniform(-1, 1) * math.log(aspect)) ** 0.5
    tall, wide = (math.sqrt(h * w),) * 2 if keep else (h, w)
    tall, wide = tall * math.sqrt(share) * factor, wide * math.sqrt(share) / factor
    fit = min(1.0, h / tall, w / wide) if keep else 1.0
    bh, bw = int(np.clip(round(tall * fit), 1, h)), int(np.clip(round(wide * fit), 1, w))
    return int(rng.integers(0, h - bh + 1)), int(rng.integers(0, w - bw + 1)), bh, bw


def augment(photo, rng, *, size, area, aspect, flip, jitter, keep=False):
    """A (size, size, 3) uint8 crop of `photo` (H, W, 3) uint8 RGB: random crop, mirror, brightness and contrast.

    area, aspect, keep : see `crop_box`.
    """
    y, x, h, w = crop_box(rng, photo.shape[:2], area=area, aspect=aspect, keep=keep)
    crop = resize(photo[y : y + h, x : x + w], (size, size))
    mirrored = bool(rng.integers(2)) and flip
    if mirrored:
        crop = crop[:, ::-1]
    return np.ascontiguousarray(jittered(crop, jitter, rng))


def pass_over(rng, size, *, area, aspect, keep=False):
    """Draw from `rng` what `augment` draws for a photo of `size` (H, W), and make nothing of it."""
    crop_box(rng, size, area=area, aspect=aspect, keep=keep)
    rng.integers(2)
    rng.uniform(-1, 1, 2)


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


def corners(boxes, size):
    """(n, 4) float32 x0, y0, x1, y1 as shares of the photo, in [0, 1].

    boxes : (n, 4) float x, y, width, height in photo pixels. size : (H, W) of the photo.
    """
    x, y, width, height = np.asarray(boxes, np.float64).reshape(-1, 4).T
    shares = np.stack([x, y, x + width, y + height], 1) / np.array([size[1], size[0]] * 2)
    return np.clip(shares, 0, 1).astype(np.float32)


def mirrored(shares):
    """The corners (n, 4) of the same boxes in the photo mirrored left to right."""
    x0, y0, x1, y1 = shares.T
    return np.stack([1 - x1, y0, 1 - x0, y1], 1)


class Frame(NamedTuple):
    """How a photo lies in a crop of `side` x `side` pixels.

    given : (H, W) of the photo. size : (h, w) that it is scaled to. mirrored : bool. rows, columns : first pixel of the
    scaled photo that is seen, its place in the crop, number of pixels; one of the first two is 0.
    """

    given: tuple
    size: tuple
    mirrored: bool
    rows: tuple
    columns: tuple
    side: int


def frame(given, rng, *, scales, longest, flip, side):
    """A random Frame of a photo of size `given` (H, W).

    scales : the least and the largest factor, uniform. longest : a longer side above it is first scaled down to it,
    pixels; None: it is not. flip : probability of the mirror image. The crop lies anywhere on the scaled photo, or
    where that is smaller the photo anywhere in the crop.
    """
    factor = rng.uniform(*scales) * (min(1.0, longest / max(given)) if longest else 1.0)
    mirrored = rng.random() < flip
    size = tuple(max(1, round(n * factor)) for n in given)
    rows, columns = (window(n, side, rng) for n in size)
    return Frame(tuple(given), size, mirrored, rows, columns, side)


def window(side, crop, rng):
    """(first pixel of the photo, its place in the crop, number of pixels) along one side, at random."""
    shift = int(rng.integers(0, abs(side - crop) + 1))
    return (shift, 0, crop) if side >= crop else (0, shift, side)


def framed_photo(photo, frame, *, mean, jitter=0.0, rng=None):
    """(side, side, 3) uint8: the photo (H, W, 3) uint8 RGB in its frame, not modified.

    mean : 3 floats in 0..1, the colour outside the photo. jitter : see `jittered`, which then draws from rng.
    """
    crop = np.broadcast_to(np.rint(255 * np.asarray(mean)).astype(np.uint8), (frame.side, frame.side, 3)).copy()
    seen = _seen(photo if photo.shape[:2] == frame.size else resize(photo, frame.size), frame)
    _inside(crop, frame)[...] = jittered(seen, jitter, rng) if jitter else seen
    return crop


def framed_map(values, frame, *, outside):
    """(side, side) of the dtype of `values` (H, W): labels or numbers in the frame, `outside` where no photo is."""
    crop = np.full((frame.side, frame.side), outside, values.dtype)
    _inside(crop, frame)[...] = _seen(resized(values, frame.size), frame)
    return crop


def framed_area(frame):
    """(side, side) bool: where in the crop the photo is."""
    area = np.zeros((frame.side, frame.side), bool)
    _inside(area, frame)[...] = True
    return area


def framed_places(yx, frame):
    """(n, 2) float64: y, x in pixels of the crop, perhaps outside it, of places in pixels of the photo."""
    new = (np.reshape(yx, (-1, 2)) + 0.5) * np.divide(frame.size, frame.given) - 0.5
    if frame.mirrored:
        new[:, 1] = frame.size[1] - 1 - new[:, 1]
    return new + (frame.rows[1] - frame.rows[0], frame.columns[1] - frame.columns[0])


def _seen(scaled, frame):
    """The part of the scaled photo that the crop shows."""
    (a, _, h), (b, _, w) = frame.rows, frame.columns
    return (scaled[:, ::-1] if frame.mirrored else scaled)[a : a + h, b : b + w]


def _inside(crop, frame):
    """The part of the crop in which the photo is."""
    (_, y, h), (_, x, w) = frame.rows, frame.columns
    return crop[y : y + h, x : x + w]
