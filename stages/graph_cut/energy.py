"""The energy of the multi-way cut, its checked input, and what a solver answers (LIID, Sec. 5.1 and 5.3)."""

from dataclasses import dataclass

import numpy as np

from stages.common.errors import UserError


@dataclass(frozen=True)
class Solution:
    """label : (N,) int64 columns of `prob`. energy : of `label`. bound : proven lower bound of the smallest energy.

    status : "optimal" (the gap is closed), "time_limit" (stopped early, see gap), "argmax" (edges were not looked at).
    gap : (energy - bound) / max(energy, 1e-9), not below 0. components : (number,) sizes of the graph's components.
    """

    label: np.ndarray
    energy: float
    bound: float
    status: str
    gap: float
    components: np.ndarray


def energy_of(label, prob, edges, weight):
    """sum_u sum_{k != x_u} p(u, k) + sum_(u,v) w(u, v) [x_u != x_v], the cost of the edges that labelling x cuts.

    label : (N,) int columns. prob : (N, L). edges : (M, 2) int. weight : (M,). Returns a float.
    Source: LIID, Eq. 10 and 11 at integral x.
    """
    prob = np.asarray(prob, np.float64)
    given_up = prob.sum() - prob[np.arange(len(label)), label].sum()
    cut = label[edges[:, 0]] != label[edges[:, 1]]
    return float(given_up + np.asarray(weight, np.float64)[cut].sum())


def argmax_labels(prob, allowed):
    """(N,) int64: the most probable allowed label of every node; of equals the first column."""
    return np.where(allowed, prob, -np.inf).argmax(1) if len(prob) else np.zeros(0, np.int64)


def checked(prob, allowed, edges, weight):
    """The four arrays as float64, bool, int64, float64, parallel edges added up, loops and zero weights dropped.

    Edges come back with u < v, sorted. Raises UserError: shapes that do not fit, NaN or infinite values, negative
    probabilities or weights, edges that leave the graph, a node without an allowed label.
    """
    prob, allowed = np.asarray(prob, np.float64), np.asarray(allowed)
    edges, weight = np.asarray(edges), np.asarray(weight, np.float64)
    if prob.ndim != 2 or allowed.shape != prob.shape:
        raise UserError(
            f"prob and allowed must both be (N, L), they are {prob.shape} and {allowed.shape}: give both one shape."
        )
    if edges.size == 0:
        edges = edges.reshape(0, 2).astype(np.int64)
    if edges.ndim != 2 or edges.shape[1] != 2 or weight.shape != (len(edges),):
        raise UserError(
            f"edges must be (M, 2) and weight (M,), they are {edges.shape} and {weight.shape}: one weight per edge."
        )
    if not np.issubdtype(edges.dtype, np.integer) or allowed.dtype != bool:
        raise UserError(f"edges must be integers and allowed bool, they are {edges.dtype} and {allowed.dtype}.")
    for name, values in (("prob", prob), ("weight", weight[:, None])):
        wrong = np.flatnonzero(~np.isfinite(values).all(1))
        if len(wrong):
            raise UserError(f"{name} has NaN or infinite values, first in row {wrong[0]}: make every value finite.")
        wrong = np.flatnonzero((values < 0).any(1))
        if len(wrong):
            raise UserError(f"{name} has negative values, first in row {wrong[0]}: every value must be at least 0.")
    wrong = np.flatnonzero(~allowed.any(1))
    if len(wrong):
        raise UserError(f"Node {wrong[0]} has no allowed label ({len(wrong)} such nodes): allow at least one each.")
    if len(edges) and (edges.min() < 0 or edges.max() >= len(prob)):
        raise UserError(f"edges name nodes outside 0 to {len(prob) - 1}: number the nodes by their rows in prob.")
    u, v = np.minimum(edges[:, 0], edges[:, 1]).astype(np.int64), np.maximum(edges[:, 0], edges[:, 1])
    kept = (u != v) & (weight > 0)
    key, inverse = np.unique(u[kept] * len(prob) + v[kept], return_inverse=True)
    total = np.bincount(inverse, weights=weight[kept], minlength=len(key))
    return prob, allowed, np.stack([key // max(len(prob), 1), key % max(len(prob), 1)], 1), total
