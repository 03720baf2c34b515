"""Average best overlap: how well the best mask at hand covers each ground-truth object; recall of proposals."""

import numpy as np

from stages.evaluate.overlaps import without_void
from tag2mask.data import rle

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}  # pixels, COCO's


def per_class(found, categories):
    """(len(categories),) mean best IoU of the counted objects of each class (`Overlaps.truth_best`), nan for none.

    No score threshold. Source: LIID 6.1 (average best overlap); at most 100 masks a photo: ours.
    """
    chosen = [found.truth_best[found.truth_counted & (found.truth_category == c)] for c in categories]
    return np.array([values.mean() if len(values) else np.nan for values in chosen])


def best_by_count(truth, proposals, counts):
    """(best, counted): highest IoU of any of the photo's first `counts[k]` masks, whatever their class.

    truth, proposals : Instances over the same images (`realign`). best : (len(counts), G) float64; counted : (G,)
    bool, objects that are neither crowd nor difficult nor void all over. Masks go by score, equal ones by row.
    Void pixels are removed from both masks.
    """
    best = np.zeros((len(counts), len(truth)))
    counted = (truth.ignore == 0) & (truth.category > 0)
    for i in range(truth.images):
        g, p, void = truth.rows(i), proposals.rows(i), truth.void_rle(i)
        objects, left = without_void(truth.rles(g), void)
        counted[g] &= left
        if p.start == p.stop or not counted[g].any():
            continue
        ranked = p.start + np.argsort(-proposals.score[p], kind="stable")[: max(counts)]
        masks, _ = without_void(proposals.rles(ranked), void)
        reached = np.maximum.accumulate(rle.iou(masks, objects), axis=0)
        best[:, g] = reached[np.minimum(counts, len(ranked)) - 1]
    return best, counted


def summary(best, counted, area, recall_at):
    """{"objects", "ABO", "recall50", ..., "by_size": {...}} of one count: means over counted objects, nan for none.

    best : (G,) float64 in [0, 1]; counted : (G,) bool; area : (G,) pixels, for small, medium and large objects.
    """

    def means(chosen):
        values = best[chosen]
        out = {"objects": len(values), "ABO": values.mean() if len(values) else np.nan}
        for t in recall_at:
            out[f"recall{round(100 * t)}"] = np.mean(values >= t) if len(values) else np.nan
        return out

    by_size = {name: means(counted & (area >= low) & (area < high)) for name, (low, high) in SIZES.items()}
    return {**means(counted), "by_size": by_size}
