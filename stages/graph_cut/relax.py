"""The linear relaxation of the multi-way cut in HiGHS, handed over as matrices.

    minimise    sum_u sum_{k in L_u} cost[u, k] x_uk  +  sum_(u,v) w/2 sum_{k in L_u and L_v} (more_k + less_k)
    subject to  sum_k x_uk = 1,   x_uk - x_vk = more_k - less_k,   all >= 0
The l1 distance of LIID, Eq. 11, is the sum of `more` and `less`; a label that v may not have costs its w/2 at u. The
dual of a row is the cost of label k that moves from u to v, so the bound of any duals is `CostGraph.moved`.
Written with both signs HiGHS's dual simplex needs a third of the steps of the one-sided form, and no presolve.
Source: LIID, Eq. 11; Calinescu, Karloff, Rabani 2000 (the simplex embedding).
"""

import highspy
import numpy as np
from scipy import sparse


def relaxed(graph, *, time_limit):
    """(x (P,), flow (q,), finished): values of the pairs, duals of the arcs, and whether HiGHS came to its end.

    graph : CostGraph. time_limit : seconds.
    """
    edge, tail, head = graph.arcs
    n, p, q, z = len(graph), len(graph.cost.column), len(edge), np.arange(len(edge))
    cost = graph.moved(np.zeros(q))
    half = graph.weight[edge] / 2
    rows = np.concatenate([graph.cost.node, n + z, n + z, n + z, n + z])
    columns = np.concatenate([np.arange(p), tail, head, p + z, p + q + z])
    one = np.ones(q)
    matrix = sparse.csc_array((np.concatenate([np.ones(p), one, -one, -one, one]), (rows, columns)), (n + q, p + 2 * q))
    lp, highs = highspy.HighsLp(), highspy.Highs()
    lp.num_row_, lp.num_col_ = matrix.shape
    lp.col_cost_ = np.concatenate([cost, half, half])
    lp.col_lower_, lp.col_upper_ = np.zeros(p + 2 * q), np.full(p + 2 * q, highspy.kHighsInf)
    lp.row_lower_ = lp.row_upper_ = np.concatenate([np.ones(n), np.zeros(q)])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    options = dict(output_flag=False, threads=1, presolve="off", solver="simplex", time_limit=max(time_limit, 0.0))
    for option, value in options.items():
        highs.setOptionValue(option, value)
    highs.passModel(lp)
    highs.run()
    solution = highs.getSolution()
    finished = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    x = np.array(solution.col_value[:p]) if solution.value_valid else np.zeros(p)
    flow = np.array(solution.row_dual[n:]) if solution.dual_valid else np.zeros(q)
    return x, flow, finished


def rounded(graph, x):
    """(n,) int64 columns: the label with the largest x_uk; of equals (and where x says nothing) the cheapest."""
    cost, share = graph.cost, np.round(x, 6)
    best = cost.replaced(-share).least()[cost.node] == -share
    return cost.column[cost.replaced(np.where(best, cost.value, np.inf)).cheapest()]
