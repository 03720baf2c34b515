"""What the trees compare, per superpixel: contrast, colour, texture, place; and sets of superpixels as run lengths.

Everything after this file works on superpixels, never on pixels: a proposal is a set of superpixels.
"""

import numpy as np

from tag2mask.data import regions

BINS = 16  # bins of one colour channel's histogram; the histograms are a cue, not a parameter of the method
ORIENTATIONS = 8  # bins of the gradient's direction over 180 degrees


def edge_strength(colour, *, sigmas):
    """(H, W) float32: contrast of edges, the mean over scales of sigma times the gradient's length at that scale.

    colour : (H, W, 3) float32 Lab. sigmas : pixels. A step between two areas keeps its height over the scales, a fine
    texture fades at the coarse ones. Source: scale-normalised derivatives, Lindeberg, IJCV 1998, Sec. 4.
    """
    return np.mean([sigma * regions.magnitude(regions.blur(colour, sigma)) for sigma in sigmas], axis=0)


def region_histograms(labels, bins, number, *, weights=None):
    """(S, number) float64 histograms over each region: shares of the region's pixels, or of `weights`' sum a pixel.

    bins : (H, W) int in 0..number-1. weights : (H, W) float or None.
    """
    flat = labels.ravel().astype(np.int64)
    sizes = np.bincount(flat)
    table = np.bincount(
        flat * number + bins.ravel(),
        weights=None if weights is None else weights.ravel(),
        minlength=len(sizes) * number,
    )
    return table.reshape(len(sizes), number) / sizes[:, None]


def cues(colour, labels, *, sigma):
    """What the trees compare, per superpixel: dict of (S, C) float64.

    lab : mean smoothed colour. histogram : the three channels' histograms. chroma : mean a, b. texture : gradient
    length by direction, fine and coarse. place : mean y, x in units of the photo's longer side.
    """
    height, width = labels.shape
    smooth = regions.blur(colour, sigma)
    low, span = np.array([0, -60, -60], np.float32), np.array([100, 120, 120], np.float32)
    level = np.clip((colour - low) / span * BINS, 0, BINS - 1).astype(np.int64)
    texture = []
    for scale in (sigma, 3 * sigma):
        gy, gx = regions.gradient(regions.blur(colour[..., :1], scale))
        turn = np.mod(np.arctan2(gy, gx), np.pi) * (ORIENTATIONS / np.pi)
        direction = np.minimum(turn.astype(np.int64), ORIENTATIONS - 1)
        length = np.sqrt(gy**2 + gx**2)
        texture.append(region_histograms(labels, direction, ORIENTATIONS, weights=length))
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    means = regions.means(labels, smooth)
    return {
        "lab": means,
        "chroma": means[:, 1:],
        "histogram": np.concatenate([region_histograms(labels, level[..., c], BINS) for c in range(3)], 1),
        "texture": np.concatenate(texture, 1),
        "place": regions.means(labels, np.stack([y, x], 2)),
    }


def covered(labels, masks):
    """(k, S) bool: the superpixels of which at least half lie in each of `masks` (k, H, W) bool.

    labels : (H, W) int32 in 0..S-1.
    """
    flat = labels.ravel()
    sizes = np.bincount(flat)
    inside = [np.bincount(flat, weights=mask.ravel(), minlength=len(sizes)) for mask in masks]
    return np.array(inside).reshape(len(masks), len(sizes)) >= sizes / 2


def run_lengths(membership, labels):
    """COCO run lengths of sets of superpixels, without a mask being painted.

    membership : (n, S) bool. labels : (H, W) int32 in 0..S-1. Returns a list of n (R,) uint32 arrays, column-major,
    background first.
    """
    flat = labels.ravel(order="F")
    begin = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    runs = flat[begin]
    counts = []
    for row in np.asarray(membership, bool):
        inside = row[runs]
        turns = np.flatnonzero(np.concatenate(([inside[0]], inside[1:] != inside[:-1])))
        counts.append(np.diff(np.concatenate(([0], begin[turns], [len(flat)]))).astype(np.uint32))
    return counts
