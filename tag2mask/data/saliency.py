"""Class-agnostic saliency that learns from nothing: robust background detection (RBD).

Zhu, Liang, Wei, Sun: Saliency Optimization from Robust Background Detection, CVPR 2014. Background is what the photo's
border holds much of, and only contrast against background counts.
"""

import cv2
import numpy as np
from scipy import linalg
from scipy.sparse import coo_matrix, csgraph
from scipy.spatial.distance import cdist

from tag2mask.data import regions


def saliency_map(
    photo: np.ndarray,
    *,
    size: int = 300,
    superpixels: int = 250,
    sigma_colour: float = 10.0,
    sigma_border: float = 1.0,
    sigma_place: float = 0.25,
    smooth: float = 0.1,
) -> np.ndarray:
    """How much each pixel stands out: (H, W) float32 in [0, 1], from 0 to 1 (all 0 for a photo of one colour).

    photo : (H, W, 3) uint8 RGB. size : square root of the area in pixels at which the map is made, where the photo is
    larger. superpixels : at most so many. sigma_colour : Lab units; sigma_border : of the border connectivity;
    sigma_place : parts of the photo's longer side; smooth : mu, least pull between neighbours. Source: RBD.
    """
    height, width = photo.shape[:2]
    factor = min(1.0, size / np.sqrt(height * width))
    small = cv2.resize(
        photo, (max(2, round(width * factor)), max(2, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    lab = regions.lab(small)
    labels = regions.superpixels(lab, count=superpixels, compact=regions.COMPACT)
    means = regions.means(labels, lab)
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]].astype(np.float32) / max(labels.shape)
    places = regions.means(labels, np.stack([y, x], 2))
    border = np.zeros(len(means), bool)
    border[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    edges, _, _ = regions.graph(labels, lab[..., 0])

    apart = cdist(means, means)  # d_app
    connectivity = border_connectivity(apart, edges, border, sigma=sigma_colour)
    background = 1 - np.exp(-(connectivity**2) / (2 * sigma_border**2))
    near = np.exp(-cdist(places, places, "sqeuclidean") / (2 * sigma_place**2))
    contrast = (apart * near) @ background  # background weighted contrast, RBD Sec. 4
    contrast /= max(contrast.max(), 1e-12)
    value = optimised(apart, edges, background, contrast, sigma=sigma_colour, smooth=smooth)
    value -= value.min()
    value = value / value.max() if value.max() > 1e-6 else np.zeros_like(value)
    return cv2.resize(value[labels].astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def border_connectivity(apart: np.ndarray, edges: np.ndarray, border: np.ndarray, *, sigma: float) -> np.ndarray:
    """(S,) float64: length of a superpixel's soft region on the photo's border over the root of that region's area.

    apart : (S, S) colour distances. edges : (E, 2) int neighbours. border : (S,) bool. Large for background, which the
    border cuts; small for an object, even where it touches the border. Source: RBD, Sec. 3.2.
    """
    size = len(apart)
    # All pairs on the border are neighbours too: background in several pieces is one.
    outer = np.flatnonzero(border)
    first, second = np.triu_indices(len(outer), 1)
    pairs = np.unique(np.concatenate([edges, np.stack([outer[first], outer[second]], 1)]), axis=0)
    # Many small steps must not add up to a large distance: steps lose what the closest neighbours differ by on average.
    least = np.full(size, np.inf)
    np.minimum.at(least, edges, apart[tuple(edges.T)][:, None])
    least = least[np.isfinite(least)]
    step = np.maximum(apart[tuple(pairs.T)] - (least.mean() if len(least) else 0), 0) + 1e-9  # 0 would be no edge
    graph = coo_matrix((step, tuple(pairs.T)), (size, size)).tocsr()
    soft = np.exp(-(csgraph.dijkstra(graph, directed=False) ** 2) / (2 * sigma**2))
    return soft[:, border].sum(1) / np.sqrt(soft.sum(1))


def optimised(
    apart: np.ndarray, edges: np.ndarray, background: np.ndarray, foreground: np.ndarray, *, sigma: float, smooth: float
) -> np.ndarray:
    """(S,) float64 in [0, 1]: 0 where background, 1 where foreground, alike where neighbours are of like colour.

    The least squares of RBD, Sec. 5; neighbours of neighbours are neighbours. background, foreground : (S,) weights.
    """
    size = len(apart)
    near = coo_matrix((np.ones(len(edges)), tuple(edges.T)), (size, size)).toarray()
    near += near.T
    near = near + near @ near > 0
    weight = np.where(near, np.exp(-(apart**2) / (2 * sigma**2)) + smooth, 0)  # the diagonal cancels below
    system = np.diag(weight.sum(1) + background + foreground + 1e-9) - weight
    return linalg.solve(system, foreground, assume_a="pos")
