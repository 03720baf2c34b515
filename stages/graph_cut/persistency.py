"""Labels that some optimal labelling is proven to have: of components under one label, and by minimum cuts (Kovtun).

For a label a let A be the nodes that take a in a smallest cut of the binary problem "a against the rest", where the
rest costs a node its cheapest other label and an edge within the rest costs nothing. Given any labelling, giving a to
all of A does not raise its energy: take B = the nodes of A that have a already and D the others. As A is optimal,
changing B into A does not raise the binary cost, and every term of that difference is at least the true one (the old
label of a node in D costs at least its cheapest; an edge that leaves A costs at most its weight more). Of all smallest
cuts the smallest is taken: giving it a lowers the energy of every labelling that differs there, so the sets of two
labels have no node in common and several labels are solved at once, as layers of one flow.
The flow is the proof and is checked: it moves cost of label a between the nodes of A until none pays more for a than
for its cheapest other label.
Source: I. Kovtun, Partial optimal labeling search for a NP-hard subclass of (max,+) problems, DAGM 2003.
"""

import numpy as np
from scipy import sparse

from stages.graph_cut.costs import CostGraph
from stages.graph_cut.flow import smallest_side
from stages.graph_cut.pairs import Pairs

LAYERS = 60_000  # pairs in one flow, where labels are many


class Left:
    """What is left of a problem while labels are fixed: the open nodes as a CostGraph.

    label : (N,) int64 columns, -1 while open. nodes : (n,) the open ones. graph : CostGraph of them. part : (N,) int,
    the component of every node. slack : (N,) float64, what the checks left over at every node; summed over a component
    it is by how much the smallest energy with these labels may exceed the smallest of all.
    """

    def __init__(self, graph):
        self.graph, self.nodes, self.part = graph, np.arange(len(graph)), graph.part
        self.label, self.slack = np.full(len(graph), -1), np.zeros(len(graph))

    def fix(self, done, label, slack=0.0):
        """Give the open nodes where `done`, (n,) bool, their `label`, (n,) columns; slack : (n,), 0 elsewhere."""
        self.slack[self.nodes] += slack
        if done.any():
            self.label[self.nodes[done]] = label[done]
            self.graph = self.graph.without(done, label)
            self.nodes = self.nodes[~done]


def persistency(left, *, deadline):
    """Fix labels of a Left until that fixes next to none; `deadline()` true stops early."""
    left.fix(left.graph.cost.count == 1, left.graph.cost.column[left.graph.cost.first[:-1]])
    before = np.inf
    while len(left.nodes) < 0.98 * before:
        before = len(left.nodes)
        left.fix(*under_one_label(left.graph))
        for labels in _groups(left.graph.cost):
            if deadline() or not len(left.nodes):
                return
            left.fix(*against_the_rest(left.graph, left.part[left.nodes], *labels))


def best_for_all(graph):
    """(label (n,) int64, energy (parts,)): for every component the cheapest label that all its nodes may take, and the
    cost of all its nodes under it; infinite where there is none."""
    part, cost = graph.part, graph.cost
    size = np.bincount(part)
    at = (part[cost.node], cost.column)
    total = sparse.csr_array((cost.value, at), shape=(len(size), cost.labels))
    nodes = sparse.csr_array((np.ones(len(cost.column)), at), shape=total.shape)
    common = nodes.data == np.repeat(size, np.diff(nodes.indptr))
    table = Pairs(total.indptr, total.indices, np.where(common, total.data, np.inf), cost.labels)
    best = table.cheapest()
    return table.column[best].astype(np.int64)[part], table.value[best]


def under_one_label(graph):
    """(done (n,) bool, label (n,)): components that are cheapest under one label for all their nodes. Any labelling but
    such a one cuts an edge, and already the lightest costs more than all nodes together gain by their cheapest labels.
    Isolated nodes are such components."""
    label, energy = best_for_all(graph)
    lightest = np.full(len(energy), np.inf)
    np.minimum.at(lightest, graph.part[graph.edges[:, 0]], graph.weight)
    return (energy <= np.bincount(graph.part, graph.cost.least()) + lightest)[graph.part], label


def _groups(cost):
    """Runs of labels with about LAYERS pairs together, as (first, behind the last)."""
    pairs = np.cumsum(np.bincount(cost.column, minlength=cost.labels))
    behind = np.concatenate([np.flatnonzero(np.diff((pairs - 1) // LAYERS)) + 1, [cost.labels]])
    return zip([0, *behind[:-1]], behind)


def against_the_rest(graph, part, first, behind):
    """(done (n,) bool, label (n,), slack (n,)): what the smallest cuts of the labels `first` to `behind` - 1 fix.

    part : (n,) int, see `smallest_side`.
    """
    own = (graph.cost.column >= first) & (graph.cost.column < behind)
    layers = CostGraph(graph.cost.within(own), graph.edges, graph.weight)
    edge, tail, head = layers.arcs
    weight = graph.weight[edge]
    unary = layers.cost.value + layers.alone - graph.cost.others()[own]
    node = layers.cost.node
    side, flow = smallest_side(unary, tail, head, forward=weight, backward=weight, part=part[node])
    done, label = np.zeros(len(graph), bool), np.zeros(len(graph), np.int64)
    done[node[side]], label[node[side]] = True, layers.cost.column[side]
    # What nodes of A still pay more for a, with the flow inside A and full arcs out of it.
    out, into = side[tail] & ~side[head], side[head] & ~side[tail]
    flow = np.where(out, weight, np.where(into, -weight, np.clip(flow, -weight, weight)))
    over = unary + np.bincount(tail, flow, len(unary)) - np.bincount(head, flow, len(unary))
    return done, label, np.bincount(node[side], np.maximum(over[side], 0.0), len(graph))
