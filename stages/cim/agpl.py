"""Attention-guided pseudo labelling (AGPL): the first labels of proposals, from peaks. Source: CIM, Sec. 3.2 (WS-RCNN).

They never change, so they are made once a photo, before the training.
"""

from typing import NamedTuple

import numpy as np

from stages.cim.mining import BACKGROUND, LEFT_OUT
from stages.cim.sets import CHUNK


class FirstLabels(NamedTuple):
    """label : (N,) int64, a class column from 1 on, BACKGROUND, or LEFT_OUT. cluster : (N,) int64, proposals of one
    number belong together (Sec. 3.2: assigned by the same support mask, each of the background by itself); numbers run
    from 0, LEFT_OUT where the label is."""

    label: np.ndarray
    cluster: np.ndarray


def first_labels(sets, containing, columns, *, support, support_iou, without=BACKGROUND):
    """FirstLabels of a photo's N proposals.

    sets : Sets. containing : (N, P) bool, the proposals that contain each of P peaks, strongest peak first. columns :
    (P,) int64, the peaks' class columns, from 1 on. support, support_iou : thresholds of Eq. 1 and 2.

    A support mask is where more than `support` of a peak's proposals are (Eq. 1); a peak that no proposal contains has
    none. A proposal takes the class of the strongest peak whose support mask it overlaps by more than `support_iou`
    (Eq. 2: stronger ones overwrite weaker ones). One that overlaps a support mask and has no class is background; one
    that overlaps none is left out. Without any support mask all are `without`, BACKGROUND or LEFT_OUT.
    """
    number = len(sets)
    held = containing.any(0)
    containing, columns = containing[:, held].astype(np.float64), np.asarray(columns, np.int64)[held]
    if not len(columns):
        return FirstLabels(np.full(number, without), np.arange(number) if without >= 0 else np.full(number, LEFT_OUT))
    iou = support_overlaps(sets, containing, support=support)
    taken = iou > support_iou
    first = taken.argmax(1)
    label = np.where(taken.any(1), columns[first], np.where((iou > 0).any(1), BACKGROUND, LEFT_OUT))
    # own numbers for the background's, behind those of the support masks; then without gaps
    own = np.where(label == BACKGROUND, len(columns) + np.arange(number), first)
    cluster = np.full(number, LEFT_OUT)
    cluster[label >= 0] = np.unique(own[label >= 0], return_inverse=True)[1]
    return FirstLabels(label, cluster)


def support_overlaps(sets, containing, *, support):
    """(N, P) float64: IoU of every proposal with the support mask of every peak (Eq. 1).

    containing : (N, P) float64 0 or 1, every peak in at least one proposal.
    """
    count, inner, area = containing.sum(0)[:, None], 0.0, 0.0
    for start in range(0, len(sets.sizes), CHUNK):
        member = sets.members(start, start + CHUNK).astype(np.float64)
        mask = (containing.T @ member) / count > support  # (P, atoms)
        sizes = sets.sizes[start : start + CHUNK].astype(np.float64)
        inner, area = inner + (member * sizes) @ mask.T, area + mask @ sizes
    return inner / (sets.area[:, None] + area - inner)
