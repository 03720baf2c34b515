"""Minimum cuts of binary problems by maximum flow, with the flow itself, from which a proof can be checked."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

LARGEST = 2**29  # of a capacity between nodes: scipy's maximum_flow is int32, and a residual is at most two capacities
MOST = 2**31 - 1  # of a capacity from the source or to the sink, whose reverse is 0


def grid_scale(capacity):
    """The powers of two by which capacities are multiplied before they are rounded to integers up to LARGEST."""
    some = (capacity > 0) & (capacity < np.inf)
    return 2.0 ** np.where(some, np.floor(np.log2(LARGEST / np.where(some, capacity, 1.0))), 0.0)


def smallest_side(unary, tail, head, *, forward, backward, part=None):
    """(side (n,) bool, flow (m,) float64): the smallest set A of all that minimise sum_{u in A} unary[u] + the cost of
    the arcs leaving A, and a maximum flow from tails to heads that shows it.

    unary : (n,) float64, also infinite. tail, head : (m,) int, tail < head, sorted, each pair once.
    forward, backward : (m,) float64 >= 0, cost of tail in A and head outside, and the reverse.
    part : (n,) int, numbers of sets of nodes between which there are no arcs; None: one set.
    Solved on a grid of integers, a part's as fine as its own numbers allow: with that flow, and every arc that leaves A
    full, unary + outflow - inflow is not above 0 at any node of A, but for rounding. Nodes whose unary is beyond the
    grid stay outside.
    """
    n, m = len(unary), len(tail)
    if not (unary < 0).any():
        return np.zeros(n, bool), np.zeros(m)
    part = np.zeros(n, np.int64) if part is None else part
    # No more than the sources give flows through an arc, so heavier ones need not set the grid; it holds each source.
    source, own = np.maximum(-unary, 0.0), part[tail]
    supply = np.bincount(part, source)
    forward, backward = np.minimum(forward, supply[own]), np.minimum(backward, supply[own])
    most = np.zeros(len(supply))
    np.maximum.at(most, part, np.where(source < np.inf, source, 0.0) * (LARGEST / MOST))
    np.maximum.at(most, own, np.maximum(forward, backward))
    scale = grid_scale(most)[part]
    forward, backward = np.rint(forward * scale[tail]), np.rint(backward * scale[tail])
    cost, inside = np.ceil(unary * scale), np.ones(n, bool)
    while (cost[inside] > MOST).any():  # arcs to nodes that stay outside are paid in any case
        inside &= cost <= MOST
        cost = np.ceil(unary * scale) + np.bincount(tail, np.where(inside[head], 0, forward), n)
        cost += np.bincount(head, np.where(inside[tail], 0, backward), n)
    if not inside.all():
        both = inside[tail] & inside[head]
        forward, backward = np.where(both, forward, 0), np.where(both, backward, 0)
    cost = np.where(inside, np.maximum(cost, -MOST), 0).astype(np.int64)

    # Every arc in both directions, rows sorted: the flow then comes back in this very order. A node has one arc more,
    # with the source or to the sink.
    row = np.concatenate([head, tail])
    arc = sparse.csr_array((np.arange(2 * m), (row, np.concatenate([tail, head]))), shape=(n, n))
    inner = np.arange(2 * m) + np.repeat(np.arange(n), np.diff(arc.indptr))
    outer = arc.indptr[1:] + np.arange(n)
    sources, sinks = np.flatnonzero(cost < 0), np.flatnonzero(cost >= 0)
    indices, capacity = np.empty(2 * (m + n), np.int32), np.zeros(2 * (m + n), np.int32)
    indices[inner], capacity[inner] = arc.indices, np.concatenate([backward, forward])[arc.data]
    indices[outer], capacity[outer] = np.where(cost < 0, n, n + 1), np.maximum(cost, 0)
    indices[2 * m + n :] = np.concatenate([sources, sinks])
    capacity[2 * m + n :][: len(sources)] = -cost[sources]
    first = np.concatenate([arc.indptr + np.arange(n + 1), [2 * m + n + len(sources), 2 * (m + n)]]).astype(np.int32)
    graph = sparse.csr_matrix((capacity, indices, first), shape=(n + 2, n + 2))
    graph.has_sorted_indices = True
    pushed = maximum_flow(graph, n, n + 1).flow.data

    left = capacity > pushed
    residual = sparse.csr_matrix(
        (np.ones(int(left.sum()), np.int8), indices[left], np.concatenate([[0], np.cumsum(left)])[first]), graph.shape
    )
    side = np.zeros(n + 2, bool)
    side[breadth_first_order(residual, n, return_predecessors=False)] = True
    flow = np.empty(2 * m)
    flow[arc.data] = pushed[inner]
    return side[:n], flow[m:] / scale[tail]
