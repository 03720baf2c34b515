"""Which of a photo's proposals are used: the first of the ranking, or HCP's filter."""

import numpy as np
from scipy.linalg import eigh

from tag2mask.data import rle


def chosen(proposals, i, *, config):
    """(n,) int64: rows of `proposals` (Instances) of photo i, best first, n <= config.keep.

    Source: LIID, Sec. 6.1.
    """
    first, stop = int(proposals.first[i]), int(proposals.first[i + 1])
    if config.select == "ranking":
        return np.arange(first, min(stop, first + config.keep))
    return first + hcp(
        proposals.bbox[first:stop], proposals.size[i], keep=config.keep, area=config.hcp_area, aspect=config.hcp_aspect
    )


def hcp(boxes, size, *, keep, area, aspect):
    """(n,) int64 positions of the boxes kept, rising, n <= keep: the best-ranked box of each cluster.

    boxes : (m, 4) x, y, width, height in rank order. size : (H, W). Boxes below the share `area` of the photo or with
    a side ratio above `aspect` are dropped (where all are, none is), the rest cut into `keep` clusters by normalised
    cut on the boxes' IoU. Source: Wei et al., arXiv 1406.5726 (HCP), which LIID, Sec. 6.1, names; thresholds ours.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = boxes[:, 2:]
    usable = (sides.prod(1) >= area * float(size[0]) * float(size[1])) & (sides.max(1) <= aspect * sides.min(1))
    left = np.flatnonzero(usable) if usable.any() else np.arange(len(boxes))
    left = left[np.sort(np.unique(boxes[left], axis=0, return_index=True)[1])]  # of equal boxes the best-ranked
    if len(left) <= keep:
        return left
    cluster = normalised_cut(rle.box_iou(boxes[left], boxes[left]), keep)
    return left[np.sort(np.unique(cluster, return_index=True)[1])]


def normalised_cut(affinity, clusters):
    """(m,) int64 cluster of each item: the spectral relaxation of the k-way normalised cut (Shi and Malik 2000).

    affinity : (m, m) symmetric, not negative, positive diagonal; clusters < m. The first eigenvectors of
    D^-1/2 A D^-1/2, rows at unit length (Ng, Jordan, Weiss 2001), grouped by Lloyd's iterations that start from the
    first item and the ones farthest from all before: no random number, and independent of the eigenvectors' signs.
    """
    m = len(affinity)
    scale = 1 / np.sqrt(affinity.sum(1))
    _, vectors = eigh(scale[:, None] * affinity * scale[None], subset_by_index=[m - clusters, m - 1])
    rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    # distances are rounded, so that ties do not hang on the eigenvectors' last digits
    centre, nearest = rows[:1], np.full(m, np.inf)
    for _ in range(clusters - 1):
        nearest = np.minimum(nearest, ((rows - centre[-1]) ** 2).sum(1).round(9))
        centre = np.concatenate([centre, rows[nearest.argmax()][None]])
    found = np.full(m, -1)
    for _ in range(100):
        before, found = found, ((rows[:, None] - centre[None]) ** 2).sum(2).round(9).argmin(1)
        if np.array_equal(before, found):
            break
        member = np.eye(clusters)[found]  # (m, clusters)
        count = member.sum(0)
        centre = np.where(count[:, None] > 0, member.T @ rows / np.maximum(count, 1)[:, None], centre)
    return found
