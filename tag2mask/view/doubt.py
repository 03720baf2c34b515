"""How doubtful the labels of a photo are, so that people look at the worst first. Numbers alone, no I/O."""

from dataclasses import dataclass

import numpy as np

from tag2mask.data import rle


@dataclass
class Doubt:
    """One photo. Each part in [0, 1]: missing: share of its tags without an instance; unsure: 1 less the lowest score;
    many: instances beyond the first, over those of the photo with most; apart: how little the compared labels agree.
    untold : category ids of the tags without an instance.
    """

    missing: float
    unsure: float
    many: float
    apart: float
    untold: list[int]

    @property
    def total(self):
        """What photos are sorted by."""
        return self.missing + self.unsure + self.many + self.apart


def doubts(labels, tags, others=()):
    """A Doubt a photo of `labels` (Instances), in its order.

    tags : {image id: category ids}, a photo may lack. others : tables of other recipes; a photo that one does not have
    is not compared with it.
    """
    most = max(int(np.diff(labels.first).max(initial=0)) - 1, 1)
    places = [{name: i for i, name in enumerate(other.image_id)} for other in others]
    found = []
    for i, name in enumerate(labels.image_id):
        rows = labels.rows(i)
        have, own = set(labels.category[rows].tolist()), list(tags.get(name, ()))
        untold = [category for category in own if category not in have]
        apart = [disagreement(labels, i, other, at[name]) for other, at in zip(others, places) if name in at]
        found.append(
            Doubt(
                missing=len(untold) / len(own) if own else 0.0,
                unsure=1 - float(labels.score[rows].min()) if have else 0.0,
                many=max(rows.stop - rows.start - 1, 0) / most,
                apart=float(np.mean(apart)) if apart else 0.0,
                untold=untold,
            )
        )
    return found


def disagreement(a, i, b, j):
    """In [0, 1]: 1 less the mean, over the masks of both, of the best mask IoU with one of the class on the other side.

    Photo i of table a, photo j of table b; 0 where neither has a mask.
    """
    rows, others = a.rows(i), b.rows(j)
    number = rows.stop - rows.start + others.stop - others.start
    if not number:
        return 0.0
    overlap = rle.iou(a.rles(rows), b.rles(others)) * (a.category[rows][:, None] == b.category[others])
    best = overlap.max(1, initial=0).sum() + overlap.max(0, initial=0).sum()
    return 1 - float(best) / number
