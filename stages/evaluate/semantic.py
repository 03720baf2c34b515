"""Mean IoU of semantic maps: those that merged instances make, and those of a network."""

import numpy as np

from tag2mask.data.labelmaps import NONE, VOID, merge


def confusion(truth, predictions, categories, *, floor=0.0, progress=iter):
    """`count` of merged instances. predictions : Instances over the images of `truth`; floor as in `merge`."""
    return count(truth, lambda i: merge(predictions, i, floor=floor), categories, progress=progress)


def confusion_of_maps(truth, maps, categories, *, progress=iter):
    """`count` of label maps. maps : Maps, uint8, one a photo, category ids; a photo that it lacks has no answers."""
    place = {name: k for k, name in enumerate(maps.image_id)}

    def given(i):
        k = place.get(truth.image_id[i])
        if k is None:
            return np.full(tuple(truth.size[i]), NONE, np.int16)
        label = maps.of(k)[1][0].astype(np.int16)
        return np.where(label == VOID, NONE, label)

    return count(truth, given, categories, progress=progress)


def count(truth, given, categories, *, progress=iter):
    """(K + 1, K + 2) int64 pixels of the whole dataset: rows truth, columns answers, background first, NONE last.

    truth : Instances. given : image number -> (H, W) int category ids, 0, or NONE for no answer. categories : K ids.
    Pixels that are void in the truth are not counted. Source: VOC development kit.
    """
    n = len(categories) + 1
    position = np.full(max([0, *categories]) + 2, n, np.int64)  # the last entry is that of NONE
    position[0] = 0
    position[list(categories)] = np.arange(1, n)
    row = position * (n + 1)  # one for NONE too, which falls away: cheaper than to take the other pixels out
    total = np.zeros((n + 1) * (n + 1), np.int64)
    for i in progress(range(truth.images)):
        cell = row[merge(truth, i, truth=True)] + position[given(i)]
        total += np.bincount(cell.ravel(order="K"), minlength=len(total))
    return total.reshape(n + 1, n + 1)[:n]


def class_iou(counts):
    """(K + 1,) IoU of background and each class; nan for a class without a pixel in the ground truth."""
    hit = np.diag(counts).astype(float)
    union = counts.sum(0)[: len(hit)] + counts.sum(1) - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=counts.sum(1) > 0)


def pixel_accuracy(counts):
    """Share of the counted pixels whose answer is right; nan where none is counted."""
    return float(np.diag(counts).sum() / counts.sum()) if counts.any() else float("nan")
