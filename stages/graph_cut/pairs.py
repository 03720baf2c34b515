"""The allowed (node, label) pairs of a problem, one value each: a ragged table instead of a dense (N, L) one."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """first : (n + 1,) int64, pairs first[u] to first[u + 1] are node u's. column : (P,) int64, rising within a node.

    value : (P,) float64. labels : int, L. Every node has a pair.
    """

    first: np.ndarray
    column: np.ndarray
    value: np.ndarray
    labels: int

    def __len__(self):
        return len(self.first) - 1

    @cached_property
    def count(self):
        """(n,) int64: allowed labels of every node."""
        return np.diff(self.first)

    @cached_property
    def node(self):
        """(P,) int64: the node of every pair, rising."""
        return np.repeat(np.arange(len(self)), self.count)

    @cached_property
    def key(self):
        """(P,) int64, rising: one number per (node, label)."""
        return self.node * self.labels + self.column

    def least(self):
        """(n,) float64: the smallest value of every node."""
        return np.minimum.reduceat(self.value, self.first[:-1]) if len(self) else np.zeros(0)

    def total(self):
        """(n,) float64: the sum of the values of every node."""
        return np.add.reduceat(self.value, self.first[:-1]) if len(self) else np.zeros(0)

    def cheapest(self):
        """(n,) int64: the column of the smallest value; of equals the first."""
        at = np.flatnonzero(self.value == self.least()[self.node])
        return self.column[at[np.searchsorted(self.node[at], np.arange(len(self)))]] if len(self) else self.column

    def place(self, nodes, columns):
        """(m,) int64: where the pairs (node, column) stand; -1 where they are not allowed."""
        if len(self.column) == len(self) * self.labels:
            return nodes * self.labels + columns
        key = nodes * self.labels + columns
        at = np.searchsorted(self.key, key)
        return np.where(self.key[np.minimum(at, len(self.key) - 1)] == key, at, -1) if len(self.key) else at - 1

    def of(self, nodes):
        """(positions of the pairs of `nodes`, one node after the other; number of each pair's node in `nodes`)."""
        count = self.count[nodes]
        number = np.repeat(np.arange(len(nodes)), count)
        start = np.cumsum(count) - count
        return self.first[nodes][number] + np.arange(len(number)) - start[number], number

    def select(self, nodes):
        """The pairs of `nodes` alone, numbered in their order."""
        at, _ = self.of(nodes)
        first = np.concatenate([[0], np.cumsum(self.count[nodes])])
        return Pairs(first, self.column[at], self.value[at], self.labels)

    def replaced(self, value):
        """The same pairs with other values."""
        return Pairs(self.first, self.column, value, self.labels)
