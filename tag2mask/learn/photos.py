"""Which photos a network learns from, on which it is looked at afterwards, and those that it answers, one by one."""

import numpy as np

from tag2mask.errors import UserError
from tag2mask.learn.ahead import Ahead
from tag2mask.learn.loop import workers_of

LOOKED_AT = 256  # photos, evenly spread, on which a finished network is measured


def labelled_photos(index, labels, used, *, images, stage):
    """[(photo of `index`, image of `labels`, its used rows (n,) int64)] to train on, in index order.

    labels : Instances. used : (rows of labels,) bool, those that teach; a photo without any is left out.
    images : "with_masks" or "all", as the configuration of `stage` says. Raises UserError where no photo is left.
    """
    split = "with_masks" if images == "with_masks" else "train"
    place = {name: k for k, name in enumerate(labels.image_id)}
    found = []
    for i in index.where(split):
        k = place.get(index.image_id[i])
        if k is None:
            continue
        rows = labels.numbers(k)
        rows = rows[used[rows]]
        if len(rows):
            found.append((int(i), k, rows))
    if not found:
        other = "all" if split == "with_masks" else "with_masks"
        raise UserError(
            f"{stage}: no photo of the split {split!r} has a pseudo label, so there is nothing to train on; "
            f"look at the recipe's instances, or set {stage}.images to {other}"
        )
    return found


def read_ahead(index, photos, job):
    """Yields (place, (H, W, 3) uint8 RGB) of `photos` (places in `index`) in their order, read ahead of a GPU by other
    processes."""
    with Ahead(lambda t: index.photo(photos[t]), iterations=len(photos), workers=workers_of(job)) as photo:
        for t, i in enumerate(photos):
            yield i, photo(t)


def spread(count, most=LOOKED_AT):
    """At most so many of the numbers 0..count - 1, evenly spread, with the first and the last."""
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def alike(kinds, *, most):
    """[[places of `kinds`]]: at most so many together that have one kind, in the order of their first; None in none."""
    groups, open_ = [], {}
    for t, kind in enumerate(kinds):
        if kind is None:
            continue
        group = open_.get(kind)
        if group is None or len(group) == most:
            group = open_[kind] = []
            groups.append(group)
        group.append(t)
    return groups
