"""Alpha-expansion: a good labelling without a proof, for what a time limit left open (Boykov, Veksler, Zabih 2001)."""

import numpy as np

from stages.graph_cut.flow import grid_scale, largest_side


def expanded(label, cost, *, edges, weight, deadline):
    """A labelling whose energy is at most that of `label`: moves "some nodes change to a" until none helps.

    label : (n,) int64. cost : Pairs. edges : (m, 2). weight : (m,) >= 0.
    deadline() true stops early. Returns (n,) int64.
    """
    label, nodes = label.copy(), np.arange(len(label))
    u, v = edges.T
    scale = grid_scale(2 * weight)

    def energy(x):
        return cost.value[cost.place(nodes, x)].sum() + weight[x[u] != x[v]].sum()

    best, improved = energy(label), True
    while improved:
        improved = False
        for a in np.unique(cost.column):
            if deadline():
                return label
            # Cost of an edge when none, the tail alone, the head alone changes to a; 0 when both do. As a sum:
            # stay + (tail - stay) [u changes] - tail [v changes] + (tail + head - stay) [v changes, u does not].
            stay = weight * (label[u] != label[v])
            tail, head = weight * (label[v] != a), weight * (label[u] != a)
            at = cost.place(nodes, np.full(len(nodes), a))
            unary = np.where(at < 0, np.inf, cost.value[at]) - cost.value[cost.place(nodes, label)]
            unary += np.bincount(u, tail - stay, len(label)) - np.bincount(v, tail, len(label))
            changed = largest_side(
                np.ceil(unary * scale).clip(-(2.0**52), 2.0**52).astype(np.int64),
                u,
                v,
                forward=np.zeros(len(u), np.int64),
                backward=np.rint((tail + head - stay) * scale).astype(np.int64),
            )
            moved = np.where(changed, a, label)
            value = energy(moved)
            if value < best - 1e-9:
                label, best, improved = moved, value, True
    return label
