"""Regions of a photo: superpixels, the graph of those that touch, and means over them.

Two makers, for two needs. `superpixels` are basins merged by colour, few where the photo is plain, as proposals want
them. `grid_superpixels` are of even size, as maps want them that walk or spread over the photo: on merged basins the
random walk loses 3 points of mIoU (docs/benchmarks.md, "Region tools").
"""

import math
from collections.abc import Iterable

import cv2
import higra as hg
import numpy as np
from skimage.segmentation import watershed


def lab(photo: np.ndarray) -> np.ndarray:
    """CIE Lab of `photo` (H, W, 3) uint8 RGB as (H, W, 3) float32: L in [0, 100], a and b about [-100, 100]."""
    return cv2.cvtColor(np.ascontiguousarray(photo, np.uint8).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """`image` (H, W) or (H, W, C) float32 smoothed by a Gaussian of `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(gy, gx), each (H, W, C) float32: central differences of `image` (H, W, C), Lab units a pixel."""
    across, down = (
        cv2.Sobel(image, cv2.CV_32F, dx, dy, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REPLICATE)
        for dx, dy in ((1, 0), (0, 1))
    )
    return down, across


def magnitude(image: np.ndarray) -> np.ndarray:
    """(H, W) float32: length of the gradient over all channels of `image` (H, W, C)."""
    gy, gx = gradient(image)
    return np.sqrt((gy**2 + gx**2).reshape(*image.shape[:2], -1).sum(-1))


def edge_strength(colour: np.ndarray, *, sigmas: Iterable[float]) -> np.ndarray:
    """(H, W) float32: contrast of edges, the mean over scales of sigma times the gradient's length at that scale.

    colour : (H, W, 3) float32 Lab. sigmas : pixels. A step between two areas keeps its height over the scales, a fine
    texture fades at the coarse ones. Source: scale-normalised derivatives, Lindeberg, IJCV 1998, Sec. 4.
    """
    return np.mean([sigma * magnitude(blur(colour, sigma)) for sigma in sigmas], axis=0)


def superpixels(colour: np.ndarray, *, sigma: float, count: int) -> np.ndarray:
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


def grid_superpixels(gradient: np.ndarray, *, count: int) -> np.ndarray:
    """About `count` 4-connected superpixels of even size: the watershed from a grid of seeds.

    gradient : (H, W) float32 >= 0. Returns (H, W) int32 labels 0..S-1, every label present. A seed lies where the
    gradient is least near its point of the grid, so that none starts on an edge. Ours, after the compact watershed's
    seeds (Neubert and Protzel, ICPR 2014).
    """
    height, width = gradient.shape
    step = max(1.0, (height * width / count) ** 0.5)
    seeds = np.zeros((height, width), np.int32)
    half = int(step / 4)
    for y, x in np.ndindex(max(1, math.ceil(height / step)), max(1, math.ceil(width / step))):
        top, left = (max(0, int((k + 0.5) * step) - half) for k in (y, x))
        window = gradient[top : top + 2 * half + 1, left : left + 2 * half + 1]
        if window.size:
            dy, dx = divmod(int(window.argmin()), window.shape[1])
            seeds[top + dy, left + dx] = 1 + y * width + x
    labels = watershed(gradient, seeds)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def adjacency(labels: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    pairs, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    length = np.bincount(inverse, minlength=len(pairs)).astype(np.float64)
    total = np.bincount(inverse, weights=np.concatenate(values), minlength=len(pairs))
    return np.stack([pairs // number, pairs % number], 1), length, total / np.maximum(length, 1)


def region_means(labels: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(S, C) float64: means of `maps` (H, W, C) over the regions of `labels` (H, W) int in 0..S-1."""
    flat = labels.ravel()
    sizes = np.bincount(flat)
    channels = maps.reshape(len(flat), -1)
    sums = [np.bincount(flat, weights=channels[:, c], minlength=len(sizes)) for c in range(channels.shape[1])]
    return np.stack(sums, 1) / sizes[:, None]


def ward(edges: np.ndarray, features: np.ndarray, sizes: np.ndarray) -> np.ndarray:
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
