"""Connected components of a semantic map that hold exactly one instance cue (BESTIE, Sec. 3.3)."""

from typing import NamedTuple

import cv2
import numpy as np


class Kept(NamedTuple):
    """masks : (n, H, W) bool. score : (n,) float32 of each one's peak. counts : components (none, one, many peaks),
    those of one peak split into kept and too small: dict of int."""

    masks: np.ndarray
    score: np.ndarray
    counts: dict[str, int]


def single_peak_components(label_map, category, *, peaks, scores, min_area):
    """Instances of one class: 8-connected components with exactly one peak.

    label_map : (H, W) uint8. category : int. peaks : (P, 2) int rows y, x of this class's peaks in photo pixels.
    scores : (P,) float32. min_area : least pixels. Returns Kept, components in row order of their first pixel.
    When instances of a class do not overlap, semantic and instance masks are the same; more than one peak says that
    they do overlap, none that there is no evidence. Raises ValueError for a peak outside the map.
    Source: BESTIE, Sec. 3.3; 8-connectivity and `min_area` as in its released code.
    """
    height, width = label_map.shape
    peaks = np.asarray(peaks, np.int64).reshape(-1, 2)
    if len(peaks) and ((peaks < 0).any() or (peaks >= (height, width)).any()):
        raise ValueError(f"a peak lies outside the {height}x{width} photo")
    number, component, stats, _ = cv2.connectedComponentsWithStats(
        (label_map == category).astype(np.uint8), connectivity=8
    )
    holder = component[peaks[:, 0], peaks[:, 1]]
    cues = np.bincount(holder, minlength=number)
    large = stats[:, cv2.CC_STAT_AREA] >= min_area
    inside = np.arange(number) > 0  # component 0 is everything else
    kept = np.flatnonzero(inside & (cues == 1) & large)
    score = np.zeros(number, np.float32)
    score[holder] = scores
    counts = {
        "components": int(inside.sum()),
        "without_peak": int((inside & (cues == 0)).sum()),
        "several_peaks": int((inside & (cues > 1)).sum()),
        "too_small": int((inside & (cues == 1) & ~large).sum()),
        "peaks_on_background": int(cues[0]),
    }
    return Kept(component[None] == kept[:, None, None], score[kept], counts)
