"""Fan's program: Eq. 6, 7 and 8 by hand, agreement with enumeration, the proof, special cases, refusals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.partition import in_batches, plain_program
from stages.common.errors import UserError
from stages.graph_cut import partition as partition_module
from stages.graph_cut.config import Config
from stages.graph_cut.cut import edge_weight, solved
from stages.graph_cut.energy import checked
from stages.graph_cut.partition import objective_of, partition
from stages.graph_cut.partition_program import Bound, Program
from stages.graph_cut.partition_repair import repaired

NO_EDGES, NO_WEIGHT = np.zeros((0, 2), np.int64), np.zeros(0)
# Photo 0 has the keywords 1 and 2, photo 1 has 1, photo 2 has 2; instance 0 resembles both others.
THREE = dict(
    prob=np.array([[0.9, 0.5, 0.45], [0.9, 0.2, 0.9], [0.9, 0.9, 0.1]]),
    allowed=np.array([[0, 1, 1], [0, 1, 0], [0, 0, 1]], bool),
    edges=np.array([[0, 1], [2, 0]]),
    weight=np.array([1.2, 1.5]),
)
# Four instances, all alike: two of them earn one edge, while halves of all earn half of six.
CLIQUE = dict(
    prob=np.zeros((4, 2)),
    allowed=np.ones((4, 2), bool),
    edges=np.array(list(itertools.combinations(range(4), 2))),
    weight=np.ones(6),
)


def test_equation_6_by_hand():
    # beta = 0: instance 0 joins 2, as x'Wx counts the edge twice: 2 x 1.5 = 3.0 against 2 x 1.2 = 2.4.
    solution = partition(**THREE, beta=0, keep=3)
    assert solution.label.tolist() == [2, 1, 2] and solution.status == "optimal"
    assert solution.energy == pytest.approx(3.0) and solution.bound == pytest.approx(3.0)
    dense = np.zeros((3, 3))  # W of Eq. 5, and x'Wx as it stands in Eq. 6
    for (u, v), w in zip(THREE["edges"], THREE["weight"]):
        dense[u, v] = dense[v, u] = w
    x = np.eye(3)[solution.label]
    assert sum(x[:, k] @ dense @ x[:, k] for k in (1, 2)) == pytest.approx(solution.energy)


def test_equation_7_by_hand():
    # beta = 30: 1: 2.4 + 30 (.5 + .2 + .1) = 26.4; 2: 3.0 + 30 (.45 + .2 + .1) = 25.5.
    solution = partition(**THREE, beta=30, keep=3)
    assert solution.label.tolist() == [1, 1, 2] and solution.energy == pytest.approx(26.4)
    # beta = 3: 1: 2.4 + 2.4 = 4.8; 2: 3.0 + 2.25 = 5.25.
    assert partition(**THREE, beta=3, keep=3).label.tolist() == [2, 1, 2]
    assert partition(**THREE, keep=3).energy == pytest.approx(26.4)  # 30 is the default


def test_equation_8_by_hand():
    # Two of three: without 2: 2.4 + 30 (.5 + .2) = 23.4; without 1: 3.0 + 30 (.45 + .1) = 19.5; without 0: 9.
    solution = partition(**THREE, keep=2)
    assert solution.label.tolist() == [1, 1, 0] and solution.energy == pytest.approx(23.4)
    assert partition(**THREE, keep=1).label.tolist() == [1, 0, 0]  # 15
    # Similar noise earns nothing, column 0 neither: else keeping none of the two alike would be best.
    prob = np.array([[0.9, 0.05], [0.9, 0.05], [0.9, 0.12]])
    pair = partition(prob, None, np.array([[0, 1]]), np.array([1.9]), keep=2)
    assert pair.label.tolist() == [1, 1, 0] and pair.energy == pytest.approx(2 * 1.9 + 30 * 0.1)  # 6.8 > 5.1
    alone = partition(prob, None, np.array([[0, 1]]), np.array([1.9]), keep=1)
    assert alone.label.tolist() == [0, 0, 1] and alone.energy == pytest.approx(3.6)


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


def test_nodes_without_keyword_are_noise():
    prob = np.full((3, 3), 0.5)
    allowed = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]], bool)
    edges, weight = np.array([[0, 1], [0, 2], [1, 2]]), np.full(3, 9.0)
    solution = partition(prob, allowed, edges, weight, keep=1)
    assert solution.label.tolist() == [0, 2, 0] and solution.energy == pytest.approx(15)
    with pytest.raises(UserError, match="2 of 3 nodes shall get a keyword, but 1 have one to get") as error:
        partition(prob, allowed, edges, weight, keep=2)
    assert str(error.value).count("\n") == 0


def test_ties_isolated_nodes_loops_and_parallel_edges():
    same = partition(np.full((4, 2), 0.5), None, NO_EDGES, NO_WEIGHT, beta=1, keep=2)
    assert (same.label > 0).sum() == 2 and same.energy == 1 and same.bound == pytest.approx(1)
    again = partition(np.full((4, 2), 0.5), None, NO_EDGES, NO_WEIGHT, beta=1, keep=2)
    assert again.label.tolist() == same.label.tolist()
    # 0-1 twice with 0.6 earns 2.4 and beats 0-2 with 1.0; the loop earns nothing.
    edges, weight = np.array([[0, 1], [1, 0], [0, 2], [2, 2]]), np.array([0.6, 0.6, 1.0, 99.0])
    solution = partition(np.zeros((3, 2)), None, edges, weight, keep=2)
    assert solution.label.tolist() == [1, 1, 0] and solution.energy == pytest.approx(2.4)
    assert solution.energy == pytest.approx(objective_of(solution.label, np.zeros((3, 2)), edges, weight))
    assert sorted(solution.components.tolist()) == [3]


def test_none_kept_all_kept_and_the_empty_graph():
    none = partition(**THREE, keep=0)
    assert none.label.tolist() == [0, 0, 0] and (none.energy, none.bound, none.gap) == (0, 0, 0)
    assert (partition(**THREE, keep=3).label > 0).all()
    empty = partition(np.zeros((0, 3)), np.zeros((0, 3), bool), NO_EDGES, NO_WEIGHT, keep=0)
    assert len(empty.label) == 0 and (empty.energy, empty.bound, empty.status) == (0, 0, "optimal")
    nothing = partition(np.zeros((3, 2)), None, np.array([[0, 1]]), np.zeros(1), beta=0, keep=2)
    assert (nothing.energy, nothing.bound, nothing.gap, nothing.status) == (0, 0, 0, "optimal")


def test_huge_values_do_not_hide_the_rest():
    # beta 1e9: the two of largest p are kept; of the two alike in p, the one with the edge.
    prob = np.array([[0, 0.5], [0, 0.25], [0, 0.25]])
    solution = partition(prob, None, np.array([[0, 2]]), np.ones(1), beta=1e6, keep=2)
    assert solution.label.tolist() == [1, 0, 1] and solution.energy == pytest.approx(750_002, abs=1e-6)
    heavy = partition(prob, None, np.array([[1, 2], [0, 1]]), np.array([1e9, 1.0]), beta=1, keep=2)
    assert heavy.label.tolist() == [0, 1, 1] and heavy.gap < 1e-9


def test_sparse_keywords_are_the_stored_ones():
    rng = np.random.default_rng(0)
    prob, allowed = rng.random((12, 4)), rng.random((12, 4)) < 0.5
    prob[allowed & (rng.random((12, 4)) < 0.3)] = 0  # stored zeros are keywords
    allowed[4] = False
    edges, weight = rng.integers(0, 12, (20, 2)), rng.random(20)
    row, column = np.nonzero(allowed)
    stored = sparse.coo_array((prob[row, column], (row, column)), shape=prob.shape).tocsr()
    for keep in (3, int(allowed[:, 1:].any(1).sum())):
        one = partition(prob, allowed, edges, weight, keep=keep)
        other = partition(stored, None, edges, weight, keep=keep)
        assert one.label.tolist() == other.label.tolist() and one.energy == other.energy
    assert objective_of(one.label, stored, edges, weight) == pytest.approx(one.energy)


def test_the_stage_takes_weights_beta_and_the_share():
    config = Config(solver="partition", beta=3, retain=0.7)
    weight = edge_weight(np.array([0.2, 0.5]), config)
    assert weight == pytest.approx(THREE["weight"])  # cosine + 1
    row, column = np.nonzero(THREE["allowed"] | [True, False, False])
    stored = sparse.csr_array((THREE["prob"][row, column], (row, column)), shape=(3, 3))
    solution = solved(stored, THREE["edges"], weight, config=config)  # floor(0.7 x 3) = 2 are kept
    # beta = 3: without 2: 2.4 + 2.1 = 4.5; without 1: 3.0 + 1.65 = 4.65; without 0: 0.9.
    assert solution.label.tolist() == [2, 0, 2] and solution.energy == pytest.approx(4.65)


def test_inputs_are_not_modified():
    given_ = {name: values.copy() for name, values in THREE.items()}
    partition(**THREE, keep=2)
    assert all((given_[name] == THREE[name]).all() for name in THREE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(prob=np.array([[0, np.nan], [0, 1]])), "prob has NaN"),
        (dict(prob=np.array([[0, -0.1], [0, 1]])), "prob has negative"),
        (dict(weight=np.array([-1.0])), "weight has negative"),
        (dict(weight=np.array([np.nan])), "weight has NaN or infinite"),
        (dict(weight=np.ones(2)), "one weight per edge"),
        (dict(edges=np.array([[0, 2]])), "outside 0 to 1"),
        (dict(allowed=np.ones((2, 3), bool)), "must both be"),
        (dict(allowed=np.ones((2, 2))), "allowed must be bool"),
        (dict(beta=np.nan), "beta must be a finite number"),
        (dict(beta=-1.0), "beta must be a finite number"),
        (dict(keep=3), "3 of 2 nodes shall get a keyword"),
        (dict(keep=-1), "-1 of 2 nodes shall get a keyword"),
        (dict(keep=1.5), "1.5 of 2 nodes shall get a keyword"),
        (dict(time_limit=np.nan), "time_limit must be a number"),
    ],
)
def test_what_is_no_problem_is_refused(change, words):
    fine = dict(
        prob=np.full((2, 2), 0.5), allowed=np.ones((2, 2), bool), edges=np.array([[0, 1]]), weight=np.ones(1), keep=1
    )
    with pytest.raises(UserError, match=words):
        partition(**{**fine, **change})


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
    # The three photos of test_graph_cut.FRACTIONAL: tags {1, 2}, {2, 3}, {1, 3}, all alike.
    allowed = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 1]], bool)
    edges, weight = np.array([[0, 1], [1, 2], [0, 2]]), np.full(3, 0.7)
    solution = partition(allowed * 0.5, allowed, edges, weight, beta=1, keep=3, time_limit=0.0)
    assert solution.status == "time_limit" and (solution.label > 0).all()
    assert solution.energy <= 2.9 <= solution.bound  # one edge: 1.5 + 1.4
    assert partition(allowed * 0.5, allowed, edges, weight, beta=1, keep=3).energy == pytest.approx(2.9)
