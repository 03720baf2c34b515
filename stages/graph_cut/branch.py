"""The integer program of one component whose relaxation is fractional, by PuLP and HiGHS's branch and bound."""

import numpy as np
import pulp


def branch_and_bound(cost, edges, weight, *, time_limit):
    """(label (n,) int64 or None, lower bound float) of the multi-way cut of one component.

    cost : Pairs. edges : (m, 2). weight : (m,). time_limit : seconds.
    None: no labelling was found in that time.
    Binary x_uk only for allowed pairs, z_ek >= x_uk - x_vk (see `relax`). Source: LIID, Sec. 5.3 (branch and bound).
    """
    program = pulp.LpProblem("multiway_cut", pulp.LpMinimize)
    allowed = np.split(cost.column, cost.first[1:-1])
    x = {(u, k): pulp.LpVariable(f"x_{u}_{k}", cat="Binary") for u, row in enumerate(allowed) for k in row}
    terms = list(zip(x.values(), cost.value.tolist()))
    for number, (u, v) in enumerate(edges):
        for k in allowed[u]:
            z = pulp.LpVariable(f"z_{number}_{k}", lowBound=0)
            terms.append((z, float(weight[number])))
            program += z >= x[u, k] - x[v, k] if (v, k) in x else z >= x[u, k]
    program.setObjective(pulp.LpAffineExpression(terms))
    for u, row in enumerate(allowed):
        program += pulp.lpSum(x[u, k] for k in row) == 1
    solver = pulp.HiGHS(
        msg=False,
        gapRel=0.0,
        gapAbs=1e-9,
        threads=1,
        timeLimit=max(float(time_limit), 0.0),
        mip_feasibility_tolerance=1e-9,
    )
    program.solve(solver)
    info = program.solverModel.getInfo()
    found = program.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    label = None
    if found:
        label = np.array([max(row, key=lambda k, u=u: x[u, k].value()) for u, row in enumerate(allowed)], np.int64)
    bound = info.mip_dual_bound
    return label, float(bound) if np.isfinite(bound) else -np.inf
