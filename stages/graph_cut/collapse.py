"""Proof that nodes of a component belong under the one label that suits the component best, for as many as it holds.

Where edges outweigh probabilities most of a component takes one label. For a set S of its nodes that label is optimal,
whatever the others take, when it is with each edge that leaves S counted in favour of another label alone (the worst
case; Kovtun's sets are those where one minimum cut shows it). The proof are the duals of Eq. 11, flows of a label each
that move its cost along the edges in S until no node pays more for the best label than for another. Minimum cuts find
them: (1) the label moves against all others, up to the weight of an edge, (2) every other label by itself, up to half
of it, (3) the label by itself. Nodes that stay short leave S, and what they might gain counts from then on.
Source: ours, after Shekhovtsov 2014 (maximum persistency) and Swoboda et al. 2014 (partial optimality by pruning).
"""

import numpy as np

from stages.graph_cut.costs import CostGraph
from stages.graph_cut.flow import smallest_side
from stages.graph_cut.persistency import best_for_all

EXACT = 1e-7  # cost up to which a node counts as not short; what it is short by is part of the slack


class Claim:
    """The claim that `label`, (n,) columns, the same for all nodes of a component, is optimal on the CostGraph `graph`.

    flow : (q,) float64, what every arc of the graph carries so far. The graph's costs hold the worst case outside it.
    part : (n,) int, see `smallest_side`.
    """

    def __init__(self, graph, label, flow, part):
        self.graph, self.label, self.flow, self.part = graph, label, flow, part
        self.own = graph.cost.place(np.arange(len(graph)), label)
        self.is_own = np.zeros(len(graph.cost.column), bool)
        self.is_own[self.own] = True
        self.half = graph.weight[graph.arcs.edge] / 2

    def balance(self):
        """(costs after the flow (P,), those of the own label (n,), by how much a node pays more for that (n,))."""
        moved = self.graph.moved(self.flow)
        own = moved[self.own]
        return moved, own, own - self.graph.cost.replaced(moved).others()[self.own]

    def move_own(self, *, against_others):
        """Steps 1 and 3: the own label's cost leaves nodes that pay too much for those that can take it."""
        edge, tail, _ = self.graph.arcs
        mine = self.is_own[tail]
        room = np.zeros((2, len(self.graph.edges)))
        room[0, edge[mine]], room[1, edge[mine]] = (self.half - self.flow)[mine], (self.half + self.flow)[mine]
        if against_others:
            np.minimum.at(room[0], edge[~mine], (self.half + self.flow)[~mine])
            np.minimum.at(room[1], edge[~mine], (self.half - self.flow)[~mine])
            room *= 2
        over, ends = self.balance()[2], self.graph.edges.T
        _, push = smallest_side(-over, *ends, forward=room[0], backward=room[1], part=self.part)
        push = push[edge]
        self.add(np.where(mine, push, -push) / 2 if against_others else np.where(mine, push, 0))

    def move_others(self):
        """Step 2: cost of every other label comes to the nodes where that is too cheap. Returns (n,) bool: the nodes of
        the sets that would still gain by another label."""
        moved, own, _ = self.balance()
        _, tail, head = self.graph.arcs
        other, node = ~self.is_own, self.graph.cost.node
        place, arc = np.cumsum(other) - 1, other[tail]
        short, push = smallest_side(
            (moved - own[node])[other], place[tail[arc]], place[head[arc]],
            forward=(self.half + self.flow)[arc], backward=(self.half - self.flow)[arc],
            part=self.part[node[other]],
        )  # fmt: skip
        flow = np.zeros(len(tail))
        flow[arc] = -push
        self.add(flow)
        gain = np.zeros(len(self.graph), bool)
        gain[node[other][short]] = True
        return gain

    def add(self, flow):
        self.flow = np.clip(self.flow + flow, -self.half, self.half)

    def without(self, out):
        """The claim for the nodes that are not `out`, (n,) bool, whatever those take."""
        graph, cost = self.graph, self.graph.cost
        value = cost.value.copy()
        for near, far in (graph.edges.T, graph.edges.T[::-1]):
            crossing = np.flatnonzero(~out[near] & out[far])
            at, number = cost.of(near[crossing])
            pays = self.is_own[at] | (cost.place(far[crossing][number], cost.column[at]) < 0)
            value += np.bincount(at[pays], graph.weight[crossing][number[pays]], len(value))
        stays = ~out[graph.edges].any(1)[graph.arcs.edge]
        smaller = CostGraph(cost.replaced(value), graph.edges, graph.weight).select(~out)
        return Claim(smaller, self.label[~out], self.flow[stays], self.part[~out])


def under_best_label(left, *, deadline):
    """Fix nodes of a Left whose component's best label is proven for them; `deadline()` true stops early."""
    label, energy = best_for_all(left.graph)
    has = np.isfinite(energy)[left.graph.part]
    nodes, some = np.flatnonzero(has), left.graph.select(has)
    claim = Claim(some, label[has], np.zeros(len(some.arcs.edge)), left.part[left.nodes[has]])
    while len(nodes):
        before = np.inf
        while True:
            if deadline():
                return
            claim.move_own(against_others=True)
            gain = claim.move_others()
            claim.move_own(against_others=False)
            over = claim.balance()[2]
            short = over > EXACT
            if not short.any() or short.sum() > 0.7 * before:
                break
            before = short.sum()
        if not short.any():
            done, slack = np.zeros(len(left.graph), bool), np.zeros(len(left.graph))
            done[nodes], slack[nodes] = True, np.maximum(over, 0.0)
            return left.fix(done, label, slack)
        out = short | gain
        claim, nodes = claim.without(out), nodes[~out]
