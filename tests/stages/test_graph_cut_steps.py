"""The steps of the multi-way cut: persistency, collapsing, duals, expansion, flows, few labels first."""

import itertools

import networkx as nx
import numpy as np
import pytest
from cut_problems import brute, graph_of, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.graph_cut import few_labels
from stages.graph_cut import solve as solve_module
from stages.graph_cut.collapse import under_best_label
from stages.graph_cut.expansion import expanded
from stages.graph_cut.flow import smallest_side
from stages.graph_cut.pairs import Pairs
from stages.graph_cut.persistency import Left, persistency
from stages.graph_cut.relax import relaxed
from stages.graph_cut.solve import solve


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
    assert brute(**problem, among=fixed) == pytest.approx(brute(**problem), abs=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems())
def test_any_duals_give_a_lower_bound(problem):
    graph, _ = graph_of(problem)
    flow = np.random.default_rng(0).normal(size=len(graph.arcs.edge))
    bound = graph.cost.replaced(graph.moved(flow)).least().sum()
    assert bound <= brute(**problem) + 1e-9


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems())
def test_expansion_never_raises_the_energy(problem):
    graph, neat = graph_of(problem)
    start = neat.argmax()
    end = expanded(start, graph, deadline=lambda: False)
    assert problem["allowed"][np.arange(len(end)), end].all()
    assert graph.energy(end) <= graph.energy(start) + 1e-9
    # Potts energies: at most twice the optimum in the edges' part (Boykov, Veksler, Zabih)
    assert graph.energy(end) <= 2 * brute(**problem) + 1e-9


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
