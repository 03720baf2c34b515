"""Random walk with priors on a graph of superpixels (L. Grady, "Multilabel random walker image segmentation using prior
models", CVPR 2005).

The class scores of a superpixel are its prior. A walker moves to neighbours of like colour without a strong edge
between, and stops where a prior holds it; the expected prior at its end solves one small linear system. So evidence
reaches across a whole object at once, which a local filter cannot do where one cell of the CAM is as large as it.
"""

import numpy as np
import torch

from tag2mask.data import regions


def random_walk(scores, photo, *, superpixels, colour, edge, restart):
    """Score maps that follow the photo's edges.

    scores : (H, W, C) float32, any range. photo : (H, W, 3) uint8 RGB of the same size. superpixels : int, at most
    so many. Returns (H, W, C) float32 within each map's range, constant on every superpixel; nothing is modified.
    Weight of a step between neighbouring superpixels: border length x exp(-colour d^2 / mean(d^2) - edge g / mean(g)),
    d the distance of their mean Lab colours, g the mean gradient along their border. The prior has `restart` a pixel.
    Source: Grady 2005 (form of the weights and of the prior); superpixels and both means as units are ours.
    """
    lab = regions.lab(photo)
    labels = regions.superpixels(lab, count=superpixels, compact=regions.COMPACT)
    smooth = regions.blur(lab, 1.0)
    edges, length, strength = regions.graph(labels, regions.magnitude(smooth))
    mean = regions.means(labels, smooth)
    distance = ((mean[edges[:, 0]] - mean[edges[:, 1]]) ** 2).sum(1)
    cost = colour * in_means(distance) + edge * in_means(strength)
    area = np.bincount(labels.ravel())
    walked = walk(regions.means(labels, scores), edges, length * np.exp(-cost), restart=restart * area)
    return walked.astype(np.float32)[labels]


def in_means(values):
    """`values` (n,) >= 0 over their mean; 0 where all are 0, as in a photo of one colour."""
    mean = values.mean() if len(values) else 0.0
    return values / mean if mean > 0 else np.zeros(len(values))


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
