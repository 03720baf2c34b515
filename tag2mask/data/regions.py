"""Regions of a photo: superpixels, the graph of regions that touch, means over regions.

labels = superpixels(lab(photo), count=300)
edges, length, strength = graph(labels, magnitude(lab(photo)))
"""

import cv2
import higra as hg
import numpy as np

# Of superpixels of like size and shape: the Lab units that a side counts as; of 5, 10 and 20 the best on scenes.
COMPACT = 20.0
SLOPE = 0.01  # height of the ramps that part areas of one colour, in parts of `compact`: below any edge one can see


def lab(photo: np.ndarray) -> np.ndarray:
    """CIE Lab of `photo` (H, W, 3) uint8 RGB as (H, W, 3) float32: L in [0, 100], a and b about [-100, 100]."""
    return cv2.cvtColor(np.ascontiguousarray(photo, np.uint8).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """`image` (H, W) or (H, W, C) float32 smoothed by a Gaussian of `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(gy, gx), each (H, W, C) float32: central differences of `image` (H, W, C), its units a pixel."""
    across, down = (
        cv2.Sobel(image, cv2.CV_32F, dx, dy, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REPLICATE)
        for dx, dy in ((1, 0), (0, 1))
    )
    return down, across


def magnitude(image: np.ndarray) -> np.ndarray:
    """(H, W) float32: length of the gradient over all channels of `image` (H, W, C)."""
    gy, gx = gradient(image)
    return np.sqrt((gy**2 + gx**2).reshape(*image.shape[:2], -1).sum(-1))


def superpixels(
    colour: np.ndarray, *, count: int, sigma: float = 1.0, compact: float = 0.0, relief: np.ndarray | None = None
) -> np.ndarray:
    """At most `count` 4-connected superpixels: watershed basins of the smoothed gradient, merged by Ward's rule.

    colour : (H, W, 3) float32 Lab. sigma : pixels. compact : Lab units that the side of a superpixel counts as when
    two are merged; 0: colour alone, so that a plain area is one superpixel however large. relief : (H, W) float32 whose
    basins are taken in place of the gradient's. Returns (H, W) int32 labels 0..S-1, every label present. Source: ours;
    the balance of colour and place is that of SLIC (Achanta et al. 2012).
    """
    height, width = colour.shape[:2]
    if height * width == 1:
        return np.zeros((1, 1), np.int32)
    features = blur(colour, sigma)
    relief = magnitude(features) if relief is None else relief
    if compact:
        y, x = np.mgrid[:height, :width].astype(np.float32) / max(1.0, np.sqrt(height * width / count))
        # Where nothing else does, ramps towards the cells of a grid part what is of one colour.
        relief = relief + SLOPE * compact * np.maximum(abs(y % 1 - 0.5), abs(x % 1 - 0.5))
        features = np.dstack([features, compact * y, compact * x])
    pixels = hg.get_4_adjacency_graph((height, width))
    weights = hg.weight_graph(pixels, relief, hg.WeightFunction.mean)
    basins = hg.labelisation_watershed(pixels, weights).astype(np.int64).reshape(height, width) - 1
    number = int(basins.max()) + 1
    if number <= count:
        return basins.astype(np.int32)
    edges, _, _ = graph(basins, relief)
    parents = ward(edges, means(basins, features), np.bincount(basins.ravel(), minlength=number))
    # The first merges are undone down to `count` regions: a basin's superpixel is its highest ancestor made by them.
    above = np.where(parents < 2 * number - count, parents, np.arange(len(parents)))
    while (above[above] != above).any():
        above = above[above]
    return np.unique(above[:number], return_inverse=True)[1].astype(np.int32)[basins]


def graph(labels: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def means(labels: np.ndarray, maps: np.ndarray) -> np.ndarray:
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
    vertices = hg.UndirectedGraph(len(sizes))
    vertices.add_edges(edges[:, 0], edges[:, 1])
    tree, _ = hg.binary_partition_tree_ward_linkage(
        vertices, np.ascontiguousarray(features, np.float64), np.asarray(sizes, np.float64)
    )
    return np.asarray(tree.parents()).astype(np.int64)
