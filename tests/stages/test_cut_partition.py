"""Fan's partition (Eq. 6 to 8) against enumeration, an integer program of our own, and what it must not care about."""

import numpy as np
import pytest
import scipy.sparse as sp
from cut_reference import ring
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import Bounds, LinearConstraint, milp

from stages.graph_cut.partition import partition
from stages.graph_cut.solve import solve
from tag2mask.errors import UserError


def table(prob, allowed, edges, weight, *, beta):
    """(objective, number kept) of every labelling, one axis per node: x' W x counts an edge twice, as W is symmetric;
    noise, label 0, earns nothing."""
    n, labels = prob.shape
    value, kept = np.zeros((labels,) * n), np.zeros((labels,) * n, int)
    same = np.diag(np.arange(labels) > 0).astype(float)
    for u in range(n):
        shape = [-1 if v == u else 1 for v in range(n)]
        may = allowed[u] | (np.arange(labels) == 0)
        value = value + np.where(may, beta * prob[u] * (np.arange(labels) > 0), -np.inf).reshape(shape)
        kept = kept + (np.arange(labels) > 0).astype(int).reshape(shape)
    for (u, v), w in zip(np.asarray(edges).tolist(), weight):
        if u != v:
            value = value + 2 * w * same.reshape([labels if x in (u, v) else 1 for x in range(n)])
    return value, kept


def objective(label, prob, edges, weight, *, beta):
    earned = sum(beta * prob[u, k] for u, k in enumerate(label) if k > 0)
    inside = [w for (u, v), w in zip(np.asarray(edges).tolist(), weight) if u != v and label[u] == label[v] > 0]
    return earned + 2 * sum(inside)


def assert_partition(problem, value, *, beta, keep, **options):
    solution = partition(**problem, beta=beta, keep=keep, **options)
    label, allowed = solution.label, problem["allowed"]
    assert label.shape == (len(problem["prob"]),) and label.dtype == np.int64 and (label > 0).sum() == keep
    assert (allowed[np.arange(len(label)), label] | (label == 0)).all()
    earned = objective(label, problem["prob"], problem["edges"], problem["weight"], beta=beta)
    assert solution.energy == pytest.approx(earned, rel=1e-9, abs=1e-9)
    slack = 1e-9 * max(1, value)
    assert solution.energy == pytest.approx(value, rel=1e-6, abs=1e-9) and solution.energy <= value + slack
    assert solution.bound >= value - slack
    assert solution.status == "optimal" and 0 <= solution.gap <= 1e-6
    return solution


def random_problem(rng):
    n, k, m = int(rng.integers(1, 9)), int(rng.integers(2, 5)), int(rng.integers(0, 17))
    allowed = rng.random((n, k)) < rng.choice([0.3, 0.6, 1.0])  # perhaps no keyword at all
    prob = rng.random((n, k)) if rng.random() < 0.6 else rng.integers(0, 3, (n, k)) * 0.5
    weight = 1 + rng.uniform(-0.2, 1, m) if rng.random() < 0.6 else rng.integers(0, 3, m) * 1.0
    return dict(prob=prob, allowed=allowed, edges=rng.integers(0, n, (m, 2)), weight=weight)


def every_keep(problem, beta):
    """{keep: optimum} of all numbers of kept nodes that are possible."""
    value, kept = table(**problem, beta=beta)
    best = {k: float(value[kept == k].max()) for k in range(kept.max() + 1)}
    return {k: v for k, v in best.items() if v > -np.inf}


@pytest.mark.parametrize("seed", range(4))
def test_random_graphs(seed):
    """A thousand and more programs: every graph with none kept, all kept, and one number in between."""
    rng = np.random.default_rng(seed)
    for _ in range(120):
        problem, beta = random_problem(rng), float(rng.choice([0.0, 0.5, 3.0, 30.0]))
        best = every_keep(problem, beta)
        for keep in {0, max(best), int(rng.integers(0, max(best) + 1))}:
            assert_partition(problem, best[keep], beta=beta, keep=keep)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 20))
def test_many_more_random_graphs(seed):
    rng = np.random.default_rng(seed)
    for _ in range(300):
        problem, beta = random_problem(rng), float(rng.choice([0.0, 0.5, 3.0, 30.0]))
        for keep, value in every_keep(problem, beta).items():
            assert_partition(problem, value, beta=beta, keep=keep)


@st.composite
def problems(draw):
    n, k, m = draw(st.integers(1, 6)), draw(st.integers(2, 4)), draw(st.integers(0, 9))
    number = st.one_of(st.integers(0, 2).map(float), st.floats(0, 2, width=32))
    return dict(
        prob=draw(arrays(float, (n, k), elements=number)),
        allowed=draw(arrays(bool, (n, k))),
        edges=draw(arrays(np.int64, (m, 2), elements=st.integers(0, n - 1))),
        weight=draw(arrays(float, m, elements=number)),
    ), draw(st.sampled_from([0.0, 1.0, 30.0]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(problems())
def test_drawn_graphs(drawn):
    problem, beta = drawn
    for keep, value in every_keep(problem, beta).items():
        assert_partition(problem, value, beta=beta, keep=keep)


def pairs(count, weight=1.0):
    """Disjoint pairs of one keyword and nothing else to choose by."""
    edges = np.arange(2 * count).reshape(count, 2)
    return dict(
        prob=np.zeros((2 * count, 2)), allowed=np.ones((2 * count, 2), bool), edges=edges, weight=np.full(count, weight)
    )


@pytest.mark.parametrize(("keep", "value"), [(0, 0), (1, 0), (2, 2), (3, 2), (4, 4), (5, 4), (6, 6)])
def test_half_a_pair_earns_nothing(keep, value):
    """Three pairs of weight 1, one keyword: a whole pair earns 2. Keeping half of every node would earn 3 of 3 kept."""
    assert_partition(pairs(3), value, beta=30.0, keep=keep)


def test_by_hand():
    """A path of four: p of keyword 1 is .9 .1 .5 .2, of keyword 2 .1 .6 .1 .0; weights 1.5, 1.2, 1.9; beta = 1.
    Three kept: without node 0 .8 + 2 x 3.1 = 7.0, as keyword 2 .7 + 6.2 = 6.9; without node 3 1.5 + 2 x 2.7 = 6.9;
    without node 1 1.6 + 3.8 = 5.4. Two: nodes 2 and 3, .7 + 3.8 = 4.5. One: .9. All: 1.7 + 2 x 4.6 = 10.9."""
    problem = dict(
        prob=np.array([[0, 0.9, 0.1], [0, 0.1, 0.6], [0, 0.5, 0.1], [0, 0.2, 0.0]]),
        allowed=np.ones((4, 3), bool),
        edges=np.array([[0, 1], [1, 2], [2, 3]]),
        weight=np.array([1.5, 1.2, 1.9]),
    )
    for keep, value, label in [
        (4, 10.9, [1, 1, 1, 1]), (3, 7.0, [0, 1, 1, 1]), (2, 4.5, [0, 0, 1, 1]), (1, 0.9, [1, 0, 0, 0]),
    ]:  # fmt: skip
        assert assert_partition(problem, value, beta=1.0, keep=keep).label.tolist() == label


def test_without_edges_the_most_probable_are_kept():
    rng = np.random.default_rng(0)
    prob, allowed = rng.random((300, 5)), rng.random((300, 5)) < 0.5
    best = np.sort(np.where(allowed[:, 1:], prob[:, 1:], -1).max(1))[::-1]
    problem = dict(prob=prob, allowed=allowed, edges=np.zeros((0, 2), np.int64), weight=np.zeros(0))
    for keep in (0, 1, 100, int((best >= 0).sum())):
        assert_partition(problem, 30 * best[:keep].sum(), beta=30.0, keep=keep)


def instances(seed, n, *, labels=4, noise=1.0):
    """Salient instances: two keywords a photo, three neighbours by cosine + 1, p independent means of sigmoids."""
    rng = np.random.default_rng(seed)
    true = rng.integers(1, labels, n)
    allowed = (rng.random((n, labels)) < 0.3) | (np.arange(labels) == true[:, None])
    f = rng.normal(size=(labels, 8))[true] + noise * rng.normal(size=(n, 8))
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    cosine = f @ f.T - 3 * np.eye(n)
    link = np.zeros((n, n), bool)
    link[np.arange(n)[:, None], np.argsort(-cosine, 1, kind="stable")[:, :3]] = True
    edges = np.argwhere(np.triu(link | link.T, 1))
    prob = rng.uniform(0, 0.6, (n, labels)) + 0.4 * (np.arange(labels) == true[:, None]) * rng.random((n, 1))
    return dict(prob=prob, allowed=allowed, edges=edges, weight=cosine[edges[:, 0], edges[:, 1]] + 1)


def program(prob, allowed, edges, weight, *, beta, keep):
    """The optimum of Eq. 8 as an integer program in HiGHS: 2 w y, y at most either end's x, per edge and keyword."""
    (n, labels), m = prob.shape, len(edges)
    k = labels - 1
    cost = -np.r_[beta * prob[:, 1:].ravel(), np.repeat(2 * weight, k)]
    upper = np.r_[allowed[:, 1:].astype(float).ravel(), np.ones(m * k)]
    once = sp.hstack([sp.kron(sp.eye(n), np.ones((1, k))), sp.csr_array((n, m * k))])
    all_kept = sp.csr_array(np.r_[np.ones(n * k), np.zeros(m * k)][None])
    rows = [LinearConstraint(once.tocsc(), 0, 1), LinearConstraint(all_kept.tocsc(), keep, keep)]
    for end in np.asarray(edges).T:
        of_end = sp.kron(sp.csr_array((np.ones(m), (np.arange(m), end)), (m, n)), sp.eye(k))
        rows.append(LinearConstraint(sp.hstack([-of_end, sp.eye(m * k)]).tocsc(), -np.inf, 0))
    whole = np.r_[np.ones(n * k), np.zeros(m * k)]
    done = milp(cost, integrality=whole, bounds=Bounds(0, upper), constraints=rows, options={"mip_rel_gap": 0.0})
    assert done.status == 0, done.message
    return -done.fun


@pytest.mark.parametrize("retain", [1.0, 0.9, 0.5, 0.1])
@pytest.mark.parametrize("beta", [30.0, 1.0])
def test_the_integer_program(beta, retain):
    problem = instances(1, 120)
    keep = int(retain * 120)
    assert_partition(problem, program(**problem, beta=beta, keep=keep), beta=beta, keep=keep)


@pytest.mark.slow
@pytest.mark.parametrize("retain", [1.0, 0.8, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_the_integer_program_of_more(seed, retain):
    problem, beta = instances(seed, 500, noise=1 + seed), [30.0, 5.0, 1.0][seed]
    keep = int(retain * 500)
    assert_partition(problem, program(**problem, beta=beta, keep=keep), beta=beta, keep=keep)


@pytest.mark.parametrize("seed", range(4))
def test_all_kept_is_the_multiway_cut_of_what_is_not_earned(seed):
    problem = instances(seed, 300)
    problem["allowed"][:, 0] = False
    terminals = dict(problem, prob=30.0 * problem["prob"], weight=2 * problem["weight"])
    cut = solve(**terminals)
    everything = terminals["prob"].sum(where=problem["allowed"]) + terminals["weight"].sum()
    kept = assert_partition(problem, everything - cut.energy, beta=30.0, keep=300)
    assert kept.label.tolist() == cut.label.tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("keep", [80, 50])
def test_order_parallel_edges_and_constants(seed, keep):
    """Nodes and keywords reordered, every edge in two parts and a loop added, column 0 filled with anything: the same.
    c more on every p of every node: beta c keep more."""
    problem, rng = instances(seed, 80), np.random.default_rng(seed)
    first = partition(**problem, beta=30.0, keep=keep)
    node, keyword, share = rng.permutation(80), np.r_[0, 1 + rng.permutation(3)], rng.random(len(problem["edges"]))
    edges = np.argsort(node)[problem["edges"]]
    moved = dict(
        prob=problem["prob"][node][:, keyword],
        allowed=problem["allowed"][node][:, keyword],
        edges=np.concatenate([edges, edges[:, ::-1], [[5, 5]]]),
        weight=np.r_[problem["weight"] * share, problem["weight"] * (1 - share), 7.0],
    )
    moved["prob"][:, 0], moved["allowed"][:, 0] = rng.random(80), rng.random(80) < 0.5
    second = assert_partition(moved, first.energy, beta=30.0, keep=keep)
    assert keyword[second.label].tolist() == first.label[node].tolist()
    shifted = dict(problem, prob=problem["prob"] + 0.7)
    assert assert_partition(shifted, first.energy + 30 * 0.7 * keep, beta=30.0, keep=keep).energy > first.energy


def test_sparse_keywords_are_the_same():
    rng = np.random.default_rng(5)
    for _ in range(40):
        problem, beta = random_problem(rng), 3.0
        u, k = np.nonzero(problem["allowed"])
        first = np.append(0, np.cumsum(problem["allowed"].sum(1)))
        stored = sp.csr_array((problem["prob"][u, k], k, first), problem["prob"].shape)
        keep = int(rng.integers(0, problem["allowed"][:, 1:].any(1).sum() + 1))
        dense = partition(**problem, beta=beta, keep=keep)
        sparse = partition(stored, None, problem["edges"], problem["weight"], beta=beta, keep=keep)
        assert sparse.energy == pytest.approx(dense.energy, rel=1e-9) and (sparse.label > 0).sum() == keep


def test_twice_the_same():
    for problem, keep in ((instances(2, 100), 70), (pairs(20), 13), (dict(ring(5, 0.4)), 3)):
        runs = [partition(**problem, beta=30.0, keep=keep) for _ in range(2)]
        assert runs[0].label.tobytes() == runs[1].label.tobytes() and runs[0].energy == runs[1].energy


@pytest.mark.parametrize("limit", [0.0, 1e-3])
@pytest.mark.parametrize("keep", [21, 60])
def test_a_time_limit_is_told(limit, keep):
    """Thirty pairs; an odd number leaves one node over, and the relaxation cannot see that."""
    solution = partition(**pairs(30), beta=30.0, keep=keep, time_limit=limit)
    best = 2.0 * (keep // 2)
    assert (solution.label > 0).sum() == keep
    assert solution.energy <= best + 1e-9 and solution.bound >= best - 1e-9 and np.isfinite(solution.bound)
    assert solution.status == "time_limit" or (solution.energy == best and solution.gap <= 1e-6)


FINE = dict(
    prob=np.full((3, 3), 0.4), allowed=np.ones((3, 3), bool), edges=np.array([[0, 1]]), weight=np.array([1.0]), keep=2
)
WRONG = {
    "more than there are": dict(keep=4),
    "more than have a keyword": dict(keep=3, allowed=np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], bool)),
    "fewer than none": dict(keep=-1),
    "half a node": dict(keep=1.5),
    "beta is negative": dict(beta=-1.0),
    "beta is NaN": dict(beta=float("nan")),
    "beta is infinite": dict(beta=float("inf")),
    "time is NaN": dict(time_limit=float("nan")),
    "p is NaN": dict(prob=np.full((3, 3), np.nan)),
    "p is negative": dict(prob=np.full((3, 3), -0.1)),
    "weight is NaN": dict(weight=np.array([np.nan])),
    "weight is negative": dict(weight=np.array([-1.0])),
    "an edge leaves the graph": dict(edges=np.array([[0, 3]])),
    "two weights for one edge": dict(weight=np.ones(2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_with_one_sentence(name):
    with pytest.raises(UserError) as refused:
        partition(**{**FINE, **WRONG[name]})
    text = str(refused.value)
    assert text.endswith(".") and "\n" not in text and 10 < len(text) < 400


def test_the_empty_graph_and_the_problem_that_is_fine():
    nothing = partition(
        np.zeros((0, 3)), np.zeros((0, 3), bool), np.zeros((0, 2), np.int64), np.zeros(0), beta=30.0, keep=0
    )
    assert len(nothing.label) == 0 and nothing.energy == 0 and nothing.status == "optimal" and nothing.gap == 0
    assert_partition({k: FINE[k] for k in ("prob", "allowed", "edges", "weight")}, 30 * 0.8 + 2, beta=30.0, keep=2)
