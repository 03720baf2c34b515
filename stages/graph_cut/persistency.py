"""Labels that some optimal labelling is proven to have, by one minimum cut per label (Kovtun).

For a label a let A be the nodes that take a in a smallest cut of the binary problem "a against the rest", where the
rest costs a node its cheapest other label and an edge within the rest costs nothing. Given any labelling, giving a to
all of A does not raise its energy: take B = the nodes of A that have a already and D the others. As A is optimal,
changing B into A does not raise the binary cost, and every term of that difference is at least the true one (the old
label of a node in D costs at least its cheapest; an edge that leaves A costs at most its weight more). The argument
compares A with its own subsets only, so it holds as well when nodes are kept out of the binary problem, and when the
true costs of D are below the ones used: costs may be rounded up and clipped from below.
Labels are taken one after another, each on what the labels before it left, so ties cannot contradict each other.
Source: I. Kovtun, Partial optimal labeling search for a NP-hard subclass of (max,+) problems, DAGM 2003;
design/multiway_cut.md, 4.
"""

from dataclasses import dataclass

import numpy as np

from stages.graph_cut.flow import largest_side
from stages.graph_cut.pairs import Pairs


@dataclass
class State:
    """What is left of a problem. Its arrays are modified.

    cost : Pairs; cut edges to labelled neighbours are in its values. label : (N,) int64, -1 while open.
    edges : (M, 2) int64 between open nodes. grid : (M,) int64, their weights times `scale`.
    """

    cost: Pairs
    label: np.ndarray
    edges: np.ndarray
    grid: np.ndarray
    scale: float

    def fix(self, nodes, labels):
        """Give `labels` to open `nodes`, move their edges into their open neighbours' costs."""
        self.label[nodes] = labels
        is_open = self.label < 0
        for near, far in ((0, 1), (1, 0)):
            moved = ~is_open[self.edges[:, near]] & is_open[self.edges[:, far]]
            given, kept = self.edges[moved].T[[near, far]]
            weight = self.grid[moved] / self.scale
            at, number = self.cost.of(kept)
            np.add.at(self.cost.value, at, weight[number])
            at = self.cost.place(kept, self.label[given])
            np.subtract.at(self.cost.value, at[at >= 0], weight[at >= 0])
        inside = is_open[self.edges].all(1)
        self.edges, self.grid = self.edges[inside], self.grid[inside]


def fix_single(state):
    """Nodes with one allowed label, and nodes without an open neighbour, take their cheapest label."""
    is_open = state.label < 0
    alone = np.ones(len(state.label), bool)
    alone[state.edges.ravel()] = False
    nodes = np.flatnonzero(is_open & (alone | (state.cost.count == 1)))
    if len(nodes):
        state.fix(nodes, state.cost.select(nodes).cheapest())
    return len(nodes)


def persistency(state, *, deadline):
    """Fix labels until a sweep over all labels fixes none; `deadline()` true stops early. Modifies `state`."""
    order = np.argsort(state.cost.column, kind="stable")
    by_label = np.split(order, np.searchsorted(state.cost.column[order], np.arange(1, state.cost.labels)))
    fixed = True
    while fixed and not deadline():
        fixed = 0
        while fix_single(state):
            pass
        for a, pairs in enumerate(by_label):
            nodes = state.cost.node[pairs]
            is_open = state.label[nodes] < 0
            by_label[a], nodes = pairs[is_open], nodes[is_open]
            if len(nodes) and not deadline():
                chosen = nodes[_against_rest(state, nodes, by_label[a])]
                state.fix(chosen, a)
                fixed += len(chosen)


def _against_rest(state, nodes, pairs):
    """(n,) bool: which of `nodes`, open with the pair (node, a) at `pairs`, take a in a's smallest cut off the rest."""
    inside = np.full(len(state.label), -1)
    inside[nodes] = np.arange(len(nodes))
    others = state.cost.select(nodes)
    at, _ = state.cost.of(nodes)
    others.value[np.searchsorted(at, pairs) if len(at) else pairs] = np.inf
    difference = (state.cost.value[pairs] - others.least()) * state.scale
    unary = np.ceil(difference).clip(-(2.0**52), 2.0**52).astype(np.int64)
    u, v = inside[state.edges[:, 0]], inside[state.edges[:, 1]]
    for here, there in ((u, v), (v, u)):  # a neighbour that may not have a: the edge is cut for sure
        lone = (here >= 0) & (there < 0)
        unary += np.bincount(here[lone], state.grid[lone], len(nodes)).astype(np.int64)
    both = (u >= 0) & (v >= 0)
    return largest_side(unary, u[both], v[both], forward=state.grid[both], backward=state.grid[both])
