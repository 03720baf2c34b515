"""The multi-way cut solved exactly: proven labels first, then linear programs of components, then branching in those.

solve(prob, allowed, edges, weight) -> Solution
"""

import time

import numpy as np

from stages.graph_cut.branch import branch_and_bound
from stages.graph_cut.collapse import under_best_label
from stages.graph_cut.costs import CostGraph
from stages.graph_cut.energy import Solution, checked
from stages.graph_cut.expansion import expanded
from stages.graph_cut.few_labels import relaxed_with_few_labels
from stages.graph_cut.persistency import Left, best_for_all, persistency
from stages.graph_cut.relax import relaxed, rounded
from tag2mask.errors import UserError

SOLVERS = ("multiway", "argmax")
CLOSED = 1e-6  # relative gap of a whole solution up to which it is called optimal
ROUNDING = 32 * np.finfo(float).eps  # sums in another order differ by less, relative to the sum of all p and the energy
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
    Raises UserError on input that is no such problem. Source: LIID, Eq. 10 to 13.
    """
    if solver not in SOLVERS:
        raise UserError(f"solver must be {' or '.join(SOLVERS)}, it is {solver}.")
    if np.isnan(time_limit):
        raise UserError("time_limit must be a number of seconds, it is NaN.")
    end = time.monotonic() + time_limit
    problem = checked(prob, allowed, edges, weight)
    # Tolerances are absolute: the largest p is the unit (a power of two, so nothing is rounded).
    unit = 2.0 ** np.ceil(np.log2(problem.prob.value.max(initial=0) or problem.weight.max(initial=0) or 1.0))
    cost = problem.cost()
    graph = CostGraph(cost.replaced(cost.value / unit), problem.edges, problem.weight / unit)
    sizes = np.bincount(graph.part)
    if solver == "argmax":
        label = problem.argmax()
        bound = problem.outside + unit * float(graph.cost.least().sum())
        return _solution(problem, label, bound, "argmax", sizes)

    def deadline():
        return time.monotonic() >= end

    left, before = Left(graph), np.inf
    while len(left.nodes) < 0.95 * before:
        before = len(left.nodes)
        for step in (persistency, under_best_label):
            if len(left.nodes) and not deadline():
                step(left, deadline=deadline)
    fixed = 1 - len(left.nodes) / max(len(graph), 1)
    open_gap, finished = _solve_open(left, end=end, batch=batch)
    bound = problem.energy(left.label) - unit * (open_gap + left.slack)
    return _solution(problem, left.label, bound, "optimal" if finished else "time_limit", sizes, fixed)


def _solution(problem, label, bound, status, sizes, fixed=0.0):
    energy = problem.energy(label)
    bound -= ROUNDING * (problem.outside + problem.prob.value.sum() + energy)
    bound = min(max(bound, 0.0), energy)
    gap = (energy - bound) / energy if energy > 0 else 0.0
    if status == "optimal" and gap > CLOSED:
        status = "tolerance"
    return Solution(label, energy, bound, status, gap, sizes, fixed)


def _solve_open(left, *, end, batch):
    """Label every open node; returns (sum of the components' gaps, whether all of them are proven)."""
    total_gap, finished = 0.0, True
    for own in _batches(left.graph, batch):
        label, gap, proven = _solve_batch(left.graph.select(own), end=end, batch=batch)
        left.label[left.nodes[own]] = label
        total_gap += gap
        finished &= proven
    return total_gap, finished


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
    """(label (n,), gap, proven) of a few components: their relaxation, then branching in those that it left open."""
    large = len(graph.cost.column) > max(batch, MANY * len(graph))
    x, flow, done = (relaxed_with_few_labels if large else relaxed)(graph, time_limit=end - time.monotonic())
    label = rounded(graph, x)
    energy = graph.energies(label, graph.part)
    bound = np.bincount(graph.part, graph.cost.replaced(graph.moved(flow)).least())
    proven = True
    for k in np.flatnonzero(energy - bound > PROVEN * np.maximum(1.0, np.abs(energy))):
        own = graph.part == k
        component = graph.select(own)
        label[own], lower = _branch(component, label=label[own], bound=bound[k], end=end, relaxed=done)
        energy[k] = component.energy(label[own])
        bound[k] = min(lower, energy[k])
        proven &= bool(energy[k] - bound[k] <= 10 * PROVEN * max(1.0, abs(energy[k])))
    return label, float(np.maximum(energy - bound, 0.0).sum()), proven


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
