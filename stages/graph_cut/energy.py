"""The energy of the multi-way cut, its checked input, and what a solver answers (LIID, Sec. 5.1 and 5.3)."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stages.graph_cut.pairs import Pairs
from tag2mask.errors import UserError


@dataclass(frozen=True)
class Solution:
    """label : (N,) int64 columns of `prob`. energy : of `label`, without the p of labels that are not allowed, which
    every labelling gives up. bound : lower bound of the smallest energy, what sums may lose to rounding taken off. It
    is summed from costs that were moved along edges and checked by our own code; where a component needed branching it
    is HiGHS's, true within the tolerances that branch.py sets.
    (The partition is a maximum: there `bound` is an upper bound of `energy`.)

    status : "optimal" (both gaps at most 1e-6), "tolerance" (every part solved, but to a gap above that: see the
    gaps), "time_limit" (stopped early, see the gaps), "argmax" (edges were not looked at).
    gap : (energy - bound) / energy, in [0, 1], of the whole. component_gap : the largest of any connected component, of
    its own energy less its own bound, relative to its energy or, if more, to the largest p of its nodes: so a component
    of small numbers does not hide behind the others. components : (number,) sizes of the graph's components.
    fixed : share of the nodes whose label was proven before any linear program.
    """

    label: np.ndarray
    energy: float
    bound: float
    status: str
    gap: float
    component_gap: float
    components: np.ndarray
    fixed: float | None = None


@dataclass(frozen=True)
class Problem:
    """prob : Pairs, p of allowed labels. edges : (M, 2) int64, u < v, sorted, each once. weight : (M,) float64 > 0."""

    prob: Pairs
    edges: np.ndarray
    weight: np.ndarray

    def cost(self):
        """Pairs: what a node pays for each of its labels, the p of its other allowed labels (LIID, Eq. 10 and 11)."""
        return self.prob.replaced(self.prob.total()[self.prob.node] - self.prob.value)

    def argmax(self):
        """(N,) int64: the most probable allowed label of every node; of equals the first column."""
        return self.prob.column[self.prob.replaced(-self.prob.value).cheapest()]

    def cut(self, label):
        """(N,) float64: the weight that a labelling cuts, every edge's at the first of its nodes."""
        weight = self.weight * (label[self.edges[:, 0]] != label[self.edges[:, 1]])
        return np.bincount(self.edges[:, 0], weight, len(self.prob))

    def given_up(self, label):
        """(N,) float64: the p of all allowed labels but its own that every node gives up. (A sum, so that a sure node's
        is right to its last digit, which no difference of sums would be.)"""
        value = self.prob.value.copy()
        value[self.prob.place(np.arange(len(self.prob)), label)] = 0.0
        return self.prob.replaced(value).total()


def energy_of(label, prob, edges, weight):
    """sum_u sum_{k != x_u} p(u, k) + sum_(u,v) w(u, v) [x_u != x_v], the cost of the edges that labelling x cuts.

    label : (N,) int columns. prob : (N, L), dense or sparse, 0 (or not stored) for labels that are not allowed: their p
    is no part of the energy. edges : (M, 2) int. weight : (M,). Returns a float.
    Source: LIID, Eq. 10 and 11 at integral x.
    """
    prob = sparse.csr_array(prob, dtype=np.float64)
    given_up = prob.sum() - prob[np.arange(len(label)), label].sum() if len(label) else 0.0
    cut = label[edges[:, 0]] != label[edges[:, 1]]
    return float(given_up + np.asarray(weight, np.float64)[cut].sum())


def checked(prob, allowed, edges, weight):
    """The Problem of four arrays (see `solve.solve`): parallel edges added up, loops and zero weights dropped.

    Raises UserError: shapes that do not fit, NaN or infinite values, negative probabilities or weights, edges that
    leave the graph, a node without an allowed label.
    """
    edges, weight = np.asarray(edges), _real("weight", np.asarray(weight)).astype(np.float64)
    if edges.size == 0:
        edges = edges.reshape(0, 2).astype(np.int64)
    if edges.ndim != 2 or edges.shape[1] != 2 or weight.shape != (len(edges),):
        raise UserError(
            f"edges must be (M, 2) and weight (M,), they are {edges.shape} and {weight.shape}: one weight per edge."
        )
    if not np.issubdtype(edges.dtype, np.integer):
        raise UserError(f"edges must be integers, they are {edges.dtype}.")
    _refuse_values("weight", weight, lambda at: at)
    pairs = _pairs(prob, allowed)
    n = len(pairs)
    if len(edges) and (edges.min() < 0 or edges.max() >= n):
        raise UserError(f"edges name nodes outside 0 to {n - 1}: number the nodes by their rows in prob.")
    u, v = edges.min(1).astype(np.int64), edges.max(1).astype(np.int64)
    kept = (u != v) & (weight > 0)
    u, v, weight = u[kept], v[kept], weight[kept]
    key = u * n + v
    if (key[1:] <= key[:-1]).any():
        key, inverse = np.unique(key, return_inverse=True)
        u, v, weight = key // n, key % n, np.bincount(inverse, weights=weight, minlength=len(key))
    with np.errstate(over="ignore"):
        if not np.isfinite(pairs.value.sum() + weight.sum()):
            raise UserError("prob and weight add up beyond the largest float: give them in a larger unit.")
    return Problem(pairs, np.stack([u, v], 1), weight)


def _pairs(prob, allowed):
    """Pairs of prob and allowed in their dense form or as the stored entries of a sparse array."""
    if sparse.issparse(prob):
        if allowed is not None:
            raise UserError("allowed must be None where prob is sparse: the stored entries are the allowed ones.")
        prob = sparse.csr_array(prob)
        if not prob.has_canonical_format:
            prob = prob.copy()
            prob.sum_duplicates()
        first, column, value = prob.indptr.astype(np.int64), prob.indices.astype(np.int64), prob.data
        value = _real("prob", value).astype(np.float64)
        _refuse_values("prob", value, lambda at: np.searchsorted(first, at, "right") - 1)
    else:
        prob = _real("prob", np.asarray(prob))
        allowed = np.ones(prob.shape, bool) if allowed is None else np.asarray(allowed)
        if prob.ndim != 2 or allowed.shape != prob.shape:
            raise UserError(
                f"prob and allowed must both be (N, L), they are {prob.shape} and {allowed.shape}: give both one shape."
            )
        if allowed.dtype != bool:
            raise UserError(f"allowed must be bool, it is {allowed.dtype}.")
        _refuse_values("prob", prob.ravel(), lambda at: at // prob.shape[1])
        first = np.concatenate([[0], np.cumsum(allowed.sum(1))])
        column, value = np.nonzero(allowed)[1], prob[allowed].astype(np.float64)
    wrong = np.flatnonzero(np.diff(first) == 0)
    if len(wrong):
        raise UserError(f"Node {wrong[0]} has no allowed label ({len(wrong)} such nodes): allow at least one each.")
    return Pairs(first, column, value, prob.shape[1])


def _real(name, values):
    """`values`; UserError where they are no real numbers."""
    if values.dtype.kind not in "fiub":
        raise UserError(f"{name} must be real numbers, it is an array of {values.dtype}.")
    return values


def _refuse_values(name, values, row_of):
    """UserError where a value is not finite or below 0. row_of : the row that a position of `values` stands in."""
    for wrong, what, remedy in (
        (~np.isfinite(values), "NaN or infinite", "make every value finite"),
        (values < 0, "negative", "every value must be at least 0"),
    ):
        if wrong.any():
            raise UserError(f"{name} has {what} values, first in row {row_of(int(wrong.argmax()))}: {remedy}.")
