"""The multi-way cut on hundreds to thousands of nodes, against LIID's Eq. 11 unreduced in HiGHS and on trees."""

import numpy as np
import pytest
from cut_reference import energy, program, tree_optimum

from stages.graph_cut.solve import solve


def features(rng, n, labels, *, noise, tags):
    """Proposals of photos: features of their classes, p by a softmax that is often wrong, the photo's tags."""
    photo = np.arange(n) // 10
    tag = rng.random((photo.max() + 1, labels)) < tags / labels
    tag[:, 0] = True
    tag[np.arange(len(tag)), rng.integers(1, labels, len(tag))] = True
    true = np.array([rng.choice(np.flatnonzero(tag[i])) for i in photo])
    f = rng.normal(size=(labels, 16))[true] + noise * rng.normal(size=(n, 16))
    f = np.maximum(f + 0.3, 0)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    score = rng.normal(size=(n, labels))
    score[np.arange(n), np.where(rng.random(n) < 0.7, true, rng.integers(0, labels, n))] += rng.gamma(3, 0.8, n)
    p = np.exp(score)
    return f, p / p.sum(1, keepdims=True), tag[photo]


def knowledge_graph(seed, n, *, labels=6, noise=0.8, tags=2, delta=5.0, mutual=False, own=True):
    """LIID, Eq. 10: p, delta |cosine| to the three nearest, union or mutual, labels of the photo's tags or all."""
    f, p, allowed = features(np.random.default_rng(seed), n, labels, noise=noise, tags=tags)
    cosine = f @ f.T - 2 * np.eye(n)
    near = np.argsort(-cosine, 1, kind="stable")[:, :3]
    link = np.zeros((n, n), bool)
    link[np.arange(n)[:, None], near] = True
    link = link & link.T if mutual else link | link.T
    edges = np.argwhere(np.triu(link, 1))
    weight = delta * np.abs(cosine[edges[:, 0], edges[:, 1]])
    return dict(prob=p, allowed=allowed if own else np.ones_like(allowed), edges=edges, weight=weight)


def assert_as_program(problem, *, integral=False):
    value, _ = program(**problem, integral=integral)
    solution = solve(**problem)
    assert solution.status == "optimal" and solution.gap <= 1e-6
    assert solution.energy == pytest.approx(energy(solution.label, **problem), rel=1e-9)
    assert solution.energy >= value * (1 - 1e-7)  # the program is a relaxation, or exact
    assert solution.bound <= solution.energy * (1 + 1e-9)
    if integral:
        assert solution.energy == pytest.approx(value, rel=1e-6)
    else:  # equal where the relaxation is integral, which it was in every regime tried
        assert solution.energy == pytest.approx(value, rel=2e-6)
    return solution


REGIMES = {
    "heavy edges": dict(n=400, delta=5.0),
    "light edges": dict(n=400, delta=0.1),
    "middling edges": dict(n=400, delta=0.5),
    "mutual": dict(n=500, delta=5.0, mutual=True),
    "weak features": dict(n=300, noise=3.0, delta=1.0),
    "all labels": dict(n=300, delta=0.5, own=False),
    "collapsing": dict(n=300, noise=3.0, delta=5.0, own=False, labels=4),
}


@pytest.mark.parametrize("regime", REGIMES)
def test_the_unreduced_program(regime):
    assert_as_program(knowledge_graph(0, **REGIMES[regime]))


def test_one_giant_component():
    problem = knowledge_graph(1, 600, noise=2.0, delta=0.5, labels=5)
    assert assert_as_program(problem).components.max() > 500


@pytest.mark.parametrize("seed", range(3))
def test_the_integer_program_on_grids(seed):
    """Random p without any structure on a 12 x 12 grid, weights around the size of p: the hard middle."""
    rng, side = np.random.default_rng(seed), 12
    node = np.arange(side * side).reshape(side, side)
    edges = np.concatenate(
        [np.stack([node[:, :-1], node[:, 1:]], -1), np.stack([node[:-1], node[1:]], -1).swapaxes(0, 1)], 1
    )
    edges = edges.reshape(-1, 2)
    prob = rng.dirichlet(np.ones(4), side * side)
    problem = dict(prob=prob, allowed=np.ones_like(prob, bool), edges=edges, weight=rng.uniform(0, 0.5, len(edges)))
    assert_as_program(problem, integral=True)


@pytest.mark.parametrize("seed", range(4))
def test_trees_of_thousands(seed):
    """A tree is solved by dynamic programming; the heavier its edges the fewer nodes are decided by p alone."""
    rng, n, labels = np.random.default_rng(seed), 2000, 21
    parent = np.array([0] + [int(rng.integers(max(0, u - 30), u)) for u in range(1, n)])
    prob, weight = rng.dirichlet(np.full(labels, 0.3), n), rng.uniform(0, [0.1, 0.4, 1, 5][seed], n)
    allowed = np.ones((n, labels), bool) if seed % 2 else rng.random((n, labels)) < 0.15
    allowed[:, 0] = True
    solution = solve(prob, allowed, np.stack([np.arange(1, n), parent[1:]], 1), weight[1:])
    assert solution.status == "optimal" and solution.gap <= 1e-6
    assert solution.energy == pytest.approx(tree_optimum(prob, allowed, parent, weight), rel=1e-6)
    assert solution.bound <= solution.energy + 1e-9


def test_pairs_of_tags_need_the_tree_of_branches():
    """Photos with two of four tags, equally likely: the relaxation is far below the integer program."""
    rng, n = np.random.default_rng(2), 40
    allowed = rng.permuted(np.tile([True, True, False, False], (n, 1)), axis=1)
    edges = np.argwhere(np.triu(rng.random((n, n)) < 0.25, 1))
    problem = dict(prob=allowed * 0.5, allowed=allowed, edges=edges, weight=rng.uniform(0.2, 0.3, len(edges)))
    value = program(**problem, integral=True)[0]
    assert value > program(**problem)[0] * 1.02
    assert solve(**problem).energy == pytest.approx(value, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("regime", REGIMES)
def test_the_unreduced_program_of_more(regime, seed):
    assert_as_program(knowledge_graph(10 + seed, **{**REGIMES[regime], "n": 1200 if "collapsing" in regime else 2000}))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_integer_programs_of_more(seed):
    assert_as_program(
        knowledge_graph(20 + seed, 300, noise=2.0, delta=[0.3, 1.0, 5.0][seed % 3], labels=8, tags=4), integral=True
    )
