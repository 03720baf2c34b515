"""The multi-way cut solved exactly: proven labels first, then linear programs of components, then branching in those.

solve(prob, allowed, edges, weight) -> Solution
"""

import time

import numpy as np

from stages.graph_cut.branch import branch_and_bound
from stages.graph_cut.collapse import under_best_label
from stages.graph_cut.costs import CostGraph, by_part
from stages.graph_cut.energy import Solution, checked
from stages.graph_cut.expansion import expanded
from stages.graph_cut.few_labels import relaxed_with_few_labels
from stages.graph_cut.persistency import Left, best_for_all, persistency
from stages.graph_cut.relax import relaxed, rounded
from tag2mask.errors import UserError

SOLVERS = ("multiway", "argmax")
CLOSED = 1e-6  # relative gap, of the whole and of every component, up to which a solution is called optimal
ROUNDING = 32 * np.finfo(float).eps  # sums in pairs differ by less, relative to the sum of all p and the energy
PROVEN = 1e-7  # relative gap below which a component counts as solved: the feasibility tolerance of HiGHS
MANY = 5  # labels a node on average, from which a large component is first solved with few of them
GRACE = 10.0  # seconds for all alpha-expansion together once the time limit has struck


def solve(prob, allowed, edges, weight, *, solver="multiway", time_limit=1800.0, batch=20_000):
    """The labelling x of smallest sum_u sum_{k != x_u} p(u, k) + sum_(u,v) w(u, v) [x_u != x_v], with its proof.

    prob : (N, L) float >= 0, rows need not sum to 1; an array, or a scipy sparse one whose stored entries (zeros as
    well) are the allowed labels. allowed : (N, L) bool, at least one per row; None: all, or those that are stored.
    edges : (M, 2) int; parallel ones add up, loops count nothing. weight : (M,) float >= 0. None is modified.
    solver : "multiway", or "argmax" (every node its most probable allowed label, as if there were no edges).
    time_limit : seconds for all of it; what is open then gets a labelling by alpha-expansion, the status "time_limit"
    and the bound proven so far. batch : (node, label) pairs that small components may share in one linear program.
    The p of labels that are not allowed is no part of the energy. Every component is solved and proven by itself, in a
    unit of its own, so none is too small beside the others (Solution says what "optimal" means).
    Raises UserError on input that is no such problem. Source: LIID, Eq. 10 to 13.
    """
    if solver not in SOLVERS:
        raise UserError(f"solver must be {' or '.join(SOLVERS)}, it is {solver}.")
    if np.isnan(time_limit):
        raise UserError("time_limit must be a number of seconds, it is NaN.")
    end = time.monotonic() + time_limit
    problem = checked(prob, allowed, edges, weight)
    whole = CostGraph(problem.cost(), problem.edges, problem.weight)
    part = whole.part
    if solver == "argmax":
        return _solution(problem, problem.argmax(), part, np.full(len(part), np.inf), "argmax")
    graph, unit = whole.in_own_units(problem.prob.value)

    def deadline():
        return time.monotonic() >= end

    left, before = Left(graph), np.inf
    while len(left.nodes) < 0.95 * before:
        before = len(left.nodes)
        for step in (persistency, under_best_label):
            if len(left.nodes) and not deadline():
                step(left, deadline=deadline)
    fixed = 1 - len(left.nodes) / max(len(graph), 1)
    finished = _solve_open(left, end=end, batch=batch)
    status = "optimal" if finished else "time_limit"
    return _solution(problem, left.label, part, unit[part] * left.slack, status, fixed)


def _solution(problem, label, part, slack, status, fixed=0.0):
    """slack : (N,) whose sum over a component is by how much its energy may exceed the smallest, so far as is proven.
    That the smallest is no less than what nodes pay which all take their most probable label is known in any case."""
    paid, alone = problem.given_up(label) + problem.cut(label), problem.given_up(problem.argmax())
    energy, least, p, missing = by_part(part, paid, alone, problem.prob.total(), slack)
    bound = energy - missing - ROUNDING * (p + energy)
    bound = np.minimum(np.maximum(bound, least * (1 - ROUNDING)), energy)
    scale = energy.copy()
    np.maximum.at(scale, part[problem.prob.node], problem.prob.value)
    component_gap = float(np.max((energy - bound) / np.where(scale > 0, scale, 1.0), initial=0.0))
    energy, bound = float(energy.sum()), float(bound.sum())
    gap = (energy - bound) / energy if energy > 0 else 0.0
    if status == "optimal" and max(gap, component_gap) > CLOSED:
        status = "tolerance"
    return Solution(label, energy, bound, status, gap, component_gap, np.bincount(part), fixed)


def _solve_open(left, *, end, batch):
    """Label every open node and add what is not proven to the slack; returns whether all components are solved."""
    finished = True
    for own in _batches(left.graph, batch):
        graph, nodes = left.graph.select(own), left.nodes[own]
        left.label[nodes], gap, proven = _solve_batch(graph, end=end, batch=batch)
        left.slack[nodes[np.unique(graph.part, return_index=True)[1]]] += gap
        finished &= proven
    return finished


def _batches(graph, batch):
    """Masks (n,) bool of whole components: small ones together, up to `batch` pairs, in the order of their numbers."""
    group, filled, number = [], 0, 0
    for size in np.bincount(graph.part, graph.cost.count).tolist():
        number, filled = (number + 1, size) if filled and filled + size > batch else (number, filled + size)
        group.append(number)
    of_node = np.array(group, np.int64)[graph.part]
    for k in range(number + 1 if group else 0):
        yield of_node == k


def _solve_batch(graph, *, end, batch):
    """(label (n,), gap (parts,), whether all are proven) of a few components: their relaxation, then branching in those
    that it left open."""
    large = len(graph.cost.column) > max(batch, MANY * len(graph))
    x, flow, done = (relaxed_with_few_labels if large else relaxed)(graph, time_limit=end - time.monotonic())
    label = rounded(graph, x)
    energy = graph.energies(label, graph.part)
    bound = by_part(graph.part, graph.cost.replaced(graph.moved(flow)).least())[0]
    proven = True
    for k in np.flatnonzero(energy - bound > PROVEN * np.maximum(1.0, np.abs(energy))):
        own = graph.part == k
        component = graph.select(own)
        label[own], lower = _branch(component, label=label[own], bound=bound[k], end=end, relaxed=done)
        energy[k] = component.energy(label[own])
        bound[k] = min(lower, energy[k])
        proven &= bool(energy[k] - bound[k] <= 10 * PROVEN * max(1.0, abs(energy[k])))
    return label, np.maximum(energy - bound, 0.0), proven


def _branch(graph, *, label, bound, end, relaxed):
    """(label, bound) of one component that its relaxation left open: by branching, and for what time does not allow
    (or where already the relaxation was cut short) the better of what is known, improved by alpha-expansion."""
    known, (every, energy) = [label], best_for_all(graph)
    if np.isfinite(energy).all():
        known.append(every)
    if relaxed and time.monotonic() < end:
        found, lower = branch_and_bound(graph, time_limit=end - time.monotonic())
        bound = max(bound, lower)
        known += [] if found is None else [found]
    best = min(known, key=graph.energy)
    if graph.energy(best) - bound <= 10 * PROVEN * max(1.0, abs(graph.energy(best))):
        return best, bound
    until = end + GRACE
    return expanded(best, graph, deadline=lambda: time.monotonic() > until), bound
