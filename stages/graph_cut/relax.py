"""The linear relaxation of the multi-way cut in HiGHS, handed over as matrices, and a bound that is checked here.

    minimise    sum_{u, k in L_u} cost[u, k] x_uk  +  sum_e w_e sum_{k in L_u and L_v} z_ek
    subject to  sum_k x_uk = 1,   z_ek >= x_uk - x_vk,   x, z >= 0                 for e = (u, v)
One side is enough: rows of x sum to 1, so sum_k max(0, x_uk - x_vk) is half the l1 distance of LIID, Eq. 11. For
labels that v may not have, x_vk = 0 and w_e x_uk is part of the cost of x_uk.
Source: LIID, Eq. 11; Calinescu, Karloff, Rabani 2000 (the simplex embedding); design/multiway_cut.md, 4.
"""

import numpy as np
from scipy import sparse


class Program:
    """The relaxation of one sub-problem: its variables, rows and costs.

    cost : Pairs, a variable each. edges : (m, 2) int64. weight : (m,) float64.
    """

    def __init__(self, cost, edges, weight):
        self.cost, self.edges, self.weight = cost, edges, weight
        u, v = edges.T
        from_x, edge = cost.of(u)
        to_x = cost.place(v[edge], cost.column[from_x])
        shared = to_x >= 0
        self.edge, self.from_x, self.to_x = edge[shared], from_x[shared], to_x[shared]
        self.x_cost = cost.value + np.bincount(from_x[~shared], weight[edge[~shared]], len(cost.value))

    def matrix(self):
        """(rows, variables) csc: n rows sum_k x_uk, then one row z - x_u + x_v per z; variables x, then z."""
        n, p, q = len(self.cost), len(self.x_cost), len(self.edge)
        z = np.arange(q)
        rows = np.concatenate([self.cost.node, n + z, n + z, n + z])
        cols = np.concatenate([np.arange(p), p + z, self.from_x, self.to_x])
        values = np.concatenate([np.ones(p + q), -np.ones(q), np.ones(q)])
        return sparse.csc_matrix((values, (rows, cols)), shape=(n + q, p + q))

    def solve(self, *, time_limit):
        """(x (p,), y (q,), finished): primal values of x, duals of the z rows, and whether HiGHS came to its end."""
        import highspy

        n, p, q = len(self.cost), len(self.x_cost), len(self.edge)
        matrix = self.matrix()
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = p + q, n + q
        lp.col_cost_ = np.concatenate([self.x_cost, self.weight[self.edge]])
        lp.col_lower_, lp.col_upper_ = np.zeros(p + q), np.full(p + q, highspy.kHighsInf)
        lp.row_lower_ = np.concatenate([np.ones(n), np.zeros(q)])
        lp.row_upper_ = np.concatenate([np.ones(n), np.full(q, highspy.kHighsInf)])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
        lp.a_matrix_.value_ = matrix.data
        highs = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", 1), ("time_limit", max(float(time_limit), 0.0))):
            highs.setOptionValue(option, value)
        highs.passModel(lp)
        highs.run()
        solution = highs.getSolution()
        finished = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        x = np.array(solution.col_value[:p]) if solution.value_valid else np.zeros(p)
        y = np.array(solution.row_dual[n:]) if solution.dual_valid else np.zeros(q)
        return x, y, finished

    def rounded(self, x):
        """(n,) int64: the label with the largest x_uk; of equals (and where x says nothing) the cheapest."""
        shares = self.cost.replaced(-np.round(x, 6))
        best = shares.value == shares.least()[shares.node]
        return self.cost.replaced(np.where(best, self.cost.value, np.inf)).cheapest()

    def bound_per_node(self, y):
        """(n,) float64 whose sum over a component is below the energy of every labelling of it, whatever y is.

        y : (q,) duals of the z rows, clipped here to [0, w]. With them the z fall out of the Lagrangian and
        what stays is min_k cost[u, k] plus the y of its outgoing and minus those of its incoming rows, node by node.
        """
        y, p = np.clip(y, 0.0, self.weight[self.edge]), len(self.x_cost)
        return self.cost.replaced(self.x_cost + np.bincount(self.from_x, y, p) - np.bincount(self.to_x, y, p)).least()
