"""The multi-way cut: its energy, its proof, its special cases, and what is refused."""

import itertools

import networkx as nx
import numpy as np
import pulp
import pytest
from cut_problems import FRACTIONAL, NO_EDGES, NO_WEIGHT, brute, graph_of, problems
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from stages.graph_cut import cut
from stages.graph_cut import solve as solve_module
from stages.graph_cut.branch import reference
from stages.graph_cut.config import Config
from stages.graph_cut.energy import checked, energy_of
from stages.graph_cut.network import network
from stages.graph_cut.relax import relaxed
from stages.graph_cut.solve import solve
from tag2mask.errors import UserError


def assert_solved(problem, **options):
    solution = solve(**problem, **options)
    least = brute(**problem)
    assert solution.status == "optimal" and solution.gap < 1e-6
    assert problem["allowed"][np.arange(len(solution.label)), solution.label].all()
    assert solution.energy == pytest.approx(least, abs=1e-6) and solution.bound <= least + 1e-9
    known = np.where(problem["allowed"], problem["prob"], 0)
    own = energy_of(solution.label, known, problem["edges"], problem["weight"])
    assert solution.energy == pytest.approx(own, abs=1e-9)
    return solution


@settings(max_examples=400, deadline=None, derandomize=True)
@given(problems(), st.sampled_from([1, 20_000]))
def test_agrees_with_brute_force(problem, batch):
    assert_solved(problem, batch=batch)


def test_two_labels_agree_with_networkx():
    """With two terminals the multi-way cut is the minimum cut between them (LIID, Sec. 5.1)."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        n = 8
        edges = np.array([p for p in itertools.combinations(range(n), 2) if rng.random() < 0.3]).reshape(-1, 2)
        problem = dict(
            prob=rng.random((n, 2)), allowed=np.ones((n, 2), bool), edges=edges, weight=rng.random(len(edges))
        )
        value, _ = nx.minimum_cut(network(checked(**problem)), ("label", 0), ("label", 1), capacity="weight")
        assert solve(**problem).energy == pytest.approx(value)


def test_agrees_with_the_reference_formulation():
    rng = np.random.default_rng(6)
    for _ in range(15):
        n, k, m = 12, 4, 24
        allowed = rng.random((n, k)) < 0.6
        allowed[:, 0] = True
        problem = dict(prob=rng.random((n, k)), allowed=allowed, edges=rng.integers(0, n, (m, 2)), weight=rng.random(m))
        graph, _ = graph_of(problem)
        program, _ = reference(graph)
        program.solve(pulp.HiGHS(msg=False, gapRel=0.0))
        assert solve(**problem).energy == pytest.approx(pulp.value(program.objective), abs=1e-6)


def test_fractional_relaxation_is_branched(monkeypatch):
    calls = []
    branch = solve_module.branch_and_bound
    monkeypatch.setattr(solve_module, "branch_and_bound", lambda *a, **k: calls.append(1) or branch(*a, **k))
    graph, _ = graph_of(FRACTIONAL)
    x, flow, _ = relaxed(graph, time_limit=10)
    assert sorted(set(np.round(x, 6))) == [0, 0.5]  # the pinned instance: 3 x 0.5 + 3 x 0.5 x 0.7
    assert graph.cost.replaced(graph.moved(flow)).least().sum() == pytest.approx(2.55, abs=1e-6)
    solution = assert_solved(FRACTIONAL)
    assert solution.energy == pytest.approx(2.9) and calls == [1]  # 3 x 0.5, two edges cut; all background costs 3


def test_agrees_with_plain_pulp_on_a_grid():
    rng = np.random.default_rng(3)
    graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(8, 8))
    edges, n, labels = np.array(graph.edges), 64, 4
    prob, weight = rng.dirichlet(np.ones(labels), n), rng.random(len(edges)) * 0.3
    program = pulp.LpProblem("plain", pulp.LpMinimize)
    x = pulp.LpVariable.dicts("x", (range(n), range(labels)), cat="Binary")
    z = pulp.LpVariable.dicts("z", (range(len(edges)), range(labels)), lowBound=0)
    program += pulp.lpSum((1 - prob[u, k]) * x[u][k] for u in range(n) for k in range(labels)) + pulp.lpSum(
        weight[e] / 2 * z[e][k] for e in range(len(edges)) for k in range(labels)
    )
    for u in range(n):
        program += pulp.lpSum(x[u].values()) == 1
    for e, (u, v) in enumerate(edges):
        for k in range(labels):
            program += z[e][k] >= x[u][k] - x[v][k]
            program += z[e][k] >= x[v][k] - x[u][k]
    program.solve(pulp.HiGHS(msg=False, gapRel=0.0))
    solution = solve(prob, np.ones((n, labels), bool), edges, weight)
    assert solution.status == "optimal"
    assert solution.energy == pytest.approx(pulp.value(program.objective), abs=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems())
def test_sparse_labels_give_what_dense_ones_give(problem):
    """The stored entries are the allowed labels, zeros among them; p outside them counts nowhere."""
    prob, allowed, edges, weight = problem.values()
    node, column = np.nonzero(allowed)
    stored = sparse.csr_array((prob[allowed], (node, column)), shape=prob.shape)
    dense, thin = solve(prob, allowed, edges, weight), solve(stored, None, edges, weight)
    assert thin.label.tolist() == dense.label.tolist() and thin.status == dense.status
    assert (thin.energy, thin.bound, thin.gap) == (dense.energy, dense.bound, dense.gap)


def test_energy_by_hand():
    """LIID Eq. 10, 11 on two proposals: p given up, plus delta |cosine| where their labels differ."""
    prob, edges = np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([[0, 1]])
    weight = cut.edge_weight([-0.1], Config())
    assert weight == pytest.approx([0.5])
    assert energy_of(np.array([1, 0]), prob, edges, weight) == pytest.approx(0.2 + 0.3 + 0.5)
    assert energy_of(np.array([1, 1]), prob, edges, weight) == pytest.approx(0.2 + 0.7)
    solution = solve(prob, np.ones((2, 2), bool), edges, weight)
    assert solution.label.tolist() == [1, 1] and solution.energy == pytest.approx(0.9)
    apart = solve(prob, np.ones((2, 2), bool), edges, cut.edge_weight([-0.1], Config(delta=3)))
    assert apart.label.tolist() == [1, 0] and apart.energy == pytest.approx(0.8)


def test_isolated_nodes_single_labels_ties_and_the_empty_graph():
    prob = np.array([[0.5, 0.5], [0.1, 0.9], [0.9, 0.1]])
    allowed = np.array([[1, 1], [1, 0], [0, 1]], bool)
    solution = solve(prob, allowed, NO_EDGES, NO_WEIGHT)
    assert solution.label.tolist() == [0, 0, 1] and solution.status == "optimal" and solution.gap < 1e-9
    pulled = solve(prob, allowed, np.array([[1, 0], [0, 2], [0, 2], [2, 2]]), np.array([1.0, 0.7, 0.7, 9.0]))
    assert pulled.label.tolist() == [1, 0, 1]  # parallel edges add up to 1.4, the loop counts nothing
    assert pulled.energy == pytest.approx(0.5 + 1.0)  # nodes 1 and 2 have one label and nothing to give up
    empty = solve(np.zeros((0, 3)), np.zeros((0, 3), bool), NO_EDGES, NO_WEIGHT)
    assert len(empty.label) == 0 and (empty.energy, empty.bound, empty.status) == (0, 0, "optimal")


def test_argmax_looks_at_no_edge_but_reports_their_cost():
    prob = np.array([[0.4, 0.6], [0.9, 0.1]])
    solution = solve(prob, np.ones((2, 2), bool), np.array([[0, 1]]), np.array([5.0]), solver="argmax")
    assert solution.label.tolist() == [1, 0] and solution.status == "argmax"
    assert solution.energy == pytest.approx(5.5) and solution.bound == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(prob=np.array([[np.nan, 1], [1, 0]])), "prob has NaN"),
        (dict(prob=np.array([[-0.1, 1], [1, 0]])), "prob has negative"),
        (dict(weight=np.array([-1.0])), "weight has negative"),
        (dict(weight=np.array([np.inf])), "weight has NaN or infinite"),
        (dict(weight=np.ones(2)), "one weight per edge"),
        (dict(edges=np.array([[0, 2]])), "outside 0 to 1"),
        (dict(edges=np.array([[0.0, 1.0]])), "edges must be integers"),
        (dict(allowed=np.array([[True, True], [False, False]])), "Node 1 has no allowed label"),
        (dict(allowed=np.ones((2, 3), bool)), "must both be"),
    ],
)
def test_what_is_no_problem_is_refused(change, words):
    fine = dict(prob=np.full((2, 2), 0.5), allowed=np.ones((2, 2), bool), edges=np.array([[0, 1]]), weight=np.ones(1))
    with pytest.raises(UserError, match=words):
        solve(**{**fine, **change})


def test_optimal_is_said_of_a_closed_gap_alone(monkeypatch):
    """With no gap allowed, what rounding may lose (32 ulp of 0.9 + 0.1 + 0.2 + 0.8 and the energy 0.4) is too much."""
    prob, edges = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0, 1]])
    solution = solve(prob, None, edges, np.array([0.1]))
    assert solution.status == "optimal" and solution.energy == pytest.approx(0.4)
    assert solution.bound < solution.energy and solution.energy - solution.bound == pytest.approx(2.4 * 32 * 2**-52)
    monkeypatch.setattr("stages.graph_cut.solve.CLOSED", 0.0)
    assert solve(prob, None, edges, np.array([0.1])).status == "tolerance"


@pytest.mark.parametrize("stop", ["at once", "in the tree"])
def test_a_time_limit_is_never_silent(stop, monkeypatch):
    """No time at all, or none for branching: a full labelling, a true bound, the gap, and the status that says so."""
    if stop == "in the tree":
        monkeypatch.setattr(solve_module, "branch_and_bound", lambda *a, **k: (None, -np.inf))
        solution = solve(**FRACTIONAL)
        assert solution.energy == pytest.approx(2.9) and solution.bound == pytest.approx(2.55)
    else:
        solution = solve(**FRACTIONAL, time_limit=0.0)
        assert solution.bound <= 2.9 <= solution.energy
    assert solution.status == "time_limit" and solution.gap > 0.1
    assert solution.gap == pytest.approx((solution.energy - solution.bound) / solution.energy)
