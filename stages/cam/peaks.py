"""Peaks of class maps: one point per object is the hope, one per local maximum is the fact."""

import cv2
import higra
import numpy as np

from tag2mask.data.scale import LARGEST, size_within
from tag2mask.data.scores import bounded


def find_peaks(response, *, radius, floor, above=0.0, most=None):
    """Local maxima of a class response map, strongest first.

    response : (H, W) float32. Returns (P, 2) int32 rows (y, x), at most `most` of them.
    A pixel is a peak when it equals the maximum of its (2 radius + 1)^2 window, is at least `floor` and above `above`;
    touching peak pixels (8 neighbours), a plateau, give one peak, the first in row order. Equal strengths stay in row
    order. Sources: BESTIE, Sec. 3.2 (max pooling); released code (15 x 15 windows, floor 0.1, at most 25).
    """
    response = np.ascontiguousarray(response, np.float32)
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    top = (response == cv2.dilate(response, window)) & (response >= floor) & (response > above)
    y, x = np.nonzero(top)  # row order
    if not len(y):
        return np.zeros((0, 2), np.int32)
    _, label = cv2.connectedComponents(top.view(np.uint8), connectivity=8)
    first = np.sort(np.unique(label[y, x], return_index=True)[1])
    peaks = np.stack([y[first], x[first]], 1)
    order = np.argsort(-response[tuple(peaks.T)], kind="stable")
    return peaks[order][:most].astype(np.int32)


def separate(values, peaks, *, share, base=0.0):
    """Those of the peaks (P, 2), strongest first, that stand for themselves: topological persistence, by share.

    values : (H, W) float32. A peak goes where a way leads from it to a stronger one (of equal ones: to an earlier one)
    whose lowest place is at least `share` of its own height, heights counted from `base`: two tops of one hill. That
    lowest place of the best way is the level of both peaks' lowest common ancestor in the max-tree. share None: all
    stay. Source: ours (persistent homology of superlevel sets: Edelsbrunner, Letscher, Zomorodian 2002).
    """
    if share is None or len(peaks) < 2:
        return peaks
    graph = higra.get_8_adjacency_graph(values.shape)
    tree, level = higra.component_tree_max_tree(graph, np.ascontiguousarray(values, np.float64).ravel())
    place = np.ravel_multi_index(tuple(peaks.T), values.shape)
    weaker, stronger = np.tril_indices(len(peaks), -1)  # the order is from strong to weak
    saddle = level[tree.lowest_common_ancestor(place[weaker], place[stronger])]
    height = values[tuple(peaks.T)].astype(np.float64) - base
    near = saddle - base >= share * height[weaker]
    return peaks[np.bincount(weaker, near, len(peaks)) == 0]


def photo_peaks(maps, size, *, mean_filter, window, floor, most, share=None):
    """Peaks of the maps of one photo, found on the maps enlarged to the photo.

    maps : (n, h, w) float32 in [0, 1], at network stride; size : (H, W) of the photo. Each map is enlarged (linear) to
    the photo's size, at most to a side of LARGEST pixels, smoothed by a mean filter of `mean_filter` pixels and
    searched in windows of `window` pixels; a peak's score is the smoothed map's value there. Returns (map number (P,)
    int64, yx (P, 2) int32 photo pixels, score (P,) float32), map by map, strongest first. Source: BESTIE's released
    code; LARGEST is ours.
    """
    number, places, scores = [], [], []
    within = size_within(size, LARGEST)
    for k, values in enumerate(maps):
        large = cv2.resize(np.asarray(values, np.float32), within[::-1], interpolation=cv2.INTER_LINEAR)
        smooth = cv2.blur(large, (mean_filter, mean_filter)).clip(0, 1)
        found = separate(smooth, find_peaks(smooth, radius=window // 2, floor=floor), share=share)[:most]
        number.append(np.full(len(found), k))
        places.append(photo_pixels(found, within, size, enlarge=1))
        scores.append(smooth[tuple(found.T)])
    return joined(number, places, scores)


def response_peaks(responses, size, *, enlarge, floor, most, share=None):
    """Peaks of the class responses of one photo as peak stimulation finds them, PRM's own rule.

    responses : (n, h enlarge, w enlarge) float32, in logits, maps of h x w cells enlarged with corners aligned; size :
    (H, W) of the photo. A peak is the maximum of its 3x3 window, above the median of its map, and above `floor`, in
    logits; of equal neighbours the first. Returns (map number (P,) int64, yx (P, 2) int32 photo pixels, score (P,)
    float32 in (0, 1), see `bounded`), map by map, strongest first, at most `most` of a map. A constant map has none.
    Sources: PRM (peak stimulation) and released code (3x3, median; above 30 in its demo); CIM (above 10).
    """
    number, places, scores = [], [], []
    for k, values in enumerate(responses):
        # the middle of an even number of values: a value is above their mean where it is above the smaller one
        median = float(np.median(values))
        found = find_peaks(values, radius=1, floor=-np.inf, above=max(median, floor))
        found = separate(values, found, share=share, base=median)[:most]
        number.append(np.full(len(found), k))
        places.append(photo_pixels(found, [n // enlarge for n in values.shape], size, enlarge=enlarge))
        scores.append(bounded(values[tuple(found.T)]))
    return joined(number, places, scores)


def photo_pixels(yx, cells, size, *, enlarge):
    """The photo's pixels in which places of an enlarged map lie: (P, 2) int32, inside the photo.

    yx : (P, 2) int, pixels of a map of `cells` (h, w) enlarged by `enlarge` with corners aligned: pixel p of h enlarge
    lies at cell p (h - 1) / (h enlarge - 1), counted from the middle of cell 0 to that of the last. size : (H, W) of
    the photo, which the cells tile: cell c has its middle at (c + 1/2) H / h, from the photo's edge.
    """
    cells = np.asarray(cells)
    cell = np.asarray(yx) * (cells - 1) / np.maximum(cells * enlarge - 1, 1)
    return np.floor((cell + 0.5) * np.asarray(size) / cells).astype(np.int32)


def rising_peaks(maps, size, *, sigma, most, share=None):
    """Peaks of the maps of one photo that rise above their surroundings and above the map's mean, ICN's rule.

    maps : (n, h, w) float32 in [0, 1]; size : (H, W) of the photo, which the cells tile. sigma : cells. A map M gives
    P = max(M - G(M) - E, 0), G a Gaussian filter whose border repeats, E the mean of M (Eq. 1); a peak is where P is
    greatest in each 8-connected region of positive P, of equal places the first in row order, and its score M there.
    Returns (map number (P,) int64, yx (P, 2) int32, the photo's pixel in the middle of the cell, score (P,) float32),
    map by map, greatest P first, at most `most` of a map. A constant map has none. Source: ICN, Sec. 3.1, Eq. 1; the
    region's maximum is ours.
    """
    number, places, scores = [], [], []
    for k, values in enumerate(maps):
        rise = rising(values, sigma=sigma)
        _, region = cv2.connectedComponents((rise > 0).astype(np.uint8), connectivity=8)
        y, x = np.nonzero(rise > 0)
        order = np.lexsort((np.arange(len(y)), -rise[y, x]))  # greatest first, then row order
        first = np.sort(np.unique(region[y, x][order], return_index=True)[1])
        tops = np.stack([y, x], 1)[order][first]
        # between two regions P is 0: whether they are one hill, the map itself says
        tops = separate(values, tops[np.argsort(-values[tuple(tops.T)], kind="stable")], share=share)
        found = tops[np.lexsort((*tops.T[::-1], -rise[tuple(tops.T)]))][:most]
        number.append(np.full(len(found), k))
        places.append(photo_pixels(found, values.shape, size, enlarge=1))
        scores.append(values[tuple(found.T)].astype(np.float32))
    return joined(number, places, scores)


def rising(values, *, sigma):
    """(h, w) float32: max(M - G(M) - E, 0) of a map M, (h, w) float, see `rising_peaks`. Source: ICN, Eq. 1."""
    values = np.asarray(values, np.float32)
    around = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.maximum(values - around - values.mean(), 0)


def joined(number, places, scores):
    """What was found map by map as three arrays, those of no map too."""
    if not number:
        return np.zeros(0, np.int64), np.zeros((0, 2), np.int32), np.zeros(0, np.float32)
    return np.concatenate(number), np.concatenate(places), np.concatenate(scores)
