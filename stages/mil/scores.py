"""p(u, k) from the CAM: how much of class k lies in a proposal's box (the form without training)."""

import numpy as np


def box_means(response, boxes, *, size):
    """(n,) float64: mean over each box of a response map, interpolated bilinearly to the photo.

    response : (h, w) float, any stride. boxes : (n, 4) float x, y, width, height in photo pixels, clipped to the
    photo. size : (H, W) of the photo. The interpolated map is integrated exactly, fractions of pixels included: it is a
    product of one integral per axis, so no pixel is visited. A box without area counts as the point that it is.
    """
    response = np.asarray(response, np.float64)
    x, y, width, height = np.asarray(boxes, np.float64).T
    (rows, columns), (photo_h, photo_w) = response.shape, size
    vertical = axis_means(y, y + height, length=photo_h, cells=rows)
    horizontal = axis_means(x, x + width, length=photo_w, cells=columns)
    return ((vertical @ response) * horizontal).sum(1)


def axis_means(start, stop, *, length, cells):
    """(n, cells) float64, rows sum to 1: the weight of each cell in the mean over [start, stop] of `length` pixels.

    Between the centres of cells the map is linear, outside the first and last centre it is constant.
    """
    start, stop = (np.clip(np.asarray(t, np.float64), 0, length) * cells / length for t in (start, stop))
    empty = stop - start < 1e-6  # a sliver: widen it to a point of the map
    middle = (start + stop) / 2
    start, stop = np.where(empty, middle - 5e-7, start), np.where(empty, middle + 5e-7, stop)
    # One cell before the first and one behind the last repeat their values up to the border.
    centre = np.arange(-1, cells + 1) + 0.5
    weight = _tent_integral(stop[:, None] - centre) - _tent_integral(start[:, None] - centre)
    weight[:, 1] += weight[:, 0]
    weight[:, -2] += weight[:, -1]
    weight = weight[:, 1:-1]
    return weight / weight.sum(1, keepdims=True)


def _tent_integral(t):
    """Integral of max(0, 1 - |s|) from -1 to t."""
    t = np.clip(t, -1, 1)
    return np.where(t < 0, (1 + t) ** 2 / 2, 1 - (1 - t) ** 2 / 2)


def relative_to_best(means):
    """(n, T) float64: each class's box means over its largest one in the photo; classes without response stay 0.

    means : (n, T) in [0, 1], n proposals of one photo.
    """
    best = means.max(0, initial=0)
    return means / np.where(best > 0, best, 1)


def with_background(means, columns, *, labels):
    """(n, K + 1) float32 rows that sum to 1: p of the tagged classes, and of the background in column 0.

    means : (n, T) mean CAM in [0, 1] of the photo's T tagged classes. columns : (T,) int, their columns in p.
    labels : K + 1. p(u, 0) = 1 - max_k p(u, k), then rows are divided by their sum; 0 for classes without a tag. A
    photo without tags is background alone.
    """
    p = np.zeros((len(means), labels))
    p[:, columns] = np.clip(means, 0, 1)
    p[:, 0] = 1 - p[:, 1:].max(1, initial=0)
    return (p / p.sum(1, keepdims=True)).astype(np.float32)
