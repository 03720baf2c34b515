"""Edges made of neighbour lists."""

import numpy as np


def edges_of(neighbour, *, mutual):
    """(M, 2) int64 edges i < j, sorted, each once, of the (N, k) neighbour lists of `nearest`.

    mutual : both ends name each other; else one is enough. Source: LIID, Sec. 5.3; Fan, Sec. 4.1.
    """
    n, k = neighbour.shape
    source, target = np.repeat(np.arange(n), k), neighbour.ravel()
    source, target = source[target >= 0], target[target >= 0]
    low, high = np.minimum(source, target), np.maximum(source, target)
    key, times = np.unique(low * max(n, 1) + high, return_counts=True)
    key = key[times == 2] if mutual else key
    return np.stack([key // max(n, 1), key % max(n, 1)], 1).astype(np.int64)
