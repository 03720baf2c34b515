"""The integer program of one component whose relaxation is fractional, by PuLP and HiGHS's branch and bound."""

import numpy as np
import pulp


def reference(graph):
    """(PuLP program, {(node, label): its binary variable}) of a CostGraph, as plain as LIID, Eq. 11 goes.

    x_uk only for allowed pairs; z_ek >= x_uk - x_vk, cost w: rows of x sum to 1, so one side of the distance is enough.
    """
    program, cost = pulp.LpProblem("multiway_cut", pulp.LpMinimize), graph.cost
    x = {(u, k): pulp.LpVariable(f"x_{u}_{k}", cat="Binary") for u, k in zip(cost.node.tolist(), cost.column.tolist())}
    allowed = [row.tolist() for row in np.split(cost.column, cost.first[1:-1])] if len(graph) else []
    terms = list(zip(x.values(), cost.value.tolist()))
    for number, ((u, v), w) in enumerate(zip(graph.edges.tolist(), graph.weight.tolist())):
        for k in allowed[u]:
            z = pulp.LpVariable(f"z_{number}_{k}", lowBound=0)
            terms.append((z, w))
            program += z >= x[u, k] - x[v, k] if (v, k) in x else z >= x[u, k]
    program.setObjective(pulp.LpAffineExpression(terms))
    for u, row in enumerate(allowed):
        program += pulp.lpSum(x[u, k] for k in row) == 1
    return program, x


def branch_and_bound(graph, *, time_limit):
    """(label (n,) int64 or None, lower bound float) of the multi-way cut of one component, a CostGraph.

    time_limit : seconds. None: no labelling was found in that time. Source: LIID, Sec. 5.3 (branch and bound).
    """
    program, x = reference(graph)
    solver = pulp.HiGHS(
        msg=False, gapRel=0.0, gapAbs=1e-9, threads=1, timeLimit=max(time_limit, 0.0), mip_feasibility_tolerance=1e-9
    )
    program.solve(solver)
    bound, label = program.solverModel.getInfo().mip_dual_bound, None
    if program.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        share = graph.cost.replaced(-np.array([variable.value() for variable in x.values()]))
        label = graph.cost.column[share.cheapest()]
    return label, float(bound) if np.isfinite(bound) else -np.inf
