"""Fan's tag assignment with noisy nodes, for a whole dataset as one program, with its proof.

partition(prob, allowed, edges, weight, beta=30, keep=...) -> Solution
"""

import time

import numpy as np
from scipy import sparse

from stages.graph_cut.costs import connected_parts
from stages.graph_cut.energy import Solution, checked
from stages.graph_cut.partition_program import Bound, Program
from stages.graph_cut.partition_repair import repaired
from stages.graph_cut.solve import solve
from tag2mask.errors import UserError

PROVEN = 1e-9  # relative gap at which no branching is worth while
SMALL = 1e-3  # of the largest reward: components whose rewards are no larger are solved again, by themselves
GRACE = 10.0  # seconds for the repair of a choice once the time limit has struck


def partition(prob, allowed, edges, weight, *, beta=30.0, keep, time_limit=1800.0):
    """The labelling x of largest sum_k x_k' W x_k + beta p_k x_k with exactly `keep` nodes labelled, and its proof.

    prob : (N, L) float >= 0, rows need not sum to 1, column 0 (noise) is not read; an array, or a scipy sparse one
    whose stored entries (zeros as well) are the keywords of a node. allowed : (N, L) bool, the keywords of every node,
    perhaps none; None: all, or those that are stored. A node may always be noise. edges : (M, 2) int, undirected, W is
    symmetric: an edge inside a keyword earns 2 weight, an edge between noisy nodes nothing; parallel ones add up, loops
    count nothing (W_ii = 0). weight : (M,) float >= 0, Fan's cosine + 1. None is modified.
    beta : float >= 0. keep : how many nodes get a keyword, floor(r N); all others are noise.
    time_limit : seconds; then the best labelling found, the status "time_limit" and the bound proven so far.

    Returns a Solution; the program is a maximum, so its energy is the largest objective found, its bound is from above
    and its gap (bound - energy) / max(energy, the largest single reward). label is 0 for noise. component_gap: that of
    the multi-way cut where all are kept; else the count ties the components together, none has a proof of its own, and
    it is the largest gap of the whole and of its components of small rewards, given how many of their nodes are kept.
    Raises UserError on input that is no such problem, or where fewer than `keep` nodes have a keyword.
    keep = the nodes with a keyword is a multi-way cut (Eq. 6 and 7) and is solved as one. For less (Eq. 8): the linear
    relaxation, a choice repaired from it, and branch and bound on the pairs whose use or disuse the bound leaves open;
    then once more the components whose rewards are all small, with the count they got, as the whole's tolerances and
    gap may be more than all of their rewards.
    Source: Fan et al., Sec. 4.2 and 4.3, Eq. 6, 7 (keep = N) and 8.
    """
    if not (np.isfinite(beta) and beta >= 0):
        raise UserError(f"beta must be a finite number of at least 0, it is {beta}.")
    if not time_limit >= 0:
        raise UserError(f"time_limit must be a number of seconds of at least 0, it is {time_limit}.")
    end = time.monotonic() + time_limit
    problem = checked(*_with_noise(prob, allowed), edges, weight)
    n = len(problem.prob)
    program, nodes = _program(problem, beta=beta, keep=keep)
    if keep != int(keep) or not 0 <= keep <= len(nodes):
        raise UserError(
            f"{keep} of {n} nodes shall get a keyword, but {len(nodes)} have one to get: keep must be a whole number "
            "from 0 to that, or the share to retain lower."
        )
    chosen, bound, status, component_gap = _solved(program, labels=problem.prob.labels, end=end)
    label = np.zeros(n, np.int64)
    label[nodes[program.node[chosen]]] = program.column[chosen]
    sizes = np.bincount(connected_parts(n, problem.edges))
    gap = program.gap(chosen, bound)
    return Solution(label, program.value(chosen), bound, status, gap, component_gap, sizes)


def objective_of(label, prob, edges, weight, *, beta=30.0):
    """sum_k x_k' W x_k + beta p_k x_k over the keywords k > 0, what a labelling earns; see `partition`.

    label : (N,) int columns, 0 is noise. prob : (N, L) dense or sparse. Returns a float. Source: Fan et al., Eq. 8.
    """
    prob, kept = sparse.csr_array(prob, dtype=np.float64), np.flatnonzero(label)
    inside = (label[edges[:, 0]] == label[edges[:, 1]]) & (label[edges[:, 0]] > 0) & (edges[:, 0] != edges[:, 1])
    own = prob[kept, label[kept]].sum() if len(kept) else 0.0
    return float(2 * np.asarray(weight, np.float64)[inside].sum() + beta * own)


def _with_noise(prob, allowed):
    """prob and allowed with column 0 allowed for every node."""
    if sparse.issparse(prob):
        prob = sparse.coo_array(prob)
        n, (row, column) = prob.shape[0], prob.coords
        data = np.concatenate([prob.data, np.zeros(n, prob.dtype)])
        at = np.concatenate([row, np.arange(n)]), np.concatenate([column, np.zeros(n, np.int64)])
        return sparse.csr_array((data, at), shape=prob.shape), allowed
    allowed = np.ones(np.shape(prob), bool) if allowed is None else np.array(allowed)
    if allowed.ndim == 2 and allowed.shape[1]:
        allowed[:, 0] = True
    return prob, allowed


def _program(problem, *, beta, keep):
    """(Program of the nodes that have a keyword, (n,) int64 their numbers)."""
    pairs = problem.prob
    at = np.flatnonzero(pairs.column > 0)
    nodes, node = np.unique(pairs.node[at], return_inverse=True)
    tail, edge = pairs.of(problem.edges[:, 0])
    head = pairs.place(problem.edges[edge, 1], pairs.column[tail])
    shared = (pairs.column[tail] > 0) & (head >= 0)
    place = np.full(len(pairs.column), -1)
    place[at] = np.arange(len(at))
    reward = 2 * problem.weight[edge[shared]]
    gain = beta * pairs.value[at]
    return Program(node, pairs.column[at], gain, place[tail[shared]], place[head[shared]], reward, keep), nodes


def _solved(program, *, labels, end):
    """(chosen (P,) bool, bound, status, component_gap) of any program. labels : int, L."""
    if program.keep == 0:
        return np.zeros(len(program.node), bool), 0.0, "optimal", 0.0
    if program.keep == len(program.first):
        return _all_kept(program, labels=labels, end=end)
    chosen, bound, finished = _some_kept(program, end=end)
    bound, status = max(bound, program.value(chosen)), "optimal" if finished else "time_limit"
    component_gap, largest = program.gap(chosen, bound), program.part_largest()
    small = largest <= SMALL * program.largest
    if largest[small].any():
        part = program.restricted(small, keep=int(chosen[small].sum()))
        again, _, own, own_gap = _solved(part, labels=labels, end=end)
        if part.value(again) > part.value(chosen[small]):
            chosen[small] = again
        status, component_gap = own if finished else status, max(component_gap, own_gap)
    return chosen, bound, status, component_gap


def _all_kept(program, *, labels, end):
    """As `_solved` where no node is noise: a multi-way cut, what is not earned being its energy."""
    n, first = program.node[-1] + 1, np.append(program.first, len(program.node))
    gain = sparse.csr_array((program.gain, program.column, first), shape=(n, labels))
    edge, one = np.unique(program.node[program.tail] * n + program.node[program.head], return_index=True)
    edges, weight = np.stack([edge // n, edge % n], 1), program.weight[one]
    cut = solve(gain, None, edges, weight, time_limit=max(end - time.monotonic(), 0.0))
    chosen = cut.label[program.node] == program.column
    bound = max(float(program.gain.sum() + weight.sum() - cut.bound), program.value(chosen))
    return chosen, bound, cut.status, cut.component_gap


def _some_kept(whole, *, end):
    """(chosen, bound, finished) of a program that keeps more than none and fewer than all of its nodes."""
    program, at = whole.without_beaten()
    x, y, _, finished = program.solve(time_limit=end - time.monotonic())
    split = (y, program.weight / 2)  # an interrupted program may have worse ones than half and half
    bound = min((Bound(program, one) for one in split), key=lambda one: one.value)
    chosen = repaired(_rounded(program, x, bound), program, deadline=lambda: time.monotonic() > end + GRACE)
    best, upper = program.value(chosen), bound.value
    if finished and upper - best > PROVEN * max(best, program.largest):
        chosen, upper, finished = _branched(program, bound, chosen, end=end)
    result = np.zeros(len(whole.node), bool)
    result[at[chosen]] = True
    return result, upper, finished


def _rounded(program, x, bound):
    """(P,) bool, one pair of `keep` nodes: those with the largest x, of equals the largest share."""
    order = np.lexsort((-bound.share, -np.round(x, 6), program.node))
    best = order[program.first]
    rank = np.lexsort((-bound.share[best], -np.round(x[best], 6)))
    chosen = np.zeros(len(program.node), bool)
    chosen[best[rank[: program.keep]]] = True
    return chosen


def _branched(program, bound, chosen, *, end):
    """(chosen, upper bound, finished) by branch and bound on what `bound` leaves open.

    A choice worth at least `floor` uses only pairs that the bound admits to it. The floor starts close under the bound,
    where few pairs are open. If it is not reached, it is a better bound, and the next one lies deeper.
    """
    best, upper = program.value(chosen), bound.value
    least = PROVEN * max(best, program.largest)
    depth = (upper - best) / 16
    while True:
        floor, deepest = bound.value - depth, best - least
        found, reached, finished = _best_above(max(floor, deepest), program, bound, chosen, end=end)
        if program.value(found) > best:
            chosen, best = found, program.value(found)
        upper, depth = min(upper, max(reached, floor, best)), 4 * depth
        if not finished or floor <= deepest or upper - best <= least:
            return chosen, upper, finished


def _best_above(floor, program, bound, known, *, end):
    """(chosen, upper bound, finished) of the choices worth at least `floor`; the bound of none is minus infinity."""
    open_pair = bound.with_pair() >= floor
    alone = np.bincount(program.node, open_pair)[program.node] == 1
    sure = open_pair & alone & (bound.without_node() < floor)[program.node]
    core = open_pair & ~sure
    if not core.any():
        return (sure, program.value(sure), True) if sure.sum() == program.keep else (known, -np.inf, True)
    gain = program.gain + program.charge(program.weight * sure[program.head], program.weight * sure[program.tail])
    rest = program.restricted(core, gain=gain, keep=program.keep - int(sure.sum()))
    start = known[core] if (open_pair[known]).all() and known[sure].all() else None
    x, _, upper, finished = rest.solve(time_limit=end - time.monotonic(), integral=True, start=start)
    found = sure.copy()
    found[core] = x > 0.5
    return (
        repaired(found, program, deadline=lambda: time.monotonic() > end + GRACE),
        program.value(sure) + upper,
        finished,
    )
