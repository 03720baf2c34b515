"""Similarities of pairs of proposals in float64, and the best of every proposal so far.

A similarity is held on a grid of 2^-30 together with the neighbour's number, as one integer key: of equal ones the
smaller number is nearer. A scalar product of two float16 rows of unit length is exact in float64 in any order of
summation (every product is a multiple of 2^-48, every partial sum below 2^5), so a pair has one key, wherever and in
whatever company it is compared.
"""

import numpy as np
import torch

GRID = 2**30
NONE = -1  # key of "no neighbour"
CHUNK = 1 << 19  # numbers that are held in float64 at a time: what fits the cache is converted five times as fast


def rows_of(features, rows):
    """(n, D) float64: rows (numbers or a slice) of `features`. Torch converts float16 ten times as fast as numpy."""
    return torch.from_numpy(np.array(features[rows])).double().numpy()


def chunks(number, width):
    """Slices of range(number) whose rows of `width` numbers fill a CHUNK each."""
    step = max(CHUNK // max(width, 1), 1)
    return [slice(at, min(at + step, number)) for at in range(0, number, step)]


def squared_lengths(features):
    """(N,) float64: the squared length of every row of (N, D) features."""
    result = np.zeros(len(features))
    for part in chunks(*features.shape):
        rows = rows_of(features, part)
        result[part] = np.einsum("nd,nd->n", rows, rows)
    return result


def cosines(features, pairs, *, square=None):
    """(M,) float64 in [-1, 1]: the cosine of the features at the two ends of every pair; 0 where one is a row of zeros.

    features : (N, D) float, may be a memory map. pairs : (M, 2) int. square : (N,) from `squared_lengths`.
    Source: LIID, Eq. 10, third case; Fan, Eq. 5 (without its + 1).
    """
    square = squared_lengths(features) if square is None else square
    result = np.zeros(len(pairs))
    for part in chunks(len(pairs), features.shape[1]):
        i, j = pairs[part].T
        dot = np.einsum("nd,nd->n", rows_of(features, i), rows_of(features, j))
        length = np.sqrt(square[i] * square[j])
        np.divide(dot, length, out=result[part], where=length > 0)
    return np.clip(result, -1.0, 1.0, out=result)


class Best:
    """The k nearest of every node among all that it was offered.

    keys : (N, k) int64, descending, NONE where there are less.
    """

    def __init__(self, features, *, k, signed):
        self.features, self.square, self.signed = features, squared_lengths(features), signed
        self.keys = np.full((len(features), k), NONE, np.int64)

    def offer(self, pairs):
        """Compare the nodes of each pair (M, 2) int, i != j, with each other."""
        if len(pairs):
            i, j = pairs.T
            value = cosines(self.features, pairs, square=self.square)
            self.enter(np.concatenate([i, j]), self.key(np.concatenate([value, value]), np.concatenate([j, i])))

    def offer_tile(self, rows, columns):
        """Compare every one of `rows` with every one of `columns` (numbers of nodes), whatever their similarities."""
        other = rows_of(self.features, columns)
        for part in chunks(len(rows), len(columns)):
            part = rows[part]
            value = rows_of(self.features, part) @ other.T
            length = np.sqrt(self.square[part][:, None] * self.square[columns])
            value = np.clip(np.divide(value, length, out=np.zeros_like(value), where=length > 0), -1.0, 1.0)
            for mine, others, values in ((part, columns, value), (columns, part, value.T)):
                keys = np.where(mine[:, None] == others, NONE, self.key(values, others))
                count = min(self.keys.shape[1], keys.shape[1])
                keys = np.partition(keys, keys.shape[1] - count, axis=1)[:, keys.shape[1] - count :]
                self.enter(np.repeat(mine, count), keys.ravel())

    def key(self, cosine, number):
        """int64, larger is nearer: |cosine|, or cosine + 1 where signed, on the grid, then the smaller number."""
        value = cosine + 1.0 if self.signed else np.abs(cosine)
        total = len(self.keys)
        return np.rint(value * GRID).astype(np.int64) * total + (total - 1 - number)

    def enter(self, node, key):
        """Put each key (M,) among those of its node (M,); a key that a node has already changes nothing."""
        own = np.unique(node)
        node = np.concatenate([node, np.repeat(own, self.keys.shape[1])])
        key = np.concatenate([key, self.keys[own].ravel()])
        order = np.lexsort((-key, node))
        node, key = node[order], key[order]
        again = np.concatenate([[False], (node[1:] == node[:-1]) & (key[1:] == key[:-1])])
        node, key = node[~again], key[~again]
        rank = np.arange(len(node)) - np.searchsorted(node, node)
        kept = rank < self.keys.shape[1]
        self.keys[own] = NONE
        self.keys[node[kept], rank[kept]] = key[kept]

    def least(self, nodes):
        """(n,) float64: the k-th similarity of each node is no smaller; -inf where a node has less than k."""
        key = self.keys[nodes, -1]
        return np.where(key == NONE, -np.inf, (key // max(len(self.keys), 1) - 1) / GRID - self.signed)

    def neighbours(self):
        """(N, k) int64: numbers of the neighbours, nearest first; -1 where there are less."""
        total = len(self.keys)
        return np.where(self.keys == NONE, -1, total - 1 - self.keys % max(total, 1))
