"""Random walk with priors on a graph of superpixels (L. Grady, "Multilabel random walker image segmentation using prior
models", CVPR 2005).

The class scores of a superpixel are its prior. A walker moves to neighbours of like colour without a strong edge
between, and stops where a prior holds it; the expected prior at its end solves one small linear system. So evidence
reaches across a whole object at once, which a local filter cannot do where one cell of the CAM is as large as it.
"""

import cv2
import numpy as np
import torch
from skimage.segmentation import watershed


def random_walk(scores, photo, *, superpixels, colour, edge, restart):
    """Score maps that follow the photo's edges.

    scores : (H, W, C) float32, any range. photo : (H, W, 3) uint8 RGB of the same size. superpixels : int, about how
    many. Returns (H, W, C) float32 within each map's range, constant on every superpixel; nothing is modified.
    Weight of a step between neighbouring superpixels: border length x exp(-colour d^2 / mean(d^2) - edge g / mean(g)),
    d the distance of their mean Lab colours, g the mean gradient along their border. The prior has `restart` a pixel.
    Source: Grady 2005 (form of the weights and of the prior); superpixels and both means as units are ours.
    """
    labels, lab, gradient = cut(photo, superpixels)
    count = int(labels.max()) + 1
    area = np.bincount(labels.ravel(), minlength=count)
    edges, length, strength = borders(labels, gradient)
    mean = pool(lab, labels, count)
    distance = ((mean[edges[:, 0]] - mean[edges[:, 1]]) ** 2).sum(1)
    cost = colour * in_means(distance) + edge * in_means(strength)
    walked = walk(pool(scores, labels, count), edges, length * np.exp(-cost), restart=restart * area)
    return walked.astype(np.float32)[labels]


def in_means(values):
    """`values` (n,) >= 0 over their mean; 0 where all are 0, as in a photo of one colour."""
    mean = values.mean() if len(values) else 0.0
    return values / mean if mean > 0 else np.zeros(len(values))


def cut(photo, count):
    """Watershed superpixels of the smoothed colour gradient, from a grid of seeds.

    photo : (H, W, 3) uint8 RGB. Returns labels (H, W) int32 0..S-1, S about `count`, each 4-connected; the smoothed
    photo (H, W, 3) float32 in Lab; its gradient (H, W) float32 in Lab units a pixel.
    """
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), 1.0)
    across, down = (cv2.Sobel(lab, cv2.CV_32F, dx, dy, ksize=3, scale=1 / 8) for dx, dy in ((1, 0), (0, 1)))
    gradient = np.sqrt((across**2 + down**2).sum(2))
    height, width = gradient.shape
    step = max(1.0, (height * width / count) ** 0.5)
    seeds = np.zeros((height, width), np.int32)
    half = int(step / 4)
    for y, x in np.ndindex(round_up(height / step), round_up(width / step)):
        top, left = (max(0, int((k + 0.5) * step) - half) for k in (y, x))
        window = gradient[top : top + 2 * half + 1, left : left + 2 * half + 1]
        if window.size:
            # At the weakest gradient near its grid point, so that no seed starts on an edge.
            dy, dx = divmod(int(window.argmin()), window.shape[1])
            seeds[top + dy, left + dx] = 1 + y * width + x
    labels = watershed(gradient, seeds)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32), lab, gradient


def round_up(value):
    return max(1, int(np.ceil(value)))


def pool(values, labels, count):
    """Mean of (H, W, C) values over each of `count` regions: (count, C) float64."""
    flat, where = values.reshape(labels.size, -1), labels.ravel()
    sums = np.stack([np.bincount(where, flat[:, c], count) for c in range(flat.shape[1])], 1)
    return sums / np.bincount(where, minlength=count)[:, None]


def borders(labels, gradient):
    """Pairs of regions that touch (4-neighbours): (E, 2) int64 i < j; length (E,) in pixel edges; mean gradient."""
    count = int(labels.max()) + 1
    sides = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    heights = [(gradient[:, :-1], gradient[:, 1:]), (gradient[:-1], gradient[1:])]
    a, b = (np.concatenate([pair[k].ravel() for pair in sides]).astype(np.int64) for k in (0, 1))
    height = np.concatenate([np.maximum(*pair).ravel() for pair in heights])
    cross = a != b
    keys = np.minimum(a, b)[cross] * count + np.maximum(a, b)[cross]
    pairs, position = np.unique(keys, return_inverse=True)
    length = np.bincount(position, minlength=len(pairs)).astype(np.float64)
    strength = np.bincount(position, height[cross], len(pairs)) / length
    return np.stack([pairs // count, pairs % count], 1), length, strength


def walk(prior, edges, weights, *, restart):
    """Solve (L + R) x = R prior for every column: L the graph Laplacian, R = diag(restart).

    prior : (S, C) float. edges : (E, 2) int, each pair once. weights : (E,) float >= 0. restart : (S,) float > 0.
    Returns (S, C) float64, each value a mean of its column of `prior` (weights >= 0, sum 1). Source: Grady 2005, system
    of the potentials with nodewise priors.
    """
    prior, restart = (torch.as_tensor(values, dtype=torch.float64) for values in (prior, restart))
    i, j = torch.as_tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    system = torch.zeros(len(prior), len(prior), dtype=torch.float64)
    system[i, j] = system[j, i] = -torch.as_tensor(weights, dtype=torch.float64)
    system.diagonal().add_(restart - system.sum(1))
    return torch.cholesky_solve(restart[:, None] * prior, torch.linalg.cholesky(system)).numpy()
