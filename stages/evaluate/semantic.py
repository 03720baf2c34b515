"""Mean IoU of semantic maps: those that merged instances make, and those of a network."""

import numpy as np
from pycocotools import mask as coco_mask

from tag2mask.data import rle

VOID = -1  # in the truth: not counted; in an answer: none of the classes
UNDECIDED = 255  # the same in a label map of one byte a pixel


def merge(table, i, *, floor=0.0, truth=False):
    """(H, W) int16 category of each pixel of image i, 0 background.

    The higher score wins where instances overlap, then the smaller mask, then the earlier row. Instances with a score
    below `floor` are left out. truth : void pixels, and those that only a crowd covers, become -1 (VOID).
    Source: ICN 4.4 and LIID 6.5 merge the instances of a class; the order is ours.
    """
    rows = np.arange(len(table))[table.rows(i)]
    rows = rows[(table.score[rows] >= floor) & ((table.category[rows] > 0) | (table.ignore[rows] == 1))]
    crowd = (table.ignore[rows] == 1) & truth
    values = np.where(crowd, VOID, table.category[rows]).astype(np.int16)
    rles = table.rles(rows)
    area = rle.area(rles).astype(np.int64)
    seen = visible(rles, np.lexsort((np.arange(len(rows)), area, -table.score[rows], crowd)))
    height, width = (int(side) for side in table.size[i])
    out = np.zeros((width, height), np.int16).T  # columns first in memory, as run lengths decode
    for n in seen[::-1]:  # the foremost is painted last
        np.copyto(out, values[n], where=coco_mask.decode(rles[n]).view(bool))
    if truth:
        out[table.void_mask(i)] = VOID
    return out


def visible(rles, order):
    """The numbers of `order`, foremost mask first, whose masks show a pixel behind those before them.

    Run lengths are united, nothing is decoded: most of many overlapping masks are hidden and need not be painted.
    """
    if not len(order):
        return []
    seen, covered = [order[0]], rles[order[0]]
    for n in order[1:]:
        wider = coco_mask.merge([covered, rles[n]])
        if wider["counts"] != covered["counts"]:
            seen.append(n)
            covered = wider
    return seen


def confusion(truth, predictions, categories, *, floor=0.0, progress=iter):
    """`count` of merged instances. predictions : Instances over the images of `truth`; floor as in `merge`."""
    return count(truth, lambda i: merge(predictions, i, floor=floor), categories, progress=progress)


def confusion_of_maps(truth, maps, categories, *, progress=iter):
    """`count` of label maps. maps : Maps, uint8, one a photo, category ids; a photo that it lacks has no answers."""
    place = {name: k for k, name in enumerate(maps.image_id)}

    def given(i):
        k = place.get(truth.image_id[i])
        if k is None:
            return np.full(tuple(truth.size[i]), VOID, np.int16)
        label = maps.of(k)[1][0].astype(np.int16)
        return np.where(label == UNDECIDED, VOID, label)

    return count(truth, given, categories, progress=progress)


def count(truth, given, categories, *, progress=iter):
    """(K + 1, K + 2) int64 pixels of the whole dataset: rows truth, columns answers, background first, VOID last.

    truth : Instances. given : image number -> (H, W) int category ids, 0, or VOID for no answer. categories : K ids.
    Pixels that are void in the truth are not counted. Source: VOC development kit.
    """
    n = len(categories) + 1
    position = np.full(max([0, *categories]) + 2, n, np.int64)  # the last entry is that of VOID
    position[0] = 0
    position[list(categories)] = np.arange(1, n)
    total = np.zeros(n * (n + 1), np.int64)
    for i in progress(range(truth.images)):
        wanted, answer = merge(truth, i, truth=True), given(i)
        seen = wanted != VOID
        total += np.bincount(position[wanted[seen]] * (n + 1) + position[answer[seen]], minlength=n * (n + 1))
    return total.reshape(n, n + 1)


def class_iou(counts):
    """(K + 1,) IoU of background and each class; nan for a class without a pixel in the ground truth."""
    hit = np.diag(counts).astype(float)
    union = counts.sum(0)[: len(hit)] + counts.sum(1) - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=counts.sum(1) > 0)


def pixel_accuracy(counts):
    """Share of the counted pixels whose answer is right; nan where none is counted."""
    return float(np.diag(counts).sum() / counts.sum()) if counts.any() else float("nan")
