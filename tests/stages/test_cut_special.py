"""The multi-way cut where it is degenerate: fractional relaxations, ties, pinned nodes, extreme weights."""

import numpy as np
import pytest
from cut_reference import energy, exact, exact_energies, optimum, program, random_problem, ring, tree_optimum, union

from stages.graph_cut.solve import solve

NO_EDGES, NO_WEIGHT = np.zeros((0, 2), np.int64), np.zeros(0)


def assert_value(problem, value):
    solution = solve(**problem)
    assert solution.energy == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert solution.energy == pytest.approx(energy(solution.label, **problem), rel=1e-9, abs=1e-9)
    assert solution.bound <= value + 1e-9 * max(1, value)
    assert solution.status == "optimal" and solution.gap <= 1e-6
    return solution


@pytest.mark.parametrize("forbid", [True, False])
@pytest.mark.parametrize(("n", "weight"), [(3, 0.7), (3, 0.1), (5, 0.4), (7, 0.2)])
def test_an_odd_ring_of_tags_needs_branching(n, weight, forbid):
    """n = 3, weight 0.7: 1.5 + 2 x 0.7 = 2.9, but half of each tag costs 1.5 + 1.5 x 0.7 = 2.55."""
    p = 0.5 if forbid else 5.0
    problem = ring(n, weight, p=p, forbid=forbid)
    value, x = program(**problem)
    assert value == pytest.approx(n * p + weight * n / 2, abs=1e-6)  # the relaxation alone is too cheap ...
    assert np.abs(x - 0.5).min(1).max() == pytest.approx(0, abs=1e-6)  # ... as it halves photos
    assert_value(problem, n * p + weight * (n + 1) / 2)


def test_many_rings_at_once_and_apart():
    """Forty fractional components of three kinds beside a tree that is not fractional."""
    parts = [ring(3, 0.7), ring(5, 0.4), ring(7, 0.2), ring(3, 0.3)] * 10
    value = 10 * (2.9 + (2.5 + 1.2) + (3.5 + 0.8) + (1.5 + 0.6))
    rng = np.random.default_rng(0)
    prob, parent = rng.dirichlet(np.ones(7), 50), np.array([0] + [int(rng.integers(u)) for u in range(1, 50)])
    weight = rng.random(50)
    tree = dict(
        prob=prob, allowed=np.ones((50, 7), bool), edges=np.stack([np.arange(1, 50), parent[1:]], 1), weight=weight[1:]
    )
    value += tree_optimum(prob, tree["allowed"], parent, weight)
    assert_value(union(*parts, tree), value)


def test_rings_joined_into_one_component():
    """Weak links make one large fractional component; HiGHS's own branch and bound says what is right."""
    problem, rng = (
        union(*[ring(n, w) for n, w in [(3, 0.7), (5, 0.4), (3, 0.5), (7, 0.3), (5, 0.6)]]),
        np.random.default_rng(1),
    )
    first = np.array([0, 3, 8, 11, 18])
    links = np.stack([first[:-1], first[1:]], 1)
    problem["edges"] = np.concatenate([problem["edges"], links, links + 1])
    problem["weight"] = np.concatenate([problem["weight"], rng.uniform(0.05, 0.2, 8)])
    value = program(**problem, integral=True)[0]
    assert value > program(**problem)[0] + 0.1
    assert_value(problem, value)


@pytest.mark.parametrize("seed", range(4))
def test_dense_pairs_of_tags(seed):
    """Photos with two of four tags, all equally likely, dense equal edges: the relaxation says next to nothing."""
    rng, n = np.random.default_rng(seed), 14
    allowed = rng.permuted(np.tile([True, True, False, False], (n, 1)), axis=1)
    edges = np.argwhere(np.triu(rng.random((n, n)) < 0.5, 1))
    problem = dict(prob=allowed * 0.5, allowed=allowed, edges=edges, weight=np.full(len(edges), 0.25))
    assert_value(problem, program(**problem, integral=True)[0])


def test_ties_are_broken_the_same_way_every_time():
    """Two nodes, two labels, everything alike: 0.5 + 0.5 whichever label they share; and with nothing to choose by."""
    pair = dict(
        prob=np.full((2, 2), 0.5), allowed=np.ones((2, 2), bool), edges=np.array([[0, 1]]), weight=np.array([0.25])
    )
    assert len({assert_value(pair, 1.0).label.tobytes() for _ in range(3)}) == 1
    rng = np.random.default_rng(2)
    flat = dict(
        prob=np.full((40, 5), 0.2),
        allowed=np.ones((40, 5), bool),
        edges=rng.integers(0, 40, (90, 2)),
        weight=np.ones(90),
    )
    assert len({assert_value(flat, 40 * 0.8).label.tobytes() for _ in range(3)}) == 1
    nothing = dict(flat, prob=np.zeros((40, 5)))
    assert assert_value(nothing, 0.0).bound == 0
    assert len({assert_value(ring(5, 0.4), 3.7).label.tobytes() for _ in range(3)}) == 1


def test_labels_of_equal_energy_keep_the_energy():
    """Whole numbers: hundreds of labellings are optimal; whichever comes out, its energy is the smallest one."""
    rng = np.random.default_rng(4)
    for _ in range(60):
        n, k = 7, 3
        edges = np.argwhere(np.triu(rng.random((n, n)) < 0.4, 1))
        problem = dict(
            prob=rng.integers(0, 2, (n, k)) * 1.0,
            allowed=np.ones((n, k), bool),
            edges=edges,
            weight=np.ones(len(edges)),
        )
        solution = assert_value(problem, optimum(**problem))
        assert solution.energy == round(solution.energy)


def test_isolated_nodes_take_their_best_allowed_label():
    prob = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0, 0, 0]])
    allowed = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1]], bool)
    solution = assert_value(dict(prob=prob, allowed=allowed, edges=NO_EDGES, weight=NO_WEIGHT), 0.3 + 0.1 + 0.2 + 0)
    assert solution.label.tolist()[:2] == [2, 1] and solution.label[2] in (0, 1) and solution.label[3] == 2


def test_one_node_one_label_and_none():
    empty = solve(np.zeros((0, 4)), np.zeros((0, 4), bool), NO_EDGES, NO_WEIGHT)
    assert empty.label.shape == (0,) and empty.label.dtype == np.int64
    assert (empty.energy, empty.bound, empty.gap, empty.status) == (0, 0, 0, "optimal")
    one = dict(prob=np.array([[0.25]]), allowed=np.array([[True]]), edges=np.array([[0, 0]]), weight=np.array([3.0]))
    assert assert_value(one, 0.0).label.tolist() == [0]  # the only label, and a loop cuts nothing


def test_all_nodes_pinned():
    """Nothing to choose, and no p of forbidden labels to give up; edges between unlike nodes are cut."""
    rng = np.random.default_rng(3)
    label, prob = rng.integers(0, 4, 60), rng.random((60, 4))
    edges, weight = rng.integers(0, 60, (150, 2)), rng.random(150)
    problem = dict(prob=prob, allowed=np.arange(4) == label[:, None], edges=edges, weight=weight)
    cut = weight[label[edges[:, 0]] != label[edges[:, 1]]].sum()
    solution = assert_value(problem, cut)
    assert solution.label.tolist() == label.tolist()


def test_pinned_nodes_pull_the_others():
    """A path 0 - 1 - 2 - 3 whose ends are pinned to labels 0 and 1; the cheapest edge is cut, 0.2, and each node in
    between gives up one half."""
    prob = np.full((4, 2), 0.5)
    allowed = np.array([[1, 0], [1, 1], [1, 1], [0, 1]], bool)
    edges, weight = np.array([[0, 1], [1, 2], [2, 3]]), np.array([0.9, 0.2, 0.6])
    solution = assert_value(dict(prob=prob, allowed=allowed, edges=edges, weight=weight), 2 * 0.5 + 0.2)
    assert solution.label.tolist() == [0, 0, 1, 1]


def test_parallel_edges_and_loops():
    """10,000 edges of 1e-4 in both directions count as one of 1; 10,000 loops of 1e6 count nothing."""
    edges = np.array([[0, 1], [1, 0]] * 5000 + [[0, 0], [1, 1]] * 5000)
    weight = np.array([1e-4] * 10_000 + [1e6] * 10_000)
    prob, allowed = np.array([[0.9, 0.1], [0.2, 0.8]]), np.ones((2, 2), bool)
    # apart: 0.1 + 0.2 + 1; both 0: 0.1 + 0.8
    assert assert_value(dict(prob=prob, allowed=allowed, edges=edges, weight=weight), 0.9).label.tolist() == [0, 0]
    fewer = slice(0, 5000)  # apart: 0.1 + 0.2 + 0.5
    apart = assert_value(dict(prob=prob, allowed=allowed, edges=edges[fewer], weight=weight[fewer]), 0.8)
    assert apart.label.tolist() == [0, 1]


def test_zero_weights_are_no_edges():
    rng = np.random.default_rng(6)
    prob = rng.random((30, 4))
    problem = dict(prob=prob, allowed=np.ones((30, 4), bool), edges=rng.integers(0, 30, (80, 2)), weight=np.zeros(80))
    solution = assert_value(problem, prob.sum() - prob.max(1).sum())
    assert solution.label.tolist() == prob.argmax(1).tolist()
    assert solution.components.sum() == 30


@pytest.mark.parametrize("heavy", [1e3, 1e6, 1e9, 1e12])
def test_a_huge_edge_makes_two_nodes_one(heavy):
    """Nodes 0 and 1 together: labels cost 0.9 + 0.4, 0.7 + 0.8, 0.4 + 0.8; node 2 hangs on node 1 by 0.1."""
    prob = np.array([[0.1, 0.3, 0.6], [0.6, 0.2, 0.2], [0.0, 1.0, 0.0]])
    edges, weight = np.array([[0, 1], [1, 2]]), np.array([heavy, 0.1])
    solution = assert_value(dict(prob=prob, allowed=np.ones((3, 3), bool), edges=edges, weight=weight), 0.4 + 0.8 + 0.1)
    assert solution.label.tolist() == [2, 2, 1]


@pytest.mark.parametrize("heavy", [1e3, 1e6, 1e9, 1e12])
def test_a_huge_edge_that_must_be_cut(heavy):
    """Label 0 for node 0 and another for node 1 whatever they cost; relative to the energy the rest is next to nothing:
    labels 1 and 1 give up 0.2 and 0.2 + 0.3."""
    prob = np.array([[0.1, 0.3, 0.6], [0.6, 0.2, 0.2], [0.2, 0.5, 0.3]])
    allowed = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1]], bool)
    edges, weight = np.array([[0, 1], [1, 2]]), np.array([heavy, 0.4])
    solution = assert_value(dict(prob=prob, allowed=allowed, edges=edges, weight=weight), heavy + 0.2 + 0.5)
    assert solution.label[0] == 0


def spread(rng, kind):
    """Numbers of very different size in one graph: weights, or probabilities, or both; zeros among them."""
    problem = random_problem(rng, nodes=5, labels=3)
    problem["allowed"][:] |= rng.random() < 0.5
    size = lambda a: 10.0 ** rng.integers(-12, 13, a.shape) * rng.choice([0, 1, 1, 1], a.shape)  # noqa: E731
    if kind != "prob":
        problem["weight"] = rng.uniform(1, 9, len(problem["weight"])) * size(problem["weight"])
    if kind != "weight":
        problem["prob"] = rng.uniform(1, 9, problem["prob"].shape) * size(problem["prob"])
    return problem


@pytest.mark.parametrize("kind", ["weight", "prob", "both"])
def test_sizes_from_1e_minus_12_to_1e12_in_one_graph(kind):
    """Compared in whole numbers of 2^-120, as floats cannot add 1e12 and 1e-12. What a node gives up is a difference of
    sums of p, so the largest p sets what can be asked for; a weight need not, as long as its edge is not cut."""
    rng = np.random.default_rng(["weight", "prob", "both"].index(kind))
    for _ in range(150):
        problem = spread(rng, kind)
        energies = exact_energies(**problem)
        least, slack = min(energies.values()), exact(max(1e-9, 1e-12 * problem["prob"].sum()))
        solution = solve(**problem)
        got = energies[tuple(solution.label.tolist())]
        if solution.status != "optimal":  # what rounding may lose of p, 1e12, is more than a millionth of the energy
            assert solution.status == "tolerance" and kind != "weight" and got < 10**6 * slack
        assert (solution.gap <= 1e-6) == (solution.status == "optimal")
        assert got - least <= max(least // 10**6, slack)
        assert exact(solution.bound) - least <= max(least // 10**12, slack)
        assert abs(exact(solution.energy) - got) <= max(got // 10**12, slack)


@pytest.mark.parametrize("size", [1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9])
def test_all_numbers_large_or_small(size):
    """The unit in which p and w are given must not matter to the labels, nor to what is proven of them."""
    rng = np.random.default_rng(8)
    for _ in range(40):
        problem = random_problem(rng, nodes=6)
        solution = solve(**dict(problem, prob=problem["prob"] * size, weight=problem["weight"] * size))
        least = optimum(**problem)
        assert energy(solution.label, **problem) == pytest.approx(least, rel=1e-6, abs=1e-9)
        assert solution.energy == pytest.approx(least * size, rel=1e-6, abs=1e-9 * size)
        assert solution.status == "optimal" and solution.bound >= least * size * (1 - 2e-6) - 1e-9 * size


def test_a_long_path_and_a_wide_star():
    """5,000 nodes deep and 5,000 nodes wide, against dynamic programming."""
    rng, n, k = np.random.default_rng(9), 5000, 6
    prob, allowed = rng.dirichlet(np.ones(k), n), rng.random((n, k)) < 0.6
    allowed[:, 0] = True
    for parent in (np.maximum(np.arange(n) - 1, 0), np.zeros(n, np.int64)):
        weight = rng.uniform(0, 0.5, n)
        edges = np.stack([parent, np.arange(n)], 1)[1:]
        problem = dict(prob=prob, allowed=allowed, edges=edges, weight=weight[1:])
        assert_value(problem, tree_optimum(prob, allowed, parent, weight))
