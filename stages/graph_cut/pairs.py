"""The allowed (node, label) pairs of a problem, one value each: a ragged table instead of a dense (N, L) one."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Pairs:
    """first : (n + 1,) int64, pairs first[u] to first[u + 1] are node u's. column : (P,) int64, rising within a node.

    value : (P,) float64. labels : int, L. Every node has a pair, but in what `within` gives.
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
    def words(self):
        """(n, ceil(L / 64)) uint64: bit k of a node's words is set where it may take label k."""
        word, bit, some = self.column >> 6, _bit(self.column), np.flatnonzero(self.count)
        found = np.zeros((len(self), max(1, -(-self.labels // 64))), np.uint64)
        for k in range(found.shape[1] if len(some) else 0):
            found[some, k] = np.bitwise_or.reduceat(np.where(word == k, bit, np.uint64(0)), self.first[some])
        return found

    def least(self):
        """(n,) float64: the smallest value of every node."""
        return np.minimum.reduceat(self.value, self.first[:-1]) if len(self) else np.zeros(0)

    def total(self):
        """(n,) float64: the sum of the values of every node."""
        return np.add.reduceat(self.value, self.first[:-1]) if len(self) else np.zeros(0)

    def cheapest(self):
        """(n,) int64: where the smallest value of every node stands; of equals the first."""
        at = np.flatnonzero(self.value == self.least()[self.node])
        return at[np.searchsorted(self.node[at], np.arange(len(self)))]

    def others(self):
        """(P,) float64: the smallest value among the other pairs of the node; infinite where there is none."""
        best = self.cheapest()
        found, value = self.value[best][self.node], self.value.copy()
        value[best] = np.inf
        found[best] = self.replaced(value).least()
        return found

    def place(self, nodes, columns):
        """(m,) int64: where the pairs (node, column) stand; -1 where they are not allowed."""
        if len(self.column) == len(self) * self.labels:
            return nodes * self.labels + columns
        word, bit = columns >> 6, _bit(columns)
        own = self.words[nodes, word]
        at = self.first[nodes] + np.bitwise_count(own & (bit - np.uint64(1)))
        for k in range(self.words.shape[1] - 1):
            at += np.where(word > k, np.bitwise_count(self.words[nodes, k]), 0)
        return np.where(own & bit, at, -1)

    def of(self, nodes):
        """(positions of the pairs of `nodes`, one node after the other; number of each pair's node in `nodes`)."""
        count = self.count[nodes]
        number = np.repeat(np.arange(len(nodes)), count)
        start = np.cumsum(count) - count
        return (self.first[nodes] - start)[number] + np.arange(len(number)), number

    def select(self, nodes):
        """The pairs of `nodes` alone, numbered in their order."""
        at, _ = self.of(nodes)
        first = np.concatenate([[0], np.cumsum(self.count[nodes])])
        return Pairs(first, self.column[at], self.value[at], self.labels)

    def within(self, kept):
        """The pairs `kept`, (P,) bool, of the same nodes, of which some may have none."""
        first = np.concatenate([[0], np.cumsum(kept)])[self.first]
        return Pairs(first, self.column[kept], self.value[kept], self.labels)

    def replaced(self, value):
        """The same pairs with other values."""
        other = Pairs(self.first, self.column, value, self.labels)
        other.__dict__.update(
            {name: self.__dict__[name] for name in ("count", "node", "words") if name in self.__dict__}
        )
        return other


def _bit(column):
    return np.uint64(1) << (column & 63).astype(np.uint64)
