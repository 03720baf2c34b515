"""Which ground-truth object a predicted mask lies on: run-length IoU per photo and class, void pixels removed."""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from tag2mask.data import rle
from tag2mask.data.ragged import starts, take_ragged
from tag2mask.errors import UserError

CROWD = 1  # value of `ignore`


@dataclass
class Overlaps:
    """G ground-truth objects and P predictions of the photos compared.

    Objects: category (G,) int; counted (G,) bool, neither crowd nor difficult and not void all over;
    best (G,) float64, the highest IoU among the photo's `top` best-scored predictions
    of its class. Predictions: category (P,), score (P,); counted (P,) bool, false where every pixel is void;
    object (P,) int64, the object of its class and photo with the highest IoU (crowds apart), -1 where none overlaps;
    iou (P,) float64, that IoU; in_crowd (P,) float64, the largest share of it inside a crowd of its class.
    """

    truth_category: np.ndarray
    truth_counted: np.ndarray
    truth_best: np.ndarray
    category: np.ndarray
    score: np.ndarray
    counted: np.ndarray
    object: np.ndarray
    iou: np.ndarray
    in_crowd: np.ndarray


def without_void(rles, void):
    """(rles without the void pixels, (n,) bool: something is left of what was there). void : RLE dict or None.

    Run lengths are intersected with the complement of `void`; nothing is decoded. Source: VOC's 255 is no pixel of
    any object and none of the background.
    """
    if void is None or not rles:
        return rles, np.ones(len(rles), bool)
    counts = rle.to_counts(void)
    inverse = rle.from_counts(counts[1:] if counts[0] == 0 else np.concatenate(([0], counts)), void["size"])
    left = [coco_mask.merge([one, inverse], intersect=True) for one in rles]
    return left, (rle.area(left) > 0) | (rle.area(rles) == 0)


def align(truth, predictions):
    """`predictions` with exactly the images of `truth`, in its order; a photo it does not hold has no predictions.

    Rows that claim nothing (category 0, or marked as crowd or difficult) are left out. Raises UserError where
    categories or photo sizes do not fit together.
    """
    claims = predictions.select((predictions.category > 0) & (predictions.ignore == 0))
    check_categories(truth, claims)
    return realign(truth, claims)


def realign(truth, predictions):
    """As `align`, with every row kept and no look at categories."""
    number = {name: i for i, name in enumerate(predictions.image_id)}
    at = np.array([number.get(name, -1) for name in truth.image_id], np.int64)
    held = np.flatnonzero(at >= 0)
    wrong = held[np.any(predictions.size[at[held]] != truth.size[held], axis=1)]
    if len(wrong):
        i = int(wrong[0])
        raise UserError(
            f"photo {truth.image_id[i]} is {tuple(predictions.size[at[i]].tolist())} pixels (height, width) in the "
            f"predictions and {tuple(truth.size[i].tolist())} in the ground truth; make the predictions on the "
            "photos at their own size."
        )
    held_part = predictions.images_subset(at[held])
    counts = np.zeros(len(at), np.int64)
    counts[held] = np.diff(held_part.first)
    none = take_ragged(truth.void, truth.void_first, np.zeros(0, np.int64))[0]
    return held_part.replaced(
        image_id=truth.image_id, size=truth.size, first=starts(counts), void=none,
        void_first=np.zeros(len(at) + 1, np.int64),
    )  # fmt: skip


def check_categories(truth, predictions):
    """UserError where a predicted category is unknown to the ground truth or has another name there."""
    used = np.unique(predictions.category).tolist()
    unknown = [c for c in used if c not in truth.categories]
    if unknown:
        raise UserError(
            f"the predictions hold category {unknown[0]} ({predictions.categories.get(unknown[0], 'no name')}), which "
            "the ground truth does not list; evaluate against the ground truth of the same dataset."
        )
    for c in used:
        name = predictions.categories.get(c, truth.categories[c])
        if name != truth.categories[c]:
            raise UserError(
                f"category {c} is {name!r} in the predictions and {truth.categories[c]!r} in the ground truth; "
                "evaluate against the ground truth of the same dataset."
            )


def overlaps(truth, predictions, *, top, progress=iter):
    """Overlaps of two tables over the same images (`align`). top : predictions of a photo that `best` looks at.

    progress : wraps the iteration over images. The IoU of a prediction is taken with objects of its own class in its
    own photo only, difficult ones included; void pixels are removed from both masks first. Where IoUs are equal, an
    object that counts goes before a difficult one, then the earlier row.
    """
    counted = (truth.ignore == 0) & (truth.category > 0)
    best = np.zeros(len(truth))
    kept = np.ones(len(predictions), bool)
    target = np.full(len(predictions), -1, np.int64)
    iou = np.zeros(len(predictions))
    in_crowd = np.zeros(len(predictions))
    for i in progress(range(truth.images)):
        g, p = truth.rows(i), predictions.rows(i)
        void = truth.void_rle(i)
        objects, left = without_void(truth.rles(g), void)
        counted[g] &= left
        if p.start == p.stop:
            continue
        masks, kept[p] = without_void(predictions.rles(p), void)
        ranked = np.argsort(-predictions.score[p], kind="stable")
        among_top = np.zeros(len(masks), bool)
        among_top[ranked[:top]] = True
        for c in np.intersect1d(truth.category[g], predictions.category[p]):
            ours = np.flatnonzero(predictions.category[p] == c)
            theirs = np.flatnonzero(truth.category[g] == c)
            crowd = truth.ignore[g][theirs] == CROWD
            theirs = theirs[np.lexsort((~counted[g][theirs], crowd))]  # counted, difficult, crowd
            singles = len(theirs) - int(crowd.sum())
            matrix = rle.iou([masks[n] for n in ours], [objects[n] for n in theirs], np.arange(len(theirs)) >= singles)
            if singles < len(theirs):
                in_crowd[p.start + ours] = matrix[:, singles:].max(1)
            if singles:
                matrix = matrix[:, :singles]
                nearest = matrix.argmax(1)
                iou[p.start + ours] = matrix[np.arange(len(ours)), nearest]
                found = matrix[np.arange(len(ours)), nearest] > 0
                target[p.start + ours[found]] = g.start + theirs[nearest[found]]
                best[g.start + theirs[:singles]] = np.where(among_top[ours][:, None], matrix, 0.0).max(0)
    return Overlaps(
        truth.category, counted, best, predictions.category, predictions.score, kept, target, iou, in_crowd
    )  # fmt: skip
