"""Minimum cuts of binary problems by maximum flow, on an integer grid so that nothing is rounded on the way."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

LARGEST = 2**29  # scipy's maximum_flow is int32, and a residual is at most two capacities


def grid_scale(weight):
    """The power of two by which weights are multiplied before they are rounded to integers up to 2^29."""
    heaviest = float(np.max(weight, initial=0.0))
    return float(2.0 ** np.floor(np.log2(LARGEST / heaviest))) if heaviest > 0 else 1.0


def largest_side(unary, tail, head, *, forward, backward):
    """A largest set A of the candidates that minimises sum_{u in A} unary[u] + the capacity of the arcs leaving A.

    unary : (n,) int64. tail, head : (m,) int, each pair once. forward, backward : (m,) int64 in [0, 2^29], cost of
    tail in A and head outside, and the reverse. Returns (n,) bool, and no node where no unary is negative.
    Candidates are the nodes whose cost fits into the integers of scipy's flow, all others stay outside; a value
    below -2^29 counts as -2^29. Both leave the claims of `persistency` true (see there).
    """
    n = len(unary)
    candidate, cost = np.ones(n, bool), np.asarray(unary, np.int64)
    while (cost[candidate] > LARGEST).any():  # arcs to nodes that are left out are paid in any case
        candidate &= cost <= LARGEST
        cost = unary + np.bincount(tail, np.where(candidate[head], 0, forward), n).astype(np.int64)
        cost += np.bincount(head, np.where(candidate[tail], 0, backward), n).astype(np.int64)
    if not (cost[candidate] < 0).any():
        return np.zeros(n, bool)
    cost = np.where(candidate, np.clip(cost, -LARGEST, LARGEST), 0)
    inner = candidate[tail] & candidate[head]
    tail, head, forward, backward = tail[inner], head[inner], forward[inner], backward[inner]
    source, sink, node = n, n + 1, np.arange(n)
    rows = np.concatenate([np.full(n, source), node, tail, head])
    cols = np.concatenate([node, np.full(n, sink), head, tail])
    capacity = np.concatenate([np.maximum(-cost, 0), np.maximum(cost, 0), forward, backward]).astype(np.int32)
    kept = capacity > 0
    graph = sparse.csr_matrix((capacity[kept], (rows[kept], cols[kept])), shape=(n + 2, n + 2))
    residual = (graph - maximum_flow(graph, source, sink).flow).tocsr()
    residual.data[residual.data < 0] = 0
    residual.eliminate_zeros()
    side = np.ones(n + 2, bool)
    side[breadth_first_order(residual.T.tocsr(), sink, return_predecessors=False)] = False
    return side[:n] & candidate
