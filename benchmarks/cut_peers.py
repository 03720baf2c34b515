"""The plain ways to solve a multi-way cut, written without any of the stage's own code: what it is measured against.

Both have variables for allowed (node, label) pairs only and one row z_ek >= x_uk - x_vk per edge and label, cost w
(half the rows of LIID, Eq. 11: rows of x sum to 1, so one side is enough); both end in HiGHS.
"""

import time

import highspy
import numpy as np
import pulp
from scipy import sparse
from scipy.sparse.csgraph import connected_components


def costs(prob):
    """CSR (N, L) of sum_{j != k} p(u, j) for every allowed (stored) label k. prob : such a CSR."""
    count = np.diff(prob.indptr)
    total = np.add.reduceat(prob.data, prob.indptr[:-1])
    return sparse.csr_matrix((np.repeat(total, count) - prob.data, prob.indices, prob.indptr), prob.shape)


def plain_pulp(prob, edges, weight, *, time_limit):
    """(label (N,) int64, energy, whether all is solved): LIID's own procedure, an integer program per component.

    prob : (N, L) CSR whose stored entries are the allowed labels. edges : (M, 2). weight : (M,).
    """
    end, cost = time.monotonic() + time_limit, costs(prob)
    number, part = connected_components(
        sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(len(cost.indptr) - 1,) * 2), directed=False
    )
    nodes, own = (
        np.split(np.argsort(part, kind="stable"), np.cumsum(np.bincount(part))[:-1]),
        [[] for _ in range(number)],
    )
    for edge, w in zip(edges.tolist(), weight.tolist()):
        own[part[edge[0]]].append((*edge, w))
    label = np.zeros(len(part), np.int64)
    for members, inside in zip(nodes, own):
        if time.monotonic() > end:
            return label, np.inf, False
        program = pulp.LpProblem("multiway_cut", pulp.LpMinimize)
        rows = {u: slice(cost.indptr[u], cost.indptr[u + 1]) for u in members.tolist()}
        allowed = {u: cost.indices[row].tolist() for u, row in rows.items()}
        x = {(u, k): pulp.LpVariable(f"x_{u}_{k}", cat="Binary") for u in rows for k in allowed[u]}
        terms = [(x[u, k], c) for u, row in rows.items() for k, c in zip(allowed[u], cost.data[row].tolist())]
        for e, (u, v, w) in enumerate(inside):
            for k in allowed[u]:
                z = pulp.LpVariable(f"z_{e}_{k}", lowBound=0)
                terms.append((z, w))
                program += z >= x[u, k] - x[v, k] if (v, k) in x else z >= x[u, k]
        program.setObjective(pulp.LpAffineExpression(terms))
        for u in rows:
            program += pulp.lpSum(x[u, k] for k in allowed[u]) == 1
        program.solve(pulp.HiGHS(msg=False, threads=1, gapRel=0.0, timeLimit=max(end - time.monotonic(), 0.01)))
        if program.sol_status != pulp.LpSolutionOptimal:
            return label, np.inf, False
        for u in rows:
            label[u] = max(allowed[u], key=lambda k, u=u: x[u, k].value())
    return label, energy(label, cost, edges, weight), True


def matrix_lp(prob, edges, weight, *, time_limit):
    """(label (N,) int64, energy of the relaxation, whether it is solved): one linear program of the whole graph.

    Arguments as of `plain_pulp`. The label is the largest x of each node.
    """
    cost = costs(prob)
    n, p = cost.shape[0], cost.nnz
    variable = sparse.csr_matrix((np.arange(1, p + 1), cost.indices, cost.indptr), cost.shape)
    at_u, at_v = variable[edges[:, 0]], variable[edges[:, 1]]
    edge = np.repeat(np.arange(len(edges)), np.diff(at_u.indptr))
    from_x = at_u.data - 1
    # x_vk where v may have k, else nothing (x_vk = 0)
    to_x = np.asarray(at_v[edge, at_u.indices]).ravel() - 1
    z, has = np.arange(len(edge)), to_x >= 0
    rows = np.concatenate([np.repeat(np.arange(n), np.diff(cost.indptr)), n + z, n + z, (n + z)[has]])
    columns = np.concatenate([np.arange(p), p + z, from_x, to_x[has]])
    values = np.concatenate([np.ones(p + len(z)), -np.ones(len(z)), np.ones(int(has.sum()))])
    matrix = sparse.csc_matrix((values, (rows, columns)), shape=(n + len(z), p + len(z)))
    lp, highs = highspy.HighsLp(), highspy.Highs()
    lp.num_row_, lp.num_col_ = matrix.shape
    lp.col_cost_ = np.concatenate([cost.data, weight[edge]])
    lp.col_lower_, lp.col_upper_ = np.zeros(lp.num_col_), np.full(lp.num_col_, highspy.kHighsInf)
    lp.row_lower_ = np.concatenate([np.ones(n), np.zeros(len(z))])
    lp.row_upper_ = np.concatenate([np.ones(n), np.full(len(z), highspy.kHighsInf)])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    for option, value in (("output_flag", False), ("threads", 1), ("time_limit", float(time_limit))):
        highs.setOptionValue(option, value)
    highs.passModel(lp)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return np.zeros(n, np.int64), np.inf, False
    x = np.array(highs.getSolution().col_value[:p])
    table = sparse.csr_matrix((x + 1, cost.indices, cost.indptr), cost.shape)
    return np.asarray(table.argmax(1)).ravel(), float(highs.getInfo().objective_function_value), True


def energy(label, cost, edges, weight):
    """The cost of the labels plus the weight of the edges they cut, as a float. cost : CSR from `costs`."""
    cut = label[edges[:, 0]] != label[edges[:, 1]]
    return float(np.asarray(cost[np.arange(len(label)), label]).sum() + weight[cut].sum())
