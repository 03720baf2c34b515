"""What the multi-way cut must not care about, and what it must follow: symmetries, sums, contractions."""

import networkx as nx
import numpy as np
import pytest
from cut_reference import ring, union

from stages.graph_cut.solve import solve

SEEDS = range(12)


def problem(seed, *, n=40, labels=6, degree=3, heavy=1.0):
    """A random graph with continuous numbers, so that its optimum is the only one; every third has forbidden labels."""
    rng = np.random.default_rng(seed)
    allowed = np.ones((n, labels), bool)
    if seed % 3 == 0:
        allowed = rng.random((n, labels)) < 0.5
        allowed[np.arange(n), rng.integers(0, labels, n)] = True
    edges = rng.integers(0, n, (degree * n // 2, 2))
    weight = heavy * rng.uniform(0.05, 0.5, len(edges)) * (1 + 4 * (seed % 2))
    return dict(prob=rng.dirichlet(np.full(labels, 0.7), n), allowed=allowed, edges=edges, weight=weight)


def solved(given):
    solution = solve(**given)
    assert solution.status == "optimal" and solution.gap <= 1e-6
    return solution


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_nodes_labels_and_edges(seed):
    given, rng = problem(seed), np.random.default_rng(seed)
    n, labels = given["prob"].shape
    node, label, edge = rng.permutation(n), rng.permutation(labels), rng.permutation(len(given["edges"]))
    edges = np.argsort(node)[given["edges"]][edge]
    moved = dict(
        prob=given["prob"][node][:, label],
        allowed=given["allowed"][node][:, label],
        edges=np.where(rng.random((len(edges), 1)) < 0.5, edges, edges[:, ::-1]),
        weight=given["weight"][edge],
    )
    first, second = solved(given), solved(moved)
    assert second.energy == pytest.approx(first.energy, rel=1e-9)
    assert label[second.label].tolist() == first.label[node].tolist()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("factor", [1e-3, 0.3, 128.0])
def test_scaling(seed, factor):
    given = problem(seed)
    first = solved(given)
    second = solved(dict(given, prob=given["prob"] * factor, weight=given["weight"] * factor))
    assert second.energy == pytest.approx(first.energy * factor, rel=1e-9)
    assert second.label.tolist() == first.label.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_constant_on_a_node(seed):
    """c more on every p of a node costs c once less than it has labels, whatever it takes: all but one are given up."""
    given, rng = problem(seed), np.random.default_rng(seed)
    more = rng.uniform(0, 3, len(given["prob"]))
    first, second = solved(given), solved(dict(given, prob=given["prob"] + more[:, None]))
    assert second.energy == pytest.approx(first.energy + (more * (given["allowed"].sum(1) - 1)).sum(), rel=1e-9)
    assert second.label.tolist() == first.label.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_label_that_no_node_may_take_counts_nothing(seed):
    given, rng = problem(seed), np.random.default_rng(seed)
    extra = rng.random((len(given["prob"]), 1))
    first = solved(given)
    second = solved(
        dict(given, prob=np.hstack([extra, given["prob"]]), allowed=np.hstack([extra < 0, given["allowed"]]))
    )
    assert (second.energy, second.bound, second.gap) == (first.energy, first.bound, first.gap)
    assert second.label.tolist() == (first.label + 1).tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_an_edge_in_two_halves_and_loops(seed):
    given, rng = problem(seed), np.random.default_rng(seed)
    share, n = rng.random(len(given["weight"])), len(given["prob"])
    loops = np.repeat(rng.integers(0, n, 9), 2).reshape(9, 2)
    first = solved(given)
    second = solved(
        dict(
            given,
            edges=np.concatenate([given["edges"], loops, given["edges"][:, ::-1]]),
            weight=np.concatenate([given["weight"] * share, rng.random(9) * 10, given["weight"] * (1 - share)]),
        )
    )
    assert second.energy == pytest.approx(first.energy, rel=1e-9)
    assert second.label.tolist() == first.label.tolist()


def test_problems_side_by_side_add_up():
    parts = [problem(seed, n=10 + seed) for seed in SEEDS] + [ring(5, 0.4), ring(3, 0.7)]
    apart, both = [solved(part) for part in parts], solved(union(*parts))
    assert both.energy == pytest.approx(sum(part.energy for part in apart), rel=1e-9)
    assert both.bound <= both.energy + 1e-9
    unique = sum(len(part["prob"]) for part in parts[: len(SEEDS)])  # the rings have several optima
    assert both.label[:unique].tolist() == np.concatenate([part.label for part in apart])[:unique].tolist()
    assert sorted(both.components) == sorted(np.concatenate([part.components for part in apart]))


@pytest.mark.parametrize("seed", SEEDS)
def test_two_labels_are_a_smallest_cut(seed):
    """LIID, Sec. 5.1: with two terminals the multi-way cut is the minimum cut. Numbers of 1/1024 add up exactly."""
    rng, n = np.random.default_rng(seed), 30
    prob = rng.integers(0, 1025, (n, 2)) / 1024
    pairs = np.argwhere(np.triu(rng.random((n, n)) < 0.12, 1))
    weight = rng.integers(0, 513, len(pairs)) / 1024
    graph = nx.Graph()
    for u in range(n):
        graph.add_edge("zero", u, capacity=prob[u, 0])
        graph.add_edge("one", u, capacity=prob[u, 1])
    for (u, v), w in zip(pairs.tolist(), weight):
        graph.add_edge(u, v, capacity=w)
    solution = solved(dict(prob=prob, allowed=np.ones((n, 2), bool), edges=pairs, weight=weight))
    assert solution.energy == pytest.approx(nx.minimum_cut_value(graph, "zero", "one"), abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_pinned_to_each_of_its_labels_in_turn(seed):
    """The best of these is the best of all, and what was chosen for the node is one of the best."""
    given = problem(seed, n=25)
    first, u = solved(given), 7
    pinned = {}
    for k in np.flatnonzero(given["allowed"][u]):
        allowed = given["allowed"].copy()
        allowed[u] = np.arange(allowed.shape[1]) == k
        rest = given["prob"][u, given["allowed"][u]].sum() - given["prob"][u, k]
        pinned[int(k)] = solved(dict(given, allowed=allowed)).energy + rest  # p of what it may not take is not given up
    assert min(pinned.values()) == pytest.approx(first.energy, rel=1e-9)
    assert pinned[first.label[u]] == pytest.approx(first.energy, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_edge_too_dear_to_cut_merges_its_nodes(seed):
    """Two nodes of equal label lists under an edge of weight 1e4 are one node with the sum of both p."""
    given = problem(seed)
    allowed = given["allowed"].copy()
    allowed[1] = allowed[0]
    tied = dict(
        given, allowed=allowed, edges=np.vstack([given["edges"], [[0, 1]]]), weight=np.append(given["weight"], 1e4)
    )
    prob = given["prob"].copy()
    prob[1] += prob[0]
    merged = dict(prob=prob[1:], allowed=allowed[1:], edges=np.maximum(given["edges"] - 1, 0), weight=given["weight"])
    first, second = solved(tied), solved(merged)
    assert second.energy == pytest.approx(first.energy, rel=1e-9)
    assert first.label[0] == first.label[1] and first.label[1:].tolist() == second.label.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_heavier_edges_never_make_it_cheaper(seed):
    given = problem(seed)
    energies = [solved(dict(given, weight=given["weight"] * factor)).energy for factor in (0, 0.25, 0.5, 1, 2, 4, 100)]
    assert all(a <= b + 1e-9 for a, b in zip(energies, energies[1:]))
    prob, allowed = given["prob"], given["allowed"]
    own = np.where(allowed, prob, 0)
    assert energies[0] == pytest.approx((own.sum(1) - own.max(1)).sum(), rel=1e-9)


def test_types_of_the_arrays_do_not_matter():
    given = problem(1)
    given["prob"], given["weight"] = given["prob"].astype(np.float32), given["weight"].astype(np.float32)
    first = solved(
        {name: value.astype(np.float64) if value.dtype == np.float32 else value for name, value in given.items()}
    )
    for other in (
        given,
        dict(given, edges=given["edges"].astype(np.int32)),
        dict(given, edges=given["edges"].astype(np.uint16)),
        dict(given, prob=np.asfortranarray(given["prob"]), edges=np.asfortranarray(given["edges"])),
        {name: value.tolist() for name, value in given.items()},
    ):
        second = solved(other)
        assert second.energy == pytest.approx(first.energy, rel=1e-6) and second.label.tolist() == first.label.tolist()
