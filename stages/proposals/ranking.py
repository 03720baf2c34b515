"""The ranking: each next proposal is the one that most raises the expected best overlap. No learning. Ours."""

import heapq

import numpy as np
from scipy import sparse

from stages.proposals.trees import octaves

OCTAVES = 2  # regions whose areas differ by more than this many octaves overlap too little to matter (IoU < 1/4)


DENSE = 30  # so many dense products cost what one of sparse matrices does


def overlaps(membership, area, sizes):
    """IoU of all pairs within OCTAVES octaves of area, as a symmetric sparse (n, n) float32 CSR with the diagonal.

    membership : (n, S) sparse, rows by falling area. area : (n,) pixels. sizes : (S,) pixels.
    """
    weighted = membership.multiply(np.asarray(sizes, np.float32)[None]).tocsr()
    other = membership.T.tocsc()  # columns are candidates, so that a range of them is a cheap slice
    octave = octaves(area)
    rows = []
    for level in sorted(set(octave.tolist()), reverse=True):
        first, low, high = np.searchsorted(-octave, (-level - OCTAVES, -level, -level + 1)).tolist()
        row, column, inner = product(weighted[low:high], other[:, first:high])
        row, column = row + low, column + first
        iou = inner / (area[row] + area[column] - inner)
        keep = (iou >= 2.0**-OCTAVES) & (
            column <= row
        )  # with the larger ones; what is the same the other way is copied
        rows.append((row[keep], column[keep], iou[keep]))
    row, column, iou = (np.concatenate(part) for part in zip(*rows))
    half = sparse.csr_matrix((iou.astype(np.float32), (row, column)), (len(area), len(area)))
    return half + sparse.triu(half.T, 1, format="csr")


def product(left, right):
    """The product of two sparse matrices as (row, column, value), of whole numbers below 2^24, which are exact.

    Large regions are dense over the superpixels: theirs is a product of dense matrices, where that is less work.
    """
    work = np.diff(left.tocsc().indptr).astype(np.int64) @ np.diff(right.tocsr().indptr)
    if left.shape[0] * left.shape[1] * right.shape[1] > DENSE * work:
        made = (left @ right).tocoo()
        return made.row, made.col, made.data
    made = left.toarray() @ right.toarray()
    row, column = np.nonzero(made)
    return row, column, made[row, column]


def leading(membership, area, leaders, sizes, *, lead):
    """(n,) float64: 1 + `lead` times the largest IoU of each candidate with one of `leaders`.

    membership : (n, S) sparse. area : (n,) pixels. leaders : (k, S) bool, k > 0. sizes : (S,) pixels. Ours.
    """
    inner = membership @ (leaders * np.asarray(sizes, np.float64)).T
    return 1 + lead * (inner / (area[:, None] + leaders @ sizes - inner)).max(1)


def rank(iou, weight, *, count, nms_iou):
    """The first `count` candidates by greedy coverage; returns their numbers in rank order, (m,) int64.

    iou : (n, n) sparse, symmetric. weight : (n,) of the candidates as targets. Each step takes the candidate c with the
    largest gain sum_t weight(t) max(0, IoU(c, t) - best(t)), best(t) being the largest IoU of t with those taken, and
    drops everything with IoU > `nms_iou` with it. Ties go to the lower number. The sum is submodular, so old gains are
    upper bounds and only the front of the queue is computed again (Minoux 1978).
    """
    n = iou.shape[0]
    starts, index, value = iou.indptr, iou.indices, iou.data.astype(np.float64)
    best = np.zeros(n)
    free = np.ones(n, bool)
    first_gain = iou.astype(np.float64) @ weight
    queue = [(-gain, c, 0) for c, gain in enumerate(first_gain.tolist())]
    heapq.heapify(queue)
    taken = []
    while queue and len(taken) < count:
        _, c, seen = heapq.heappop(queue)
        if not free[c]:
            continue
        span = slice(starts[c], starts[c + 1])
        near, overlap = index[span], value[span]
        if seen < len(taken):
            gain = float(np.maximum(overlap - best[near], 0) @ weight[near])
            heapq.heappush(queue, (-gain, c, len(taken)))
            continue
        taken.append(c)
        best[near] = np.maximum(best[near], overlap)
        free[near[overlap > nms_iou]] = False
        free[c] = False
    return np.array(taken, np.int64)


def scores(number, *, count):
    """(number,) float32 rank scores: 1 for the first, 1 / count for the last of `count`, evenly between."""
    return (1 - np.arange(number) / count).astype(np.float32)
