"""Mean IoU of semantic maps: those that merged instances make, and those of a network."""

import numpy as np

from tag2mask.data.labelmaps import NONE, VOID, class_runs, merge


def confusion(truth, predictions, categories, *, floor=0.0, progress=iter):
    """`count` of merged instances. predictions : Instances over the images of `truth`; floor as in `class_runs`."""

    def of(i):
        """Both change their class at the ends of runs alone: runs are compared, not pixels."""
        (row, ends), (column, stops) = class_runs(truth, i, truth=True), class_runs(predictions, i, floor=floor)
        both = np.union1d(ends, stops)
        return row[np.searchsorted(ends, both)], column[np.searchsorted(stops, both)], np.diff(both, prepend=0)

    return count(map(of, progress(range(truth.images))), categories)


def confusion_of_maps(truth, maps, categories, *, progress=iter):
    """`count` of label maps. maps : Maps, uint8, one a photo, category ids; a photo that it lacks has no answers."""
    place = {name: k for k, name in enumerate(maps.image_id)}

    def of(i):
        k, right = place.get(truth.image_id[i]), merge(truth, i, truth=True)
        if k is None:
            return right, np.full_like(right, NONE), None
        label = maps.of(k)[1][0].astype(np.int16)
        return right, np.where(label == VOID, NONE, label), None

    return count(map(of, progress(range(truth.images))), categories)


def count(photos, categories):
    """(K + 1, K + 2) int64 pixels of the whole dataset: rows truth, columns answers, background first, NONE last.

    photos : iterable of (truth, answers, pixels): two arrays of one shape, int category ids, 0 or NONE (void in the
    truth, no answer), and how many pixels each place stands for, None for one. categories : K ids. Pixels that are void
    in the truth are not counted. Source: VOC development kit.
    """
    n = len(categories) + 1
    position = np.full(max([0, *categories]) + 2, n, np.int64)  # the last entry is that of NONE
    position[0] = 0
    position[list(categories)] = np.arange(1, n)
    row = position * (n + 1)  # one for NONE too, which falls away: cheaper than to take the other pixels out
    total = np.zeros((n + 1) * (n + 1), np.int64)
    for truth, answers, pixels in photos:
        cell = (row[truth] + position[answers]).ravel(order="K")
        total += np.bincount(cell, pixels, len(total)).astype(np.int64)
    return total.reshape(n + 1, n + 1)[:n]


def class_iou(counts):
    """(K + 1,) IoU of background and each class; nan for a class without a pixel in the ground truth."""
    hit = np.diag(counts).astype(float)
    union = counts.sum(0)[: len(hit)] + counts.sum(1) - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=counts.sum(1) > 0)


def pixel_accuracy(counts):
    """Share of the counted pixels whose answer is right; nan where none is counted."""
    return float(np.diag(counts).sum() / counts.sum()) if counts.any() else float("nan")
