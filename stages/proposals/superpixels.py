"""Superpixels: the watershed of a smoothed colour gradient, merged down to a given number; cues per superpixel.

Everything after this file works on superpixels, never on pixels: a proposal is a set of superpixels.
"""

import cv2
import higra as hg
import numpy as np

BINS = 16  # bins of one colour channel's histogram; the histograms are a cue, not a parameter of the method
ORIENTATIONS = 8  # bins of the gradient's direction over 180 degrees


def lab(photo):
    """CIE Lab of `photo` (H, W, 3) uint8 RGB as (H, W, 3) float32: L in [0, 100], a and b about [-100, 100]."""
    return cv2.cvtColor(np.ascontiguousarray(photo, np.uint8).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def blur(image, sigma):
    """`image` (H, W) or (H, W, C) float32 smoothed by a Gaussian of `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def gradient(image):
    """(gy, gx), each (H, W, C) float32: central differences of `image` (H, W, C), Lab units a pixel."""
    kwargs = {"ddepth": cv2.CV_32F, "ksize": 3, "scale": 1 / 8, "borderType": cv2.BORDER_REPLICATE}
    return cv2.Sobel(image, dx=0, dy=1, **kwargs), cv2.Sobel(image, dx=1, dy=0, **kwargs)


def magnitude(image):
    """(H, W) float32: length of the gradient over all channels of `image` (H, W, C)."""
    gy, gx = gradient(image)
    return np.sqrt((gy**2 + gx**2).reshape(*image.shape[:2], -1).sum(-1))


def edge_strength(colour, *, sigmas):
    """(H, W) float32: contrast of edges, the mean over scales of sigma times the gradient's length at that scale.

    colour : (H, W, 3) float32 Lab. sigmas : pixels. A step between two areas keeps its height over the scales, a fine
    texture fades at the coarse ones. Source: scale-normalised derivatives, Lindeberg, IJCV 1998, Sec. 4.
    """
    return np.mean([sigma * magnitude(blur(colour, sigma)) for sigma in sigmas], axis=0)


def superpixels(colour, *, sigma, count):
    """At most `count` connected superpixels: watershed basins of the smoothed gradient, merged by Ward's rule.

    colour : (H, W, 3) float32 Lab. sigma : pixels. Returns (H, W) int32 labels 0..S-1, every label present.
    """
    height, width = colour.shape[:2]
    smooth = blur(colour, sigma)
    if height * width == 1:
        return np.zeros((1, 1), np.int32)
    graph = hg.get_4_adjacency_graph((height, width))
    weights = hg.weight_graph(graph, magnitude(smooth), hg.WeightFunction.mean)
    basins = hg.labelisation_watershed(graph, weights).astype(np.int64).reshape(height, width) - 1
    number = int(basins.max()) + 1
    if number <= count:
        return basins.astype(np.int32)
    sizes = np.bincount(basins.ravel(), minlength=number).astype(np.float64)
    edges, _, _ = adjacency(basins, np.zeros_like(basins, np.float32))
    parents = ward(edges, region_means(basins, smooth), sizes)
    # The first merges are undone down to `count` regions: a basin's superpixel is its highest ancestor made by them.
    made = 2 * number - count
    region = np.arange(len(parents))
    for node in range(made - 1, -1, -1):
        if parents[node] < made and parents[node] != node:
            region[node] = region[parents[node]]
    return np.unique(region[:number], return_inverse=True)[1].astype(np.int32)[basins]


def adjacency(labels, strength):
    """The 4-neighbour region graph of `labels` (H, W) int in 0..S-1.

    strength : (H, W) float32. Returns (edges (E, 2) int64 with i < j in lexicographic order, length (E,) float64 in
    pixel pairs, mean (E,) float64 of `strength` over both pixels of the pairs). Vertices are the label values: built
    here and not by higra, whose region graph numbers its vertices otherwise.
    """
    number = int(labels.max()) + 1
    keys, values = [], []
    for a, b, s, t in (
        (labels[:, 1:], labels[:, :-1], strength[:, 1:], strength[:, :-1]),
        (labels[1:], labels[:-1], strength[1:], strength[:-1]),
    ):
        y, x = np.nonzero(a != b)
        one, two = a[y, x].astype(np.int64), b[y, x].astype(np.int64)
        keys.append(np.minimum(one, two) * number + np.maximum(one, two))
        values.append((s[y, x] + t[y, x]) / 2)
    keys, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    length = np.bincount(inverse, minlength=len(keys)).astype(np.float64)
    total = np.bincount(inverse, weights=np.concatenate(values), minlength=len(keys))
    return np.stack([keys // number, keys % number], 1), length, total / np.maximum(length, 1)


def region_means(labels, maps):
    """(S, C) float64: means of `maps` (H, W, C) over the regions of `labels` (H, W) int in 0..S-1."""
    flat = labels.ravel()
    sizes = np.bincount(flat)
    channels = maps.reshape(len(flat), -1)
    sums = [np.bincount(flat, weights=channels[:, c], minlength=len(sizes)) for c in range(channels.shape[1])]
    return np.stack(sums, 1) / sizes[:, None]


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
    smooth = blur(colour, sigma)
    low, span = np.array([0, -60, -60], np.float32), np.array([100, 120, 120], np.float32)
    level = np.clip((colour - low) / span * BINS, 0, BINS - 1).astype(np.int64)
    texture = []
    for scale in (sigma, 3 * sigma):
        gy, gx = gradient(blur(colour[..., :1], scale))
        turn = np.mod(np.arctan2(gy, gx), np.pi) * (ORIENTATIONS / np.pi)
        direction = np.minimum(turn.astype(np.int64), ORIENTATIONS - 1)
        length = np.sqrt(gy**2 + gx**2)
        texture.append(region_histograms(labels, direction, ORIENTATIONS, weights=length))
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    means = region_means(labels, smooth)
    return {
        "lab": means,
        "chroma": means[:, 1:],
        "histogram": np.concatenate([region_histograms(labels, level[..., c], BINS) for c in range(3)], 1),
        "texture": np.concatenate(texture, 1),
        "place": region_means(labels, np.stack([y, x], 2)),
    }


def ward(edges, features, sizes):
    """Parents of the binary partition tree by Ward's rule: merge the neighbours that add least to the squared error.

    edges : (E, 2) int over vertices 0..S-1, connected. features : (S, C). sizes : (S,) pixels. Returns (2 S - 1,)
    int64; leaves first, parents after their children, the root its own parent.
    """
    graph = hg.UndirectedGraph(len(sizes))
    graph.add_edges(edges[:, 0], edges[:, 1])
    tree, _ = hg.binary_partition_tree_ward_linkage(
        graph, np.ascontiguousarray(features, np.float64), np.asarray(sizes, np.float64)
    )
    return np.asarray(tree.parents()).astype(np.int64)


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
