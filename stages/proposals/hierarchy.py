"""Proposals of one photo: superpixels, several trees over them, their nodes ranked by coverage.

membership, labels, score = propose(photo, config=Config())
mask = membership[0][labels]  # (H, W) bool, the best proposal
"""

import cv2
import numpy as np

from stages.proposals import cues, ranking, trees
from tag2mask.data import regions


def propose(photo, *, config, boundaries=None, salient=None):
    """Segment proposals of `photo`, best first.

    photo : (H, W, 3) uint8 RGB. config : the stage's Config. boundaries : (h, w) in [0, 1], learned edges, cells that
    tile the photo, where config.edges. salient : (k, H, W) bool, salient instances, where config.salient. Returns
    (membership (n, S) bool over superpixels, labels (H, W) int32 superpixel map with values 0..S-1, score (n,) float32
    in (0, 1], falling). 1 <= n <= config.count: a photo without any edge has one proposal, the whole photo. Ours;
    measured in docs/benchmarks.md, "Proposals".
    """
    colour = regions.lab(photo)
    height, width = colour.shape[:2]
    most = max(1, min(config.max_superpixels, height * width // config.superpixel_area))
    if config.edges:
        boundaries = cv2.resize(np.asarray(boundaries, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    relief = relief_of(boundaries, colour, config=config) if config.edges else None
    labels = regions.superpixels(colour, sigma=config.sigma, count=most, relief=relief)
    sizes = np.bincount(labels.ravel())
    edges, length, contours, contrast = contours_of(labels, colour, boundaries, config=config)
    cue = cues.cues(colour, labels, sigma=config.sigma)
    grown = trees.grow(
        config.trees, cue, edges=edges, length=length, contours=contours, sizes=sizes, powers=config.edge_powers
    )
    outside = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    border = np.bincount(outside, minlength=len(sizes)).astype(np.float64)
    leaders = cues.covered(labels, salient) if config.salient else np.zeros((0, len(sizes)), bool)
    membership, area, weight = trees.candidates(
        grown, sizes=sizes, edges=edges, length=length, strength=contrast, border=border,
        min_area=config.min_area, contour_power=config.contour_power, given=leaders,
    )  # fmt: skip
    if len(leaders):
        factor = ranking.leading(membership, area, leaders, sizes, lead=config.salient_lead)
        weight = trees.weigh(weight, area, factor, power=1)
    overlap = ranking.overlaps(membership, area, sizes)
    chosen = ranking.rank(overlap, weight, count=config.count, nms_iou=config.nms_iou)
    return membership[chosen].toarray() > 0, labels, ranking.scores(len(chosen), count=config.count)


def relief_of(boundaries, colour, *, config):
    """(H, W) float32 whose basins are superpixels: `boundaries` (H, W) and a share of the colours' gradient. Ours."""
    return boundaries + config.edge_colour * regions.magnitude(regions.blur(colour, config.sigma))


def contours_of(labels, colour, boundaries, *, config):
    """What parts neighbouring superpixels: (edges (E, 2), length (E,) pixels, contours, contrast (E,)).

    boundaries : (H, W) float32, where config.edges. contours : name of a tree -> (E,), the mean boundary that it
    follows: contrast of colours, learned edges, or both. contrast : (E,), what a candidate's weight goes by: that of
    colours, or learned edges times its root. Ours.
    """
    edges, length, mean = regions.graph(labels, cues.edge_strength(colour, sigmas=config.contour_sigmas))
    if not config.edges:
        return edges, length, {"boundary": mean}, mean
    _, _, learned = regions.graph(labels, boundaries)
    contours = {"boundary": mean, "edges": learned, "edges+colour": learned + config.edge_colour * mean}
    return edges, length, contours, learned * np.sqrt(mean)
