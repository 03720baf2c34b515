"""Mean IoU of the semantic map that merged instances make."""

import numpy as np
from pycocotools import mask as coco_mask

from stages.common import rle

VOID = -1


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
    """(K + 1, K + 1) int64 pixel counts, rows truth, columns prediction, background first; void is not counted.

    truth, predictions : Instances over the same images. categories : K category ids.
    """
    position = np.zeros(max([0, *categories]) + 1, np.int64)
    position[list(categories)] = np.arange(1, len(categories) + 1)
    n = len(categories) + 1
    total = np.zeros(n * n, np.int64)
    for i in progress(range(truth.images)):
        wanted, given = merge(truth, i, truth=True), merge(predictions, i, floor=floor)
        seen = wanted != VOID
        total += np.bincount(position[wanted[seen]] * n + position[given[seen]], minlength=n * n)
    return total.reshape(n, n)


def class_iou(counts):
    """(K + 1,) IoU of background and each class; nan for a class without a pixel in the ground truth."""
    hit = np.diag(counts).astype(float)
    union = counts.sum(0) + counts.sum(1) - hit
    return np.divide(hit, union, out=np.full(len(hit), np.nan), where=counts.sum(1) > 0)
