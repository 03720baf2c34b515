"""The multi-way cut solved exactly: persistency, then linear programs of components, then branching where fractional.

solve(prob, allowed, edges, weight) -> Solution
"""

import time

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from stages.graph_cut.branch import branch_and_bound
from stages.graph_cut.energy import Solution, checked
from stages.graph_cut.expansion import expanded
from stages.graph_cut.flow import grid_scale
from stages.graph_cut.persistency import State, persistency
from stages.graph_cut.relax import Program

PROVEN = 1e-7  # relative gap below which a component counts as solved: the feasibility tolerance of HiGHS
GRACE = 10.0  # seconds for all alpha-expansion together once the time limit has struck


def solve(prob, allowed, edges, weight, *, solver="multiway", time_limit=1800.0, batch=20_000):
    """The labelling x of smallest sum_u sum_{k != x_u} p(u, k) + sum_(u,v) w(u, v) [x_u != x_v], with its proof.

    prob : (N, L) float >= 0, rows need not sum to 1; an array, or a scipy sparse one whose stored entries (zeros as
    well) are the allowed labels. allowed : (N, L) bool, at least one per row; None: all, or those that are stored.
    edges : (M, 2) int; parallel ones add up, loops count nothing. weight : (M,) float >= 0. None is modified.
    solver : "multiway", or "argmax" (every node its most probable allowed label, as if there were no edges).
    time_limit : seconds for all of it; what is open then gets a labelling by alpha-expansion, the status "time_limit"
    and the bound proven so far. batch : (node, label) pairs that small components may share in one linear program.
    Raises UserError on input that is no such problem. Source: LIID, Eq. 10 to 13; design/multiway_cut.md.
    """
    problem = checked(prob, allowed, edges, weight)
    n, edges, weight = len(problem.prob), problem.edges, problem.weight
    sizes = np.bincount(connected_parts(n, edges))
    if solver == "argmax":
        first = problem.argmax()
        bound = problem.outside + float(problem.cost().least().sum())
        return _solution(first, problem.energy(first), bound, "argmax", sizes)

    end = time.monotonic() + time_limit

    def deadline():
        return time.monotonic() >= end

    scale = grid_scale(weight)
    grid = np.rint(weight * scale).astype(np.int64)
    state = State(problem.cost(), np.full(n, -1), edges, grid, scale)
    persistency(state, deadline=deadline)
    open_gap, finished = _solve_open(state, end=end, batch=batch)
    energy = problem.energy(state.label)
    # The weights on the grid are what was minimised; they differ from the given ones by at most this in any labelling.
    rounding = float(np.abs(weight - grid / scale).sum())
    bound = energy - open_gap - 2 * rounding
    return _solution(state.label, energy, max(bound, 0.0), "optimal" if finished else "time_limit", sizes)


def connected_parts(n, edges):
    """(n,) int: the number of each node's component, in the order of their first nodes."""
    graph = sparse.csr_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(n, n))
    found = connected_components(graph, directed=False)[1] if n else np.zeros(0, np.int64)
    order = np.unique(found, return_index=True)[1].argsort()
    return order.argsort()[found] if n else found


def _solution(label, energy, bound, status, sizes):
    return Solution(label, energy, bound, status, max(energy - bound, 0.0) / max(abs(energy), 1e-9), sizes)


def _solve_open(state, *, end, batch):
    """Label every open node; returns (sum of the components' gaps, whether all of them are proven)."""
    total_gap, finished = 0.0, True
    for nodes, edges, weight in _batches(state, batch):
        cost = state.cost.select(nodes)
        label, gaps, proven = _solve_batch(cost, edges, weight, end=end)
        state.label[nodes] = label
        total_gap += gaps
        finished &= proven
    return total_gap, finished


def _batches(state, batch):
    """(nodes, edges numbered within them, weight) of the open components, small ones together, first nodes first."""
    nodes = np.flatnonzero(state.label < 0)
    if not len(nodes):
        return
    local = np.full(len(state.label), -1)
    local[nodes] = np.arange(len(nodes))
    edges, weight = local[state.edges], state.grid / state.scale
    part = connected_parts(len(nodes), edges)
    pairs = np.bincount(part, state.cost.count[nodes])
    group = np.zeros(len(pairs), np.int64)  # components in a row share a program until it is full
    filled = 0
    for k, size in enumerate(pairs):
        full = filled and filled + size > batch
        group[k] = group[k - 1] + full if k else 0
        filled = size if full else filled + size
    of_node = group[part]
    node_order, edge_order = of_node.argsort(kind="stable"), of_node[edges[:, 0]].argsort(kind="stable")
    bounds = np.arange(group[-1] + 2)
    node_first = np.searchsorted(of_node[node_order], bounds)
    edge_first = np.searchsorted(of_node[edges[edge_order, 0]], bounds)
    place = np.empty(len(nodes), np.int64)
    for g in range(group[-1] + 1):
        own = node_order[node_first[g] : node_first[g + 1]]
        own_edges = edge_order[edge_first[g] : edge_first[g + 1]]
        place[own] = np.arange(len(own))
        yield nodes[own], place[edges[own_edges]], weight[own_edges]


def _solve_batch(cost, edges, weight, *, end):
    """(label (n,), gap, proven) of a few components: their relaxation, then branching in those that it left open."""
    program = Program(cost, edges, weight)
    x, y, done = program.solve(time_limit=end - time.monotonic())
    part = connected_parts(len(cost), edges)
    label = program.rounded(x)
    energy = _energies(label, cost, edges, weight, part)
    bound = np.bincount(part, program.bound_per_node(y))
    proven = True
    for k in np.flatnonzero(energy - bound > PROVEN * np.maximum(1.0, np.abs(energy))):
        own, inside = np.flatnonzero(part == k), part[edges[:, 0]] == k
        place = np.full(len(cost), -1)
        place[own] = np.arange(len(own))
        problem = cost.select(own), place[edges[inside]], weight[inside]
        label[own], lower = _branch(*problem, label=label[own], bound=bound[k], end=end, relaxed=done)
        energy[k] = _energies(label[own], *problem, np.zeros(len(own), np.int64))[0]
        bound[k] = min(lower, energy[k])
        proven &= bool(energy[k] - bound[k] <= 10 * PROVEN * max(1.0, abs(energy[k])))
    return label, float(np.maximum(energy - bound, 0.0).sum()), proven


def _branch(cost, edges, weight, *, label, bound, end, relaxed):
    """(label, bound) of one component that its relaxation left open: by branching, and for what time does not allow
    (or where already the relaxation was cut short) the better of what is known, improved by alpha-expansion."""
    one = np.zeros(len(cost), np.int64)
    left, known = end - time.monotonic(), [label]
    if relaxed and left > 0:
        found, lower = branch_and_bound(cost, edges, weight, time_limit=left)
        bound = max(bound, lower)
        known += [] if found is None else [found]
    energies = [_energies(x, cost, edges, weight, one)[0] for x in known]
    best = int(np.argmin(energies))
    if energies[best] - bound <= 10 * PROVEN * max(1.0, abs(energies[best])):
        return known[best], bound
    until = end + GRACE
    return expanded(known[best], cost, edges=edges, weight=weight, deadline=lambda: time.monotonic() > until), bound


def _energies(label, cost, edges, weight, part):
    """(parts,) float64: the energy of `label` in each component."""
    cut = weight * (label[edges[:, 0]] != label[edges[:, 1]])
    parts = part.max() + 1
    return np.bincount(part, cost.value[cost.place(np.arange(len(label)), label)], parts) + np.bincount(
        part[edges[:, 0]], cut, parts
    )
