"""Nodes with costs per label and edges with weights: what is left of a multi-way cut at every step of its solution."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from stages.graph_cut.pairs import Pairs


class Arcs(NamedTuple):
    """One per edge and label that both its ends may take. edge, tail, head : (q,) int64; tail and head are pairs."""

    edge: np.ndarray
    tail: np.ndarray
    head: np.ndarray


@dataclass(frozen=True)
class CostGraph:
    """cost : Pairs, what nodes pay for labels. edges : (m, 2) int64, u < v, sorted, each once. weight : (m,) >= 0."""

    cost: Pairs
    edges: np.ndarray
    weight: np.ndarray

    def __len__(self):
        return len(self.cost)

    @cached_property
    def arcs(self):
        u, v = self.edges.T
        tail, edge = self.cost.of(u)
        head = self.cost.place(v[edge], self.cost.column[tail])
        shared = head >= 0
        return Arcs(edge[shared], tail[shared], head[shared])

    @cached_property
    def alone(self):
        """(P,) float64: the weight of the edges at a pair's node whose other end may not take the pair's label."""
        n, p, weight = len(self), len(self.cost.column), self.weight[self.arcs.edge]
        all_edges = np.bincount(self.edges[:, 0], self.weight, n) + np.bincount(self.edges[:, 1], self.weight, n)
        shared = np.bincount(self.arcs.tail, weight, p) + np.bincount(self.arcs.head, weight, p)
        return np.maximum(all_edges[self.cost.node] - shared, 0.0)

    @cached_property
    def part(self):
        """(n,) int: the number of each node's component."""
        return connected_parts(len(self), self.edges)

    def energy(self, label):
        """The cost of a labelling. label : (n,) allowed columns."""
        return float(self.energies(label, np.zeros(len(self), np.int64)).sum())

    def energies(self, label, part):
        """(parts,) float64: what each part pays. part : (n,) int, whole components."""
        cut = self.weight * (label[self.edges[:, 0]] != label[self.edges[:, 1]])
        paid = self.cost.value[self.cost.place(np.arange(len(self)), label)]
        return by_part(part, paid + np.bincount(self.edges[:, 0], cut, len(self)))[0]

    def in_own_units(self, prob):
        """(the same graph with every component in a unit of its own, (parts,) float64 the units).

        prob : (P,) float64, p of every pair. The tolerances of HiGHS and of the proofs are absolute, so in
        one unit for all a component of small numbers is solved to no more than its own size. The unit is what matters
        to a component: the most that a node gains by another label or, if more, an edge (one heavier than every p
        counts as that p); a power of two, so nothing is rounded. What a node pays in any case is taken off.
        """
        of_pair, of_edge = self.part[self.cost.node], self.part[self.edges[:, 0]]
        gain, p, heaviest = (np.zeros(int(self.part.max(initial=-1)) + 1) for _ in range(3))
        value = self.cost.value - self.cost.least()[self.cost.node]
        np.maximum.at(gain, of_pair, value)
        np.maximum.at(p, of_pair, prob)
        np.maximum.at(heaviest, of_edge, self.weight)
        size = np.maximum(gain, np.where(p > 0, np.minimum(heaviest, p), heaviest))
        unit = 2.0 ** np.minimum(np.ceil(np.log2(np.where(size > 0, size, 1.0))), 1023)
        graph = CostGraph(self.cost.replaced(value / unit[of_pair]), self.edges, self.weight / unit[of_edge])
        graph.__dict__["part"] = self.part
        return graph, unit

    def moved(self, flow):
        """(P,) float64: the costs after labels were moved along edges. Whatever the flow is, the sum over a component
        of each node's smallest is below the energy of every labelling of it.

        flow : (q,) from tail to head, clipped here to half the edge's weight. The Lagrangian of Eq. 11: label k pays
        half the weight of an edge at one of its ends, and the other end may give or take that much.
        """
        half, p = self.weight[self.arcs.edge] / 2, len(self.cost.column)
        flow = np.clip(flow, -half, half)
        change = np.bincount(self.arcs.head, flow, p) - np.bincount(self.arcs.tail, flow, p)
        return self.cost.value + self.alone / 2 + change

    def select(self, kept):
        """The graph of the nodes `kept`, (n,) bool, and the edges between them."""
        place = np.cumsum(kept) - 1
        inside = kept[self.edges].all(1)
        return CostGraph(self.cost.select(np.flatnonzero(kept)), place[self.edges[inside]], self.weight[inside])

    def without(self, done, label):
        """The graph of the nodes that are not `done`, (n,) bool: their costs hold the edges to those that are.

        label : (n,) columns, read where done.
        """
        value = self.cost.value.copy()
        for near, far in (self.edges.T, self.edges.T[::-1]):
            crossing = np.flatnonzero(~done[near] & done[far])
            near, far, weight = near[crossing], far[crossing], self.weight[crossing]
            value += np.bincount(near, weight, len(self))[self.cost.node]
            at = self.cost.place(near, label[far])
            value -= np.bincount(at[at >= 0], weight[at >= 0], len(value))
        return CostGraph(self.cost.replaced(value), self.edges, self.weight).select(~done)


def by_part(part, *values):
    """[(parts,) float64]: the sums of each of `values` in each part, added in pairs: one by one, as `bincount` does,
    the largest components lose a hundred times as much to rounding.

    part : (n,) int, every number from 0 to parts - 1. values : (n,) float64 each.
    """
    order = np.argsort(part, kind="stable")
    first = np.flatnonzero(np.diff(part[order], prepend=-1))
    return [np.add.reduceat(value[order], first) if len(part) else value for value in values]


def connected_parts(n, edges):
    """(n,) int: the number of each node's component."""
    graph = sparse.csr_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1] if n else np.zeros(0, np.int64)
