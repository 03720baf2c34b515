"""Alpha-expansion: a good labelling without a proof, for what a time limit left open (Boykov, Veksler, Zabih 2001)."""

import numpy as np

from stages.graph_cut.flow import smallest_side


def expanded(label, graph, *, deadline):
    """A labelling whose energy is at most that of `label`: moves "some nodes change to a" until none helps.

    label : (n,) int64. graph : CostGraph. deadline() true stops early. Returns (n,) int64.
    """
    cost, weight, (u, v) = graph.cost, graph.weight, graph.edges.T
    label, best, improved = label.copy(), graph.energy(label), True
    while improved:
        improved = False
        for a in np.unique(cost.column):
            if deadline():
                return label
            # Cost of an edge when none, the tail alone, the head alone changes to a; 0 when both do. As a sum:
            # stay + (tail - stay) [u changes] - tail [v changes] + (tail + head - stay) [v changes, u does not].
            stay = weight * (label[u] != label[v])
            tail, head = weight * (label[v] != a), weight * (label[u] != a)
            unary = np.full(len(graph), np.inf)
            pairs = np.flatnonzero(cost.column == a)
            nodes = cost.node[pairs]
            unary[nodes] = cost.value[pairs] - cost.value[cost.place(nodes, label[nodes])]
            unary += np.bincount(u, tail - stay, len(label)) - np.bincount(v, tail, len(label))
            changed, _ = smallest_side(unary, u, v, forward=np.zeros(len(u)), backward=tail + head - stay)
            moved = np.where(changed, a, label)
            value = graph.energy(moved) if changed.any() else best
            if value < best - 1e-9:
                label, best, improved = moved, value, True
    return label
