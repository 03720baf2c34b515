"""Fan's program on the allowed (node, keyword) pairs: what it earns, its linear relaxation, its bound.

    maximise    sum_i gain_i x_i  +  sum_e weight_e min(x_tail, x_head)
    subject to  the pairs of a node sum to at most 1, all pairs to `keep`, x in {0, 1}
An edge joins two pairs of one keyword, so that every keyword has a graph of its own and only "at most one" and the
count tie these graphs together. As min(a, b) = a - max(0, a - b), HiGHS gets one row z_e >= x_tail - x_head an edge,
with the reward in the gain of the tail and the cost weight_e on z_e.
Source: Fan et al., Eq. 8.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from stages.graph_cut.costs import connected_parts


@dataclass(frozen=True)
class Program:
    """node : (P,) int64, rising, every node has a pair. column : (P,) int64 keyword. gain : (P,) float64 >= 0.

    tail, head : (Q,) int64 pairs of two nodes and one keyword. weight : (Q,) float64 > 0. keep : int <= the nodes.
    """

    node: np.ndarray
    column: np.ndarray
    gain: np.ndarray
    tail: np.ndarray
    head: np.ndarray
    weight: np.ndarray
    keep: int

    @cached_property
    def first(self):
        """(n,) int64: the first pair of every node."""
        return np.flatnonzero(np.diff(self.node, prepend=-1))

    @cached_property
    def largest(self):
        """float: the largest gain or weight, what "small" is measured by."""
        return float(max(self.gain.max(initial=0.0), self.weight.max(initial=0.0)))

    def value(self, chosen):
        """What the pairs earn together. chosen : (P,) bool."""
        both = chosen[self.tail] & chosen[self.head]
        return float(self.gain[chosen].sum() + self.weight[both].sum())

    def gap(self, chosen, bound):
        """By how much the bound exceeds what the chosen pairs, (P,) bool, earn together, relative to that or, if more,
        to the largest single reward."""
        value = self.value(chosen)
        return (bound - value) / (max(value, self.largest) or 1.0)

    def part_largest(self):
        """(P,) float64: the largest gain or weight in each pair's component of nodes."""
        part = connected_parts(len(self.first), np.stack([self.node[self.tail], self.node[self.head]], 1))[self.node]
        largest = np.zeros(int(part.max(initial=-1)) + 1)
        np.maximum.at(largest, part, self.gain)
        np.maximum.at(largest, part[self.tail], self.weight)
        return largest[part]

    def charge(self, at_tail, at_head):
        """(P,) float64: sums over edges, what each one gives to its tail and to its head."""
        n = len(self.node)
        return np.bincount(self.tail, at_tail, n) + np.bincount(self.head, at_head, n)

    def shares(self, y):
        """(P,) float64: gains once every edge has split its reward, y to its head and the rest to its tail.

        y : (Q,), clipped here to [0, weight]. No choice of pairs earns more than the sum of its shares: an edge is paid
        when both ends are chosen, while its shares are paid for one end as well.
        """
        y = np.clip(y, 0.0, self.weight)
        return self.gain + self.charge(self.weight - y, y)

    def without_beaten(self):
        """(the same program without pairs that some optimum does not use, their positions here), whatever `keep` is.

        Let t_u be the keyword of largest gain of node u. A node is settled where for each of its other keywords l
        gain(u, t_u) - gain(u, l) is at least the weight of the edges of (u, l) to nodes that are not settled on the
        same t. Moving all settled nodes that are kept to their t keeps the count; an edge that earned before and does
        not after leads from a settled node (u, l) to a node not settled on t_u, so it is in the bill of u, and what u
        gains pays the bill. (Kovtun's argument, without a minimum cut: a kept neighbour is never sure.)
        """
        program, at = self, np.arange(len(self.node))
        while True:
            first, n = program.first, len(program.node)
            best = program.gain == np.maximum.reduceat(program.gain, first)[program.node]
            best &= np.flatnonzero(best)[np.searchsorted(program.node[best], program.node)] == np.arange(n)
            target = program.column[best]
            lead = program.gain[best][program.node] - program.gain
            u, v = program.node[program.tail], program.node[program.head]
            same, settled = target[u] == target[v], np.ones(len(first), bool)
            while True:
                unsafe = [program.weight * ~(same & settled[other]) for other in (v, u)]
                lost = np.unique(program.node[~best & (lead < program.charge(*unsafe))])
                if not settled[lost].any():
                    break
                settled[lost] = False
            kept = best | ~settled[program.node]
            if kept.all():
                return program, at
            program, at = program.restricted(kept), at[kept]

    def restricted(self, kept, *, gain=None, keep=None):
        """The program on some of its pairs, nodes without any left out. kept : (P,) bool. gain, keep : new ones."""
        place = np.cumsum(kept) - 1
        inside = kept[self.tail] & kept[self.head]
        node = np.unique(self.node[kept], return_inverse=True)[1]
        gain = (self.gain if gain is None else gain)[kept]
        tail, head = place[self.tail[inside]], place[self.head[inside]]
        keep = self.keep if keep is None else keep
        return Program(node, self.column[kept], gain, tail, head, self.weight[inside], keep)

    def solve(self, *, time_limit, integral=False, start=None):
        """HiGHS's (x (P,), y (Q,) for `shares`, upper bound, finished) of the relaxation or of the program itself.

        start : (P,) bool, a choice that is known. What HiGHS did not find in time is zeros. The bound is its own:
        infinite for the relaxation (see `Bound`), minus infinity where no choice meets the count.
        """
        import highspy

        p, q, inf = len(self.node), len(self.tail), highspy.kHighsInf
        # HiGHS's tolerances are absolute: the largest coefficient becomes about 32.
        scale = 2.0 ** np.floor(5 - np.log2(self.largest)) if self.largest > 0 else 1.0
        gain, weight = scale * (self.gain + self.charge(self.weight, 0 * self.weight)), scale * self.weight
        lp = highspy.HighsLp()
        matrix, upper = self._matrix()
        rows = len(upper)
        lp.num_col_, lp.num_row_ = p + q, rows
        lp.sense_ = highspy.ObjSense.kMaximize
        lp.col_cost_ = np.concatenate([gain, -weight])
        lp.col_lower_, lp.col_upper_ = np.zeros(p + q), np.concatenate([np.ones(p), np.full(q, inf)])
        lp.row_lower_, lp.row_upper_ = np.full(rows, -inf), upper
        lp.row_lower_[-1] = self.keep
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
        if integral:
            kinds = [highspy.HighsVarType.kInteger] * p + [highspy.HighsVarType.kContinuous] * q
            lp.integrality_ = kinds
        highs = highspy.Highs()
        for option, value in (
            ("output_flag", False), ("threads", 1), ("time_limit", max(float(time_limit), 0.0)),
            ("mip_rel_gap", 0.0), ("mip_abs_gap", 1e-9), ("mip_feasibility_tolerance", 1e-9),
        ):  # fmt: skip
            highs.setOptionValue(option, value)
        if not integral and p > 1000:
            highs.setOptionValue("solver", "ipm")  # with crossover; twice as fast as the simplex at 20,000 nodes
        highs.passModel(lp)
        if start is not None:
            z = start[self.tail] & ~start[self.head]
            solution = highspy.HighsSolution()
            solution.col_value = np.concatenate([start, z]).astype(float).tolist()
            highs.setSolution(solution)
        highs.run()
        status, found = highs.getModelStatus(), highs.getSolution()
        x = np.array(found.col_value[:p]) if found.value_valid else np.zeros(p)
        y = np.array(found.row_dual[rows - 1 - q : rows - 1]) if found.dual_valid else np.zeros(q)
        finished = status in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kInfeasible)
        bound = highs.getInfo().mip_dual_bound / scale if integral else np.inf
        if status == highspy.HighsModelStatus.kInfeasible:
            bound = -np.inf
        return np.nan_to_num(x), np.nan_to_num(y / scale), np.inf if np.isnan(bound) else bound, finished

    def _matrix(self):
        """(csc, upper limits): rows of nodes with several pairs, x_tail - x_head - z, the count; columns x, then z."""
        p, q = len(self.node), len(self.tail)
        many = np.bincount(self.node)[self.node] > 1
        row = np.unique(self.node[many], return_inverse=True)[1]
        m, z = int(row.max(initial=-1)) + 1, np.arange(q)
        rows = np.concatenate([row, m + z, m + z, m + z, np.full(p, m + q)])
        cols = np.concatenate([np.flatnonzero(many), self.tail, self.head, p + z, np.arange(p)])
        values = np.concatenate([np.ones(len(row) + q), -np.ones(2 * q), np.ones(p)])
        upper = np.concatenate([np.ones(m), np.zeros(q), [self.keep]])
        return sparse.csc_matrix((values, (rows, cols)), shape=(m + q + 1, p + q)), upper


class Bound:
    """What a split of the rewards proves: the `keep` largest shares of nodes earn at least as much as any choice.

    program : keeps fewer than its nodes and more than none. y : (Q,), any; see `Program.shares`.
    """

    def __init__(self, program, y):
        self.program, self.share = program, program.shares(y)
        self.of_node = np.maximum.reduceat(self.share, program.first)
        order = np.argsort(-self.of_node, kind="stable")
        self.top = np.zeros(len(order), bool)
        self.top[order[: program.keep]] = True
        self.last, self.next = self.of_node[order[program.keep - 1 : program.keep + 1]]
        self.value = float(self.of_node[self.top].sum())

    def with_pair(self):
        """(P,) float64: an upper bound of the choices that use a pair."""
        instead = np.where(self.top, self.of_node, self.last)
        return self.value - instead[self.program.node] + self.share

    def without_node(self):
        """(n,) float64: an upper bound of the choices that leave a node out."""
        return np.where(self.top, self.value - self.of_node + self.next, self.value)
