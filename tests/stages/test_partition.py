"""Fan's program: Eq. 6, 7 and 8 by hand, special cases, the stage, refusals."""

import numpy as np
import pytest
from scipy import sparse

from stages.graph_cut.config import Config
from stages.graph_cut.cut import edge_weight, solved
from stages.graph_cut.partition import objective_of, partition
from tag2mask.errors import UserError

NO_EDGES, NO_WEIGHT = np.zeros((0, 2), np.int64), np.zeros(0)
# Photo 0 has the keywords 1 and 2, photo 1 has 1, photo 2 has 2; instance 0 resembles both others.
THREE = dict(
    prob=np.array([[0.9, 0.5, 0.45], [0.9, 0.2, 0.9], [0.9, 0.9, 0.1]]),
    allowed=np.array([[0, 1, 1], [0, 1, 0], [0, 0, 1]], bool),
    edges=np.array([[0, 1], [2, 0]]),
    weight=np.array([1.2, 1.5]),
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
