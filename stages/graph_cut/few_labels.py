"""The relaxation of a large component with many labels, of which each node needs few: labels are added until all agree.

The linear program is solved with the likely labels of every node alone. Its duals say what each node pays; by one flow
per label the costs of all labels are moved so that none is below that. Where they cannot be, the labels of those
minimum cuts join the program of their nodes and neighbours, and it is solved again. Ends with the optimum over all
labels and its duals (column generation; the flows price a whole label at once).
"""

import time

import numpy as np

from stages.graph_cut.costs import CostGraph
from stages.graph_cut.flow import smallest_side
from stages.graph_cut.relax import relaxed

NEAR, OWN, ROUNDS = 3, 1, 8  # see `likely`
ROUNDING = 1e-9  # of costs, far below what HiGHS asks of duals
SHORT = 1e-7  # by which a cost may stay below: HiGHS's tolerance for duals


def relaxed_with_few_labels(graph, *, time_limit):
    """(x (P,), flow (q,), finished) as `relaxed` gives them, for all labels of the CostGraph."""
    end, (_, tail, head) = time.monotonic() + time_limit, graph.arcs
    half, kept = graph.weight[graph.arcs.edge] / 2, likely(graph)
    while True:
        few = CostGraph(graph.cost.within(kept), graph.edges, graph.weight)
        values, duals, finished = relaxed(few, time_limit=end - time.monotonic())
        flow = np.where(kept[tail] & ~kept[head], -half, np.where(kept[head] & ~kept[tail], half, 0))
        flow[kept[tail] & kept[head]] = np.clip(duals, -few.weight[few.arcs.edge] / 2, few.weight[few.arcs.edge] / 2)
        flow, short = lifted(graph, flow, few.cost.replaced(few.moved(duals)).least())
        if not finished or not short.any():
            x = np.zeros(len(kept))
            x[kept] = values
            return x, flow, finished
        near = short.copy()
        near[tail[short[head]]] = near[head[short[tail]]] = True
        # Nothing new but rounding keeps a label short: then the program of all labels has the last word.
        kept = kept | near if (short & ~kept).any() else np.ones(len(kept), bool)


def lifted(graph, flow, level):
    """(flow (q,), short (P,) bool): flows that bring the costs of all labels up to what their nodes pay, as far as
    they go, and the pairs of the sets that stay below.

    flow : (q,) to start from. level : (n,) float64.
    """
    cost, (edge, tail, head) = graph.cost, graph.arcs
    half, flow = graph.weight[edge] / 2, flow.copy()
    above = graph.moved(flow) - level[cost.node]
    above[(above < 0) & (above > -ROUNDING)] = 0.0
    short = np.zeros(len(above), bool)
    for label in np.unique(cost.column[above < 0]):
        own = np.flatnonzero(cost.column == label)
        place = np.empty(len(above), np.int64)
        place[own] = np.arange(len(own))
        arc = np.flatnonzero(cost.column[tail] == label)
        side, push = smallest_side(
            above[own], place[tail[arc]], place[head[arc]],
            forward=(half + flow)[arc], backward=(half - flow)[arc],
        )  # fmt: skip
        flow[arc] = np.clip(flow[arc] - push, -half[arc], half[arc])
        short[own[side]] = True
    # What rounding left below counts as well, so that "none is short" means the bound is reached.
    return flow, short | (graph.moved(flow) < level[cost.node] - SHORT)


def likely(graph):
    """(P,) bool: the NEAR labels of a node that are cheapest where costs are averaged over its surroundings, in ROUNDS
    steps along the edges, and the OWN cheapest by its own cost."""
    cost, (edge, tail, head) = graph.cost, graph.arcs
    p, weight = len(cost.column), graph.weight[edge]
    value = cost.value - cost.least()[cost.node]
    total = np.bincount(tail, weight, p) + np.bincount(head, weight, p) + graph.alone
    lacking, mean = graph.alone * value.max(initial=0.0), value
    for _ in range(ROUNDS):
        moved = np.bincount(tail, weight * mean[head], p) + np.bincount(head, weight * mean[tail], p) + lacking
        mean = np.where(total > 0, (mean + moved / np.where(total > 0, total, 1)) / 2, mean)
    return (rank(cost, mean) < NEAR) | (rank(cost, value) < OWN)


def rank(pairs, value):
    """(P,) int64: 0 for the smallest value of a node, 1 for the next; of equals the first column first."""
    order, found = np.lexsort((value, pairs.node)), np.empty(len(value), np.int64)
    found[order] = np.arange(len(value)) - pairs.first[pairs.node]
    return found
