"""How much of a class's map lies in a proposal: mean and maximum over its box or mask, and p made of the means."""

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


def box_maxima(response, boxes, *, size):
    """(n,) float64: maximum over each box of the same bilinear map that `box_means` integrates. Exact.

    On a rectangle between cell centres the map is largest at a corner, so only crossings of the box's edges and the
    centres' lines inside it count: every centre moved to the nearest place in the box.
    """
    response = np.asarray(response, np.float64)
    x, y, width, height = np.asarray(boxes, np.float64).T
    (rows, columns), (photo_h, photo_w) = response.shape, size
    vertical = inside(y, y + height, length=photo_h, cells=rows)  # (n, rows, rows)
    horizontal = inside(x, x + width, length=photo_w, cells=columns)
    return (vertical @ response @ horizontal.transpose(0, 2, 1)).max((1, 2))


def inside(start, stop, *, length, cells):
    """(n, cells, cells) float64: interpolation weights at each cell's centre, moved into [start, stop] of `length`."""
    start, stop = (np.clip(np.asarray(t, np.float64), 0, length) * cells / length for t in (start, stop))
    centre = np.arange(cells) + 0.5
    return interpolation(np.clip(centre[None], start[:, None], stop[:, None]), cells)


def interpolation(at, cells):
    """(..., cells) float64 weights, sum 1, of the cells for a bilinear value at places `at` (...) in cells.

    Between centres linear, outside the first and last constant.
    """
    at = np.clip(np.asarray(at, np.float64) - 0.5, 0, cells - 1)
    return np.clip(1 - np.abs(at[..., None] - np.arange(cells)), 0, None)


def mask_statistics(response, masks):
    """(mean, maximum), each (n,) float64, of a response map over masks instead of boxes (LIID, Table 4).

    response : (h, w) float. masks : (n, H, W) bool; the map is interpolated at the pixels' centres. An empty mask
    has 0 and 0.
    """
    height, width = masks.shape[1:]
    vertical, horizontal = (
        interpolation((np.arange(side) + 0.5) * cells / side, cells)
        for side, cells in zip((height, width), response.shape)
    )
    pixels = vertical @ np.asarray(response, np.float64) @ horizontal.T  # (H, W)
    mean, top = np.zeros(len(masks)), np.zeros(len(masks))
    for n, mask in enumerate(masks):
        values = pixels[mask]
        if len(values):
            mean[n], top[n] = values.mean(), values.max()
    return mean, top


def box_statistics(response, boxes, *, size):
    """(mean, maximum), each (n,) float64, of a response map over boxes; see `box_means` and `box_maxima`."""
    return box_means(response, boxes, size=size), box_maxima(response, boxes, size=size)


def relevance(statistics, terms):
    """(n, T) R of Eq. 3 from T classes' (mean, maximum): their sum in [0, 2], or one of them in [0, 1].

    terms : "both", "mean" or "max". Source: LIID, Sec. 4.2.1, Table 3.
    """
    part = {"both": lambda mean, top: mean + top, "mean": lambda mean, _: mean, "max": lambda _, top: top}[terms]
    return np.stack([part(mean, top) for mean, top in statistics], 1)


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


def with_background(means, columns, *, labels, normalise=True):
    """(n, K + 1) float32: p of the tagged classes, and of the background in column 0.

    means : (n, T) mean map in [0, 1] of the photo's T tagged classes. columns : (T,) int, their columns in p.
    labels : K + 1. p(u, 0) = 1 - max_k p(u, k); 0 for classes without a tag. A photo without tags is background alone.
    normalise : divide rows by their sum; else p are independent probabilities (Fan, Eq. 2), whatever their sum.
    """
    p = np.zeros((len(means), labels))
    p[:, columns] = np.clip(means, 0, 1)
    p[:, 0] = 1 - p[:, 1:].max(1, initial=0)
    return (p / p.sum(1, keepdims=True) if normalise else p).astype(np.float32)
