"""Mean average precision of masks, VOC style (mAP^r): all-point area under the precision envelope."""

import numpy as np


def hits(found, threshold):
    """(hit, judged) of the P predictions of Overlaps `found`, in score order of the whole set; also that order.

    hit, judged : (P,) bool. A prediction is judged against the one object it overlaps most: at IoU >= threshold the
    best-scored prediction on an object is a hit and every further one a false positive, also where a second object
    would do (VOC, not COCO). Neither hit nor miss: predictions on difficult objects at IoU >= threshold, those that
    reach no object but have a share >= threshold inside a crowd, those whose every pixel is void.
    Equal scores: photo order, then row order. Source: VOC development kit; Hariharan et al. 2014 for masks.
    """
    order = np.argsort(-found.score, kind="stable")
    target, reached = found.object[order], (found.object[order] >= 0) & (found.iou[order] >= threshold)
    on_counted = reached & found.truth_counted[np.maximum(target, 0)] if len(found.truth_counted) else reached
    hit = np.zeros(len(order), bool)
    rows = np.flatnonzero(on_counted)
    hit[rows[np.unique(target[rows], return_index=True)[1]]] = True
    judged = found.counted[order] & ~(reached & ~on_counted) & (reached | (found.in_crowd[order] < threshold))
    return hit, judged, order


def average_precision(hit, objects):
    """Area under the precision-recall curve, precision made non-increasing from the right; nan for no objects.

    hit : (D,) bool in score order, misses included. objects : int, objects to be found. Source: VOC 2010 and later.
    """
    if objects == 0:
        return float("nan")
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hit].sum() / objects)


def per_class(found, categories, thresholds):
    """(len(categories), len(thresholds)) average precisions; nan where a class has no counted object."""
    out = np.full((len(categories), len(thresholds)), np.nan)
    objects = [int(np.sum(found.truth_counted & (found.truth_category == c))) for c in categories]
    for t, threshold in enumerate(thresholds):
        hit, judged, order = hits(found, threshold)
        hit, category = hit[judged], found.category[order][judged]
        for k, c in enumerate(categories):
            out[k, t] = average_precision(hit[category == c], objects[k])
    return out
