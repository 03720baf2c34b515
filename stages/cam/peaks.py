"""Peaks of class maps: one point per object is the hope, one per local maximum is the fact."""

import cv2
import numpy as np


def find_peaks(response, *, radius, floor, most=None):
    """Local maxima of a class response map, strongest first.

    response : (H, W) float32 in [0, 1]. Returns (P, 2) int32 rows (y, x), at most `most` of them.
    A pixel is a peak when it equals the maximum of its (2 radius + 1)^2 window, is at least `floor` and above 0;
    touching peak pixels (8 neighbours), a plateau, give one peak, the first in row order. Equal strengths stay in row
    order. Sources: BESTIE, Sec. 3.2 (max pooling); released code (15 x 15 windows, floor 0.1, at most 25).
    """
    response = np.ascontiguousarray(response, np.float32)
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    top = (response == cv2.dilate(response, window)) & (response >= floor) & (response > 0)
    y, x = np.nonzero(top)  # row order
    if not len(y):
        return np.zeros((0, 2), np.int32)
    _, label = cv2.connectedComponents(top.view(np.uint8), connectivity=8)
    first = np.sort(np.unique(label[y, x], return_index=True)[1])
    peaks = np.stack([y[first], x[first]], 1)
    order = np.argsort(-response[tuple(peaks.T)], kind="stable")
    return peaks[order][:most].astype(np.int32)


def photo_peaks(maps, size, *, mean_filter, window, floor, most):
    """Peaks of the maps of one photo, found on the maps enlarged to the photo.

    maps : (n, h, w) float32 in [0, 1], at network stride; size : (H, W) of the photo. Each map is enlarged (linear),
    smoothed by a mean filter of `mean_filter` pixels, and searched in windows of `window` pixels; a peak's score is
    the smoothed map's value there. Returns (map number (P,) int64, yx (P, 2) int32 photo pixels, score (P,) float32),
    map by map, strongest first. Source: BESTIE's released code.
    """
    number, places, scores = [], [], []
    for k, values in enumerate(maps):
        large = cv2.resize(np.asarray(values, np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        smooth = cv2.blur(large, (mean_filter, mean_filter)).clip(0, 1)
        found = find_peaks(smooth, radius=window // 2, floor=floor, most=most)
        number.append(np.full(len(found), k))
        places.append(found)
        scores.append(smooth[tuple(found.T)])
    if not number:
        return np.zeros(0, np.int64), np.zeros((0, 2), np.int32), np.zeros(0, np.float32)
    return np.concatenate(number), np.concatenate(places), np.concatenate(scores)
