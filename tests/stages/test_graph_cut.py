"""The multi-way cut: its energy, its proof, its special cases, and the stage around it."""

import itertools
import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pulp
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from stages.common.errors import UserError
from stages.common.index import Index
from stages.common.instances import InstancesBuilder
from stages.common.job import Job
from stages.common.tables import Table
from stages.graph_cut import __main__ as main_module
from stages.graph_cut import cut, few_labels, run
from stages.graph_cut import solve as solve_module
from stages.graph_cut.branch import reference
from stages.graph_cut.collapse import under_best_label
from stages.graph_cut.config import Config
from stages.graph_cut.costs import CostGraph
from stages.graph_cut.energy import checked, energy_of
from stages.graph_cut.expansion import expanded
from stages.graph_cut.flow import smallest_side
from stages.graph_cut.network import network
from stages.graph_cut.pairs import Pairs
from stages.graph_cut.persistency import Left, persistency
from stages.graph_cut.relax import relaxed
from stages.graph_cut.solve import solve

NO_EDGES, NO_WEIGHT = np.zeros((0, 2), np.int64), np.zeros(0)
# Three photos with tags {1, 2}, {2, 3}, {1, 3}, all alike: half-and-half labellings cut half of every edge.
FRACTIONAL = dict(
    prob=np.array([[0, 0.5, 0.5, 0], [0, 0, 0.5, 0.5], [0, 0.5, 0, 0.5]]),
    allowed=np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1]], bool),
    edges=np.array([[0, 1], [1, 2], [0, 2]]),
    weight=np.full(3, 0.7),
)


def brute(prob, allowed, edges, weight):
    choices = [np.flatnonzero(row) for row in allowed]
    return min(energy_of(np.array(x, np.int64), prob, edges, weight) for x in itertools.product(*choices))


def assert_solved(problem, **options):
    solution = solve(**problem, **options)
    least = brute(**problem)
    assert solution.status == "optimal" and solution.gap < 1e-6
    assert problem["allowed"][np.arange(len(solution.label)), solution.label].all()
    assert solution.energy == pytest.approx(least, abs=1e-6) and solution.bound <= least + 1e-9
    assert solution.energy == pytest.approx(energy_of(solution.label, *without(problem, "allowed")), abs=1e-9)
    return solution


def without(problem, name):
    return [value for key, value in problem.items() if key != name]


@st.composite
def problems(draw):
    """Small graphs; a third with small whole numbers (ties), a third with few labels a node (fractional ones)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind, n, labels, m = draw(st.integers(0, 2)), rng.integers(1, 8), rng.integers(1, 5), rng.integers(0, 13)
    prob = rng.random((n, labels)) if kind == 0 else rng.integers(0, 3, (n, labels)) * 0.5
    allowed = rng.random((n, labels)) < 0.6
    allowed[np.arange(n), rng.integers(0, labels, n)] = True
    if kind == 2:
        prob = np.where(allowed, 0.5, 0) + rng.integers(0, 2, (n, labels)) * 0.1
    weight = rng.random(m) * rng.choice([0.1, 0.5, 5]) if kind == 0 else rng.integers(0, 3, m) * 0.5
    return dict(prob=prob, allowed=allowed, edges=rng.integers(0, n, (m, 2)), weight=weight)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(problems(), st.sampled_from([1, 20_000]))
def test_agrees_with_brute_force(problem, batch):
    assert_solved(problem, batch=batch)


def graph_of(problem):
    neat = checked(**problem)
    return CostGraph(neat.cost(), neat.edges, neat.weight), neat


@settings(max_examples=300, deadline=None, derandomize=True)
@given(problems(), st.sampled_from([(persistency,), (under_best_label,), (persistency, under_best_label)]))
def test_proven_labels_belong_to_an_optimum(problem, steps):
    graph, neat = graph_of(problem)
    left = Left(graph)
    for step in steps:
        if len(left.nodes):
            step(left, deadline=lambda: False)
    fixed = (left.label < 0)[:, None] | (np.arange(neat.prob.labels) == left.label[:, None])
    fixed &= problem["allowed"]
    assert brute(**{**problem, "allowed": fixed}) == pytest.approx(brute(**problem), abs=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems())
def test_any_duals_give_a_lower_bound(problem):
    graph, neat = graph_of(problem)
    flow = np.random.default_rng(0).normal(size=len(graph.arcs.edge))
    bound = graph.cost.replaced(graph.moved(flow)).least().sum()
    assert bound + neat.outside <= brute(**problem) + 1e-9


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems())
def test_expansion_never_raises_the_energy(problem):
    graph, neat = graph_of(problem)
    start = neat.argmax()
    end = expanded(start, graph, deadline=lambda: False)
    assert problem["allowed"][np.arange(len(end)), end].all()
    assert neat.energy(end) <= neat.energy(start) + 1e-9
    # Potts energies: at most twice the optimum in the edges' part (Boykov, Veksler, Zabih)
    assert neat.energy(end) <= 2 * brute(**problem) + 1e-9


def test_smallest_cut_agrees_with_networkx():
    rng = np.random.default_rng(1)
    for _ in range(30):
        n = 6
        pairs = np.array([p for p in itertools.combinations(range(n), 2) if rng.random() < 0.5]).reshape(-1, 2)
        unary = rng.integers(-5, 6, n)
        forward, backward = rng.integers(0, 4, len(pairs)), rng.integers(0, 4, len(pairs))
        graph = nx.DiGraph()
        graph.add_nodes_from(["s", "t", *range(n)])
        for u, value in enumerate(unary):
            graph.add_edge(*(("s", u) if value < 0 else (u, "t")), capacity=abs(int(value)))
        for (u, v), f, b in zip(pairs.tolist(), forward, backward):
            graph.add_edge(u, v, capacity=int(f))
            graph.add_edge(v, u, capacity=int(b))
        least = nx.minimum_cut_value(graph, "s", "t") + unary[unary < 0].sum()
        side, _ = smallest_side(unary, *pairs.T, forward=forward, backward=backward)
        u_in, v_in = side[pairs[:, 0]], side[pairs[:, 1]]
        assert unary[side].sum() + forward[u_in & ~v_in].sum() + backward[v_in & ~u_in].sum() == least


@pytest.mark.parametrize("seed", range(8))
def test_few_labels_first_end_at_the_relaxation_of_all(seed, monkeypatch):
    """One likely label a node is too few: what the flows find short joins, until the duals hold for every label."""
    rng, n, k = np.random.default_rng(seed), 60, 8
    edges = rng.integers(0, n, (110, 2))
    problem = dict(prob=rng.random((n, k)), allowed=rng.random((n, k)) < 0.9, edges=edges, weight=rng.random(110))
    problem["allowed"][:, 0] = True
    graph, _ = graph_of(problem)
    monkeypatch.setattr(few_labels, "NEAR", 1)
    programs = []
    monkeypatch.setattr(few_labels, "relaxed", lambda g, **k: programs.append(len(g.cost.column)) or relaxed(g, **k))
    x, flow, finished = few_labels.relaxed_with_few_labels(graph, time_limit=60)
    _, every, _ = relaxed(graph, time_limit=60)
    bounds = [graph.cost.replaced(graph.moved(f)).least().sum() for f in (flow, every)]
    assert finished and bounds[0] == pytest.approx(bounds[1], abs=1e-6)
    assert len(programs) > 1 and programs[0] < programs[-1] < len(graph.cost.column)
    assert graph.cost.replaced(x).total() == pytest.approx(np.ones(n))


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
        graph, neat = graph_of(problem)
        program, _ = reference(graph)
        program.solve(pulp.HiGHS(msg=False, gapRel=0.0))
        assert solve(**problem).energy == pytest.approx(pulp.value(program.objective) + neat.outside, abs=1e-6)


def test_labels_beyond_one_word_are_found():
    """130 labels: bits 0, 63, 64, 127, 128 of a node's three words and their places."""
    own = [[0, 63, 64, 127, 128], [64], [1, 129]]
    first = np.cumsum([0, *map(len, own)])
    pairs = Pairs(first, np.concatenate(own), np.zeros(8), 130)
    node, column = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 63, 64, 127, 128, 63, 64, 129, 128])
    assert pairs.place(node, column).tolist() == [0, 1, 2, 3, 4, -1, 5, 7, -1]


def test_a_component_that_collapses_is_proven_without_a_linear_program(monkeypatch):
    """A ring of heavy edges: each node alone wants a label of its own, together they are cheapest as label 0, and
    no single cut against all the rest shows it (each of those may take its cheapest label for nothing)."""
    n = 9
    prob = np.full((n, 4), 0.1)
    prob[:, 0] = 0.4
    prob[np.arange(n), 1 + np.arange(n) % 3] = 0.6
    edges = np.stack([np.arange(n), (np.arange(n) + 1) % n], 1)
    problem = dict(prob=prob, allowed=np.ones((n, 4), bool), edges=edges, weight=np.full(n, 1.5))
    monkeypatch.setattr(solve_module, "relaxed", None)
    solution = solve(**problem)
    # 9 (0.1 + 0.1 + 0.6) with label 0; any other labelling cuts two edges at least or gives up 0.4 nine times
    assert solution.label.tolist() == [0] * n and solution.energy == pytest.approx(9 * 0.8) and solution.fixed == 1.0
    left = Left(graph_of(problem)[0])
    persistency(left, deadline=lambda: False)
    assert len(left.nodes) == n  # 9 x 0.2 = 1.8 is more than the lightest edge: neither rule of `persistency` holds


def test_costs_beyond_the_integers_of_the_flow_leave_the_node_out():
    """Node 1 would have to pay 9 and more; node 0 pays the arc to it and still gains 1, node 2 would not."""
    side, _ = smallest_side(
        np.array([-3.0, 9.0, -2.0]), np.array([0, 1]), np.array([1, 2]),
        forward=np.array([2.0, 0.0]), backward=np.array([0.0, 2.0]),
    )  # fmt: skip
    assert side.tolist() == [True, False, False]


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
    """The stored entries are the allowed labels, zeros among them; p outside them is a constant of the dense form."""
    prob, allowed, edges, weight = problem.values()
    node, column = np.nonzero(allowed)
    stored = sparse.csr_array((prob[allowed], (node, column)), shape=prob.shape)
    dense, thin = solve(prob, allowed, edges, weight), solve(stored, None, edges, weight)
    assert thin.label.tolist() == dense.label.tolist() and thin.status == dense.status
    assert thin.energy + prob[~allowed].sum() == pytest.approx(dense.energy)
    assert thin.bound + prob[~allowed].sum() == pytest.approx(dense.bound)


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


def test_terminal_edges_of_the_released_code():
    """A row of five: of the four largest p only those above the floor stay; a sure row keeps its largest alone."""
    prob = sparse.csr_array(np.array([[0.3, 0.25, 0.25, 0.15, 0.05], [0.95, 0.05, 1e-5, 2e-4, 3e-4]]))
    code = cut.with_terminals(prob, most=4, floor=1e-4, sure=0.9)
    assert code.toarray().tolist() == [[0.3, 0.25, 0.25, 0.15, 0], [0.95, 0, 0, 0, 0]] and code.nnz == 10
    assert cut.with_terminals(prob, floor=1e-4).toarray()[1].tolist() == [0.95, 0.05, 0, 2e-4, 3e-4]
    assert cut.with_terminals(prob, most=2).toarray()[0].tolist() == [0.3, 0.25, 0, 0, 0]
    assert cut.with_terminals(prob) is prob


def test_isolated_nodes_single_labels_ties_and_the_empty_graph():
    prob = np.array([[0.5, 0.5], [0.1, 0.9], [0.9, 0.1]])
    allowed = np.array([[1, 1], [1, 0], [0, 1]], bool)
    solution = solve(prob, allowed, NO_EDGES, NO_WEIGHT)
    assert solution.label.tolist() == [0, 0, 1] and solution.status == "optimal" and solution.gap < 1e-9
    pulled = solve(prob, allowed, np.array([[1, 0], [0, 2], [0, 2], [2, 2]]), np.array([1.0, 0.7, 0.7, 9.0]))
    assert pulled.label.tolist() == [1, 0, 1]  # parallel edges add up to 1.4, the loop counts nothing
    assert pulled.energy == pytest.approx(0.5 + 0.9 + 0.9 + 1.0)
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
    """With no gap allowed, what rounding may lose (32 ulp of 0.9 + 0.1 + 0.8 + 0.2 and the energy 0.3) is too much."""
    prob, edges = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([[0, 1]])
    solution = solve(prob, None, edges, np.array([0.5]))
    assert solution.status == "optimal" and solution.energy == pytest.approx(0.3)
    assert solution.bound < solution.energy and solution.energy - solution.bound == pytest.approx(2.3 * 32 * 2**-52)
    monkeypatch.setattr("stages.graph_cut.solve.CLOSED", 0.0)
    assert solve(prob, None, edges, np.array([0.5])).status == "tolerance"


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


def stores(folder, *, cosine):
    """Two photos of two shards with tags {5} and {5, 9}, two proposals each of which the first is kept; both linked."""
    categories = {5: "cat", 9: "dog"}
    index = Index.build(
        folder, categories, image_id=["a", "b"], path=["a.jpg", "b.jpg"], size=[[4, 6], [4, 6]],
        tags=[(5,), (5, 9)], train=[True, True], shards=2,
    )  # fmt: skip
    index.save(folder / "index.zarr.zip")
    p = [[[0.6, 0.4, 0.0]], [[0.2, 0.5, 0.3]]]
    for shard, name in enumerate("ab"):
        builder = InstancesBuilder(categories)
        masks = np.zeros((2, 4, 6), bool)
        masks[0, :2, :3], masks[1, 2:, 3:] = True, True
        builder.add(name, (4, 6), masks, category=0, score=[1.0, 0.5])
        builder.finish().save(folder / f"proposals{shard}.zarr.zip")
        arrays = dict(
            image_id=np.array([name]), first=np.array([0, 1]), row=np.array([shard]),
            p=np.array(p[shard], np.float32), f=np.ones((1, 2), np.float16),
        )  # fmt: skip
        Table("mil/1", arrays, {"labels": [0, 5, 9]}).save(folder / f"mil{shard}.zarr.zip")
    arrays = dict(edge=np.array([[0, 1]]), cosine=np.array([cosine], np.float32))
    Table("graph/1", arrays, {"nodes": 2}).save(folder / "edges.zarr.zip")
    return SimpleNamespace(
        index=folder / "index.zarr.zip", edges=folder / "edges.zarr.zip",
        mil=[folder / f"mil{k}.zarr.zip" for k in (0, 1)],
        proposals=[folder / f"proposals{k}.zarr.zip" for k in (0, 1)],
    )  # fmt: skip


def test_stage_gives_the_labelled_proposals(tmp_path):
    job = Job()
    made = run(stores(tmp_path, cosine=-1.0), Config(), job)
    instances, labels = made["instances"], made["labels"]
    assert labels["label"].tolist() == [5, 5] and labels.meta["status"] == "optimal"
    assert labels.meta["energy"] == pytest.approx(0.6 + 0.5)  # both background would cost 0.4 + 0.8
    assert instances.image_id == ["a", "b"] and instances.first.tolist() == [0, 1, 2]
    assert instances.category.tolist() == [5, 5] and instances.id.tolist() == [1, 2]
    assert instances.score == pytest.approx([0.4, 0.5])
    assert instances.bbox.tolist() == [[0, 0, 3, 2], [3, 2, 3, 2]]  # row 0 of the first store, row 1 of the second
    assert job.numbers["changed_by_cut"] == 0.5 and job.numbers["component_sizes"] == [[2, 3, 1]]
    assert job.numbers["label_share"] == {"cat": 1.0}
    assert len(job.warnings) == 1 and "label cat to 100.0 %" in job.warnings[0]


def test_stage_without_edges_is_the_argmax(tmp_path):
    inputs, job = stores(tmp_path, cosine=1.0), Job()
    del inputs.edges
    made = run(inputs, Config(solver="argmax"), job)
    assert made["labels"]["label"].tolist() == [0, 5] and made["labels"].meta["status"] == "argmax"
    assert made["instances"].first.tolist() == [0, 0, 1] and job.warnings == []


def test_stage_small_delta_follows_p(tmp_path):
    made = run(stores(tmp_path, cosine=1.0), Config(delta=0.1), Job())
    assert made["labels"]["label"].tolist() == [0, 5]


def test_stage_warns_at_the_time_limit(tmp_path):
    job = Job()
    run(stores(tmp_path, cosine=1.0), Config(time_limit=1e-9), job)
    assert job.numbers["status"] == "time_limit" and "time_limit of 1e-09 s" in job.warnings[0]


def test_labels_all_allows_what_no_tag_names(tmp_path):
    inputs = stores(tmp_path, cosine=1.0)
    index, table = Index.load(inputs.index), Table.load(inputs.mil[0], "mil/1")
    own = cut.allowed_pairs(table, index, np.array([0, 5, 9]), "tags")
    assert own.indices.tolist() == [0, 1] and own.data == pytest.approx([0.6, 0.4])
    every = cut.allowed_pairs(table, index, np.array([0, 5, 9]), "all")
    assert every.indices.tolist() == [0, 1, 2] and every.data == pytest.approx([0.6, 0.4, 0.0])
    keywords = cut.allowed_pairs(table, index, np.array([0, 5, 9]), "keywords")
    assert keywords.indices.tolist() == [1] and keywords.data == pytest.approx([0.4])


def test_the_number_kept_is_the_floor_of_the_decimal():
    assert [cut.kept_of(r, 100) for r in (0.29, 0.57, 1.0, 0.0, 0.999)] == [29, 57, 100, 0, 99]
    assert cut.kept_of(0.6, 7) == 4  # 4.2


def command(*arguments):
    words = [sys.executable, "-m", "stages.graph_cut", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True)


def test_command_line(tmp_path):
    np.savez(tmp_path / "graph.npz", **FRACTIONAL)
    done = command(tmp_path / "graph.npz", "--out", tmp_path / "labels.npz")
    assert done.returncode == 0 and "optimal" in done.stdout
    with np.load(tmp_path / "labels.npz") as labels:
        assert labels["label"].shape == (3,) and labels["status"] == "optimal"
        assert labels["energy"] == pytest.approx(2.9) and labels["bound"] == pytest.approx(2.9, abs=1e-6)


def test_the_example_of_the_help_runs(tmp_path):
    example = textwrap.dedent("".join(main_module.__doc__.split("column 0)")[1].partition("\n\n")[2]))
    words = [sys.executable, "-c", example]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.stderr == "" and done.stdout.splitlines()[-1] == example.splitlines()[-1].removeprefix("# ")
    assert len(example.strip().splitlines()) == 10


def test_command_line_partition_and_picture(tmp_path, capsys):
    prob = np.array([[0, 0.9], [0, 0.2], [0, 0.5]])
    np.savez(tmp_path / "graph.npz", prob=prob, allowed=np.ones((3, 2), bool), edges=NO_EDGES, weight=NO_WEIGHT)
    words = [tmp_path / "graph.npz", "--out", tmp_path / "labels.npz", "--picture", tmp_path / "graph.png"]
    assert main_module.main([*map(str, words), "--solver", "partition", "--keep", "2", "--beta", "10"]) == 0
    with np.load(tmp_path / "labels.npz") as labels:
        assert labels["label"].tolist() == [1, 0, 1] and labels["energy"] == pytest.approx(10 * (0.9 + 0.5))
    assert (tmp_path / "graph.png").stat().st_size > 1000 and "optimal" in capsys.readouterr().out


def test_command_line_refuses_pickles_and_missing_arrays(tmp_path):
    np.savez(tmp_path / "graph.npz", **{**FRACTIONAL, "prob": np.array([[1], [{}]], object)})
    done = command(tmp_path / "graph.npz", "--out", tmp_path / "labels.npz")
    assert done.returncode == 1 and "cannot be read" in done.stderr and done.stderr.count("\n") == 1
    np.savez(tmp_path / "graph.npz", prob=FRACTIONAL["prob"])
    done = command(tmp_path / "graph.npz", "--out", tmp_path / "labels.npz")
    assert "lacks the array allowed" in done.stderr and not (tmp_path / "labels.npz").exists()
