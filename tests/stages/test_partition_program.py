"""Fan's program against enumeration and its peers; what it settles and bounds, branching, a lack of time."""

import itertools

import numpy as np
import pytest
from cut_reference import union
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.partition import in_batches, plain_program
from stages.graph_cut import partition as partition_module
from stages.graph_cut.energy import checked
from stages.graph_cut.partition import objective_of, partition
from stages.graph_cut.partition_program import Bound, Program
from stages.graph_cut.partition_repair import repaired

# Four instances, all alike: two of them earn one edge, while halves of all earn half of six.
CLIQUE = dict(
    prob=np.zeros((4, 2)),
    allowed=np.ones((4, 2), bool),
    edges=np.array(list(itertools.combinations(range(4), 2))),
    weight=np.ones(6),
)


def enumerated(prob, allowed, edges, weight, *, beta):
    """{count: the largest objective of Eq. 8 over all labellings with so many labels}."""
    keywords = allowed.copy()
    keywords[:, 0] = True
    x = np.array(list(itertools.product(*(np.flatnonzero(row) for row in keywords))), np.int64).reshape(-1, len(prob))
    value = beta * np.where(x > 0, prob[np.arange(len(prob)), x], 0).sum(1)
    for (u, v), w in zip(edges.tolist(), weight.tolist()):
        if u != v:
            value += 2 * w * ((x[:, u] == x[:, v]) & (x[:, u] > 0))
    count = (x > 0).sum(1)
    return {int(k): float(value[count == k].max()) for k in np.unique(count)}


@st.composite
def problems(draw):
    """Small graphs: plain, whole numbers (ties), one value for all, few p beside heavy edges (needs branching)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind, n, labels = draw(st.integers(0, 3)), int(rng.integers(1, 8)), int(rng.integers(2, 5))
    m = int(rng.integers(0, 3 * n))
    prob, weight, allowed = rng.random((n, labels)), 2 * rng.random(m), rng.random((n, labels)) < 0.5
    if kind == 1:
        prob, weight = rng.integers(0, 3, (n, labels)) * 0.5, rng.integers(0, 3, m) * 0.5
    elif kind == 2:
        prob, weight = np.full((n, labels), 0.25), np.ones(m)
    elif kind == 3:
        prob, weight, allowed[:, 1] = prob / 50, weight + 1, True
    beta = float(rng.choice([0, 1, 30, 1e6]))
    return dict(prob=prob, allowed=allowed, edges=rng.integers(0, n, (m, 2)), weight=weight), beta


def assert_solved(problem, beta, share):
    best = enumerated(**problem, beta=beta)
    keep = round(share * max(best))
    solution = partition(**problem, beta=beta, keep=keep)
    assert solution.status == "optimal" and (solution.label > 0).sum() == keep and solution.gap < 1e-8
    kept = np.flatnonzero(solution.label)
    assert problem["allowed"][kept, solution.label[kept]].all()
    assert solution.energy == pytest.approx(best[keep], rel=1e-8, abs=1e-8)
    assert solution.bound >= best[keep] * (1 - 1e-12) - 1e-12 and solution.bound >= solution.energy
    plain = {name: problem[name] for name in ("prob", "edges", "weight")}
    assert objective_of(solution.label, **plain, beta=beta) == pytest.approx(solution.energy, rel=1e-9, abs=1e-9)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(problems(), st.floats(0, 1))
def test_agrees_with_enumeration(problem, share):
    assert_solved(*problem, share)


@pytest.mark.slow
@settings(max_examples=6000, deadline=None)
@given(problems(), st.floats(0, 1))
def test_agrees_with_enumeration_thousands_of_times(problem, share):
    assert_solved(*problem, share)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(problems(), problems(), st.floats(0, 1), st.floats(8, 12))
def test_a_component_of_small_rewards_is_right_too(large, small, share, power):
    """Rewards of 1e-8 to 1e-12 of the others': whatever number of nodes the count leaves to that part, they
    earn the most that so many can earn in it."""
    (large, beta), (small, _) = large, small
    small = dict(small, prob=small["prob"] * 10**-power, weight=small["weight"] * 10**-power)
    problem, n = union(large, small), len(large["prob"])
    keep = round(share * int(problem["allowed"][:, 1:].any(1).sum()))
    solution = partition(**problem, beta=beta, keep=keep)
    label = solution.label[n:]
    best = enumerated(**small, beta=beta)[int((label > 0).sum())]
    earned = objective_of(label, *(small[name] for name in ("prob", "edges", "weight")), beta=beta)
    assert earned == pytest.approx(best, rel=1e-6, abs=0) and solution.component_gap <= 1e-6


def program_of(problem, *, beta, keep):
    """(Program, its nodes) as `partition` makes them."""
    full = partition_module._with_noise(problem["prob"], problem["allowed"])
    return partition_module._program(checked(*full, problem["edges"], problem["weight"]), beta=beta, keep=keep)


def choices(program):
    """All choices of exactly `keep` pairs, at most one a node, as rows of bool."""
    own = [np.flatnonzero(program.node == u) for u in range(program.node[-1] + 1)]
    found = []
    for pick in itertools.product(*([-1, *pairs] for pairs in own)):
        used = [i for i in pick if i >= 0]
        if len(used) == program.keep:
            found.append(np.isin(np.arange(len(program.node)), used))
    return found


@settings(max_examples=150, deadline=None, derandomize=True)
@given(problems(), st.integers(0, 1000))
def test_what_settles_and_bounds_holds_for_every_choice(problem, seed):
    (problem, beta), rng = problem, np.random.default_rng(seed)
    nodes = len(program_of(problem, beta=beta, keep=0)[1])
    if nodes < 2:
        return
    program, _ = program_of(problem, beta=beta, keep=int(rng.integers(1, nodes)))
    every = choices(program)
    value = np.array([program.value(chosen) for chosen in every])
    slack = 1e-9 * max(1.0, value.max())
    smaller, _ = program.without_beaten()
    assert len(smaller.first) == nodes and smaller.keep == program.keep
    assert max(smaller.value(chosen) for chosen in choices(smaller)) >= value.max() - slack
    bound = Bound(program, rng.normal(size=len(program.tail)) * program.largest)
    assert value.max() <= bound.value + slack
    for chosen, own in zip(every, value):
        assert (own <= bound.with_pair()[chosen] + slack).all()
        left_out = np.bincount(program.node[chosen], minlength=nodes) == 0
        assert (own <= bound.without_node()[left_out] + slack).all()
    start = every[int(rng.integers(len(every)))]
    improved = repaired(start, program, deadline=lambda: False)
    assert improved.sum() == program.keep and program.value(improved) >= program.value(start) - slack
    for count in (0, nodes):  # too few and too many: the count is met in either case
        first = np.zeros(len(program.node), bool)
        first[program.first[:count]] = True
        made = repaired(first, program, deadline=lambda: True)
        assert made.sum() == program.keep and np.bincount(program.node[made]).max() == 1


def test_a_fractional_relaxation_is_branched(monkeypatch):
    program, _ = program_of(CLIQUE, beta=1, keep=2)
    x, y, _, finished = program.solve(time_limit=10)
    assert finished and x == pytest.approx(np.full(4, 0.5))  # half of six edges of 2: 6, and one edge earns 2
    assert Bound(program, y).value == pytest.approx(6)
    calls, solve = [], Program.solve
    monkeypatch.setattr(Program, "solve", lambda *a, **k: calls.append(k.get("integral", False)) or solve(*a, **k))
    solution = partition(**CLIQUE, beta=1, keep=2)
    assert calls[0] is False and calls[1:] and all(calls[1:])
    assert (solution.energy, solution.bound, solution.status) == (2, pytest.approx(2), "optimal")


def test_a_keyword_that_cannot_win_is_left_out():
    # Instance 0: 30 (.5 - .2) = 9 pays for the edge of 3.8 that keyword 2 could earn; 1 is undecided: 0.6 < 3.8.
    prob = np.array([[0, 0.5, 0.2], [0, 0.30, 0.28], [0, 0, 0.1]])
    allowed = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 1]], bool)
    edges, weight = np.array([[0, 2], [1, 2]]), np.array([1.9, 1.9])
    program, _ = program_of(dict(prob=prob, allowed=allowed, edges=edges, weight=weight), beta=30, keep=2)
    smaller, at = program.without_beaten()
    assert at.tolist() == [0, 2, 3, 4] and smaller.column.tolist() == [1, 1, 2, 2]
    assert smaller.weight.tolist() == [3.8]


@pytest.mark.parametrize("neighbours", ["sparse", "dense"])
def test_agrees_with_the_plain_program(neighbours):
    rng = np.random.default_rng(3)
    n = 40
    prob, allowed = rng.random((n, 5)) ** 3, rng.random((n, 5)) < 0.4
    edges = rng.integers(0, n, (100 if neighbours == "sparse" else 200, 2))
    edges = np.unique(np.sort(edges[edges[:, 0] != edges[:, 1]], 1), axis=0)
    weight = rng.uniform(1, 2, len(edges))
    for share in (1.0, 0.7):
        keep = int(share * allowed[:, 1:].any(1).sum())
        ours = partition(prob, allowed, edges, weight, beta=10, keep=keep)
        peer, finished = plain_program(prob, allowed, edges, weight, beta=10, keep=keep, time_limit=60)
        assert ours.status == "optimal" and finished
        assert ours.energy == pytest.approx(objective_of(peer, prob, edges, weight, beta=10), rel=1e-7)


def test_the_whole_earns_at_least_what_batches_earn():
    rng = np.random.default_rng(5)
    n = 120
    prob, allowed = rng.random((n, 4)), rng.random((n, 4)) < 0.6
    allowed[:, 1] = True
    edges, weight = rng.integers(0, n, (300, 2)), rng.uniform(1, 2, 300)
    batches = [np.arange(at, at + 40) for at in range(0, n, 40)]
    label, finished = in_batches(prob, allowed, edges, weight, beta=30, share=0.5, batches=batches, time_limit=60)
    kept = [int((label[rows] > 0).sum()) for rows in batches]
    assert finished and kept == [20, 20, 20]
    assert objective_of(label, prob, edges, weight) < partition(prob, allowed, edges, weight, keep=60).energy
    one, _ = in_batches(prob, allowed, edges, weight, beta=30, share=1.0, batches=[np.arange(n)], time_limit=60)
    whole = partition(prob, allowed, edges, weight, keep=n)
    assert objective_of(one, prob, edges, weight) == pytest.approx(whole.energy, rel=1e-7)


@pytest.mark.parametrize("stop", ["at once", "in the tree"])
def test_a_time_limit_is_never_silent(stop, monkeypatch):
    """A full choice with the exact count, a true bound, the gap, and the status that says so."""
    if stop == "in the tree":
        solve = Program.solve
        cut = lambda self, **k: solve(self, **{**k, "time_limit": 0.0 if k.get("integral") else 10})  # noqa: E731
        monkeypatch.setattr(Program, "solve", cut)
    limit = 0.0 if stop == "at once" else 10.0
    solution = partition(**CLIQUE, beta=1, keep=2, time_limit=limit)
    assert (solution.label > 0).sum() == 2 and solution.status == "time_limit"
    assert solution.energy == 2 and 2 < solution.bound <= 6.000001  # half and half of every edge: 3 a node
    assert solution.gap == pytest.approx((solution.bound - 2) / 2)


def test_no_time_for_a_cut_of_all_nodes():
    # The three photos of cut_problems.FRACTIONAL: tags {1, 2}, {2, 3}, {1, 3}, all alike.
    allowed = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 1]], bool)
    edges, weight = np.array([[0, 1], [1, 2], [0, 2]]), np.full(3, 0.7)
    solution = partition(allowed * 0.5, allowed, edges, weight, beta=1, keep=3, time_limit=0.0)
    assert solution.status == "time_limit" and (solution.label > 0).all()
    assert solution.energy <= 2.9 <= solution.bound  # one edge: 1.5 + 1.4
    assert partition(allowed * 0.5, allowed, edges, weight, beta=1, keep=3).energy == pytest.approx(2.9)
