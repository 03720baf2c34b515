"""Decisions of people applied to the labels: what was accepted or drawn stays, what was rejected goes."""

import numpy as np

from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder


def settle(labels, decided, *, iou):
    """(Instances, {"settled", "gone", "missed"}): the labels after the decisions; photos in their order.

    labels : Instances. decided : {image id: Decided}. A label goes that was rejected (the very same mask and class),
    that lies in a photo whose labels are given whole, or that overlaps a settled one of its class by a mask IoU above
    `iou`, for then it is the same object; an accepted label gives way to itself. missed : rejected masks that no label
    is any more.
    """
    builder, numbers = InstancesBuilder(labels.categories), {"settled": 0, "gone": 0, "missed": 0}
    for i, name in enumerate(labels.image_id):
        rows = labels.rows(i)
        masks, category = labels.rles(rows), labels.category[rows]
        keep, added = np.ones(len(masks), bool), []
        if name in decided:
            one = decided[name]
            added = one.settled
            known = [(int(c), m["counts"]) for c, m in zip(category, masks)]
            rejected = np.array([mask in one.rejected for mask in known], bool)
            same = same_object(masks, category, added, iou=iou)
            keep = ~(rejected | same) & (not one.whole)
            numbers["settled"] += len(added)
            numbers["gone"] += len(masks) - int(keep.sum())
            numbers["missed"] += len(one.rejected.difference(known))
        columns = {
            key: np.concatenate([getattr(labels, key)[rows][keep], values])
            for key, values in (("score", [s for _, s, _ in added]), ("category", [c for c, _, _ in added]))
        }
        stay = [mask for mask, stays in zip(masks, keep) if stays]
        everything = stay + [mask for _, _, mask in added]
        ignore = np.concatenate([labels.ignore[rows][keep], np.zeros(len(added))])
        whole = name in decided and decided[name].whole  # then nothing is in doubt any more
        void = None if whole else labels.void_mask(i)
        builder.add(name, labels.size[i], everything, ignore=ignore, void=void, **columns)
    return builder.finish(), numbers


def same_object(masks, category, settled, *, iou):
    """(n,) bool: whether a mask is the same object as a settled one. masks : n RLE; settled : [(category, _, RLE)]."""
    if not masks or not settled:
        return np.zeros(len(masks), bool)
    overlap = rle.iou(masks, [mask for _, _, mask in settled])
    return ((overlap > iou) & (category[:, None] == np.array([c for c, _, _ in settled]))).any(1)
