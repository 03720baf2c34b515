"""Labels handed over as the stored entries of a scipy.sparse array: the same problem as dense ones with `allowed`."""

import numpy as np
import pytest
import scipy.sparse as sp
from cut_reference import optimum, random_problem, ring

from stages.graph_cut.solve import solve
from tag2mask.errors import UserError

FORMS = {
    "csr": lambda a: a,
    "csr matrix": sp.csr_matrix,
    "unsorted": lambda a: unsorted(a),
    "int64 indices": lambda a: sp.csr_array((a.data, a.indices.astype(np.int64), a.indptr.astype(np.int64)), a.shape),
    "float32": lambda a: a.astype(np.float32),
}


def unsorted(a):
    """The columns of every row in descending order."""
    order = np.concatenate([np.arange(a.indptr[u + 1] - 1, a.indptr[u] - 1, -1) for u in range(a.shape[0])] or [[]])
    order = order.astype(np.int64)
    return sp.csr_array((a.data[order], a.indices[order], a.indptr), a.shape)


def stored(prob, allowed):
    """prob with exactly the allowed entries stored, zeros as well."""
    u, k = np.nonzero(allowed)
    return sp.csr_array((prob[u, k], k, np.append(0, np.cumsum(allowed.sum(1)))), prob.shape)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_as_dense(form):
    """The p of forbidden labels is not there to be given up, so the dense problem has zeros in their place."""
    rng = np.random.default_rng(0)
    for _ in range(120):
        given = random_problem(rng)
        given["prob"] = np.where(given["allowed"], given["prob"], 0).astype(np.float32 if form == "float32" else float)
        dense = solve(**given)
        sparse = solve(FORMS[form](stored(given["prob"], given["allowed"])), None, given["edges"], given["weight"])
        assert sparse.energy == pytest.approx(dense.energy, rel=1e-6, abs=1e-9)
        assert sparse.energy == pytest.approx(optimum(**given), rel=1e-6, abs=1e-6 if form == "float32" else 1e-9)
        assert given["allowed"][np.arange(len(sparse.label)), sparse.label].all()
        assert sparse.status == dense.status == "optimal"
        assert sparse.label.tolist() == dense.label.tolist()


def test_stored_zeros_are_allowed_labels():
    """Node 0 may take label 1 only through a stored zero: with node 1, pinned there, it saves the edge of 2."""
    prob = sp.csr_array((np.array([0.4, 0.0, 0.7]), np.array([0, 1, 1]), np.array([0, 2, 3])), (2, 2))
    solution = solve(prob, None, np.array([[0, 1]]), np.array([2.0]))
    assert solution.label.tolist() == [1, 1] and solution.energy == pytest.approx(0.4)
    without = sp.csr_array((np.array([0.4, 0.7]), np.array([0, 1]), np.array([0, 1, 2])), (2, 2))
    apart = solve(without, None, np.array([[0, 1]]), np.array([2.0]))
    assert apart.label.tolist() == [0, 1] and apart.energy == pytest.approx(2.0)


def test_none_allows_all_labels_of_a_dense_array():
    rng = np.random.default_rng(1)
    for _ in range(50):
        given = random_problem(rng)
        every = dict(given, allowed=np.ones_like(given["allowed"]))
        first, second = solve(**every), solve(**dict(given, allowed=None))
        assert first.label.tolist() == second.label.tolist() and first.energy == second.energy


def test_eighty_one_labels_two_each():
    """Rings of tags within 81 columns, shifted: the sparse form carries two entries a node."""
    small = ring(5, 0.4)
    u, k = np.nonzero(small["allowed"])
    for shift in (0, 37, 76):
        prob = sp.csr_array((np.full(len(u), 0.5), (u, k + shift)), (5, 81))
        solution = solve(prob, None, small["edges"], small["weight"])
        assert solution.energy == pytest.approx(3.7) and solution.status == "optimal"
        assert ((solution.label >= shift) & (solution.label < shift + 5)).all()


def test_the_input_is_not_modified():
    given = random_problem(np.random.default_rng(3))
    prob = unsorted(stored(given["prob"], given["allowed"]))
    before = (prob.data.copy(), prob.indices.copy(), prob.indptr.copy())
    solve(prob, None, given["edges"], given["weight"])
    assert all(np.array_equal(a, b) for a, b in zip(before, (prob.data, prob.indices, prob.indptr)))


@pytest.mark.parametrize(
    "prob",
    [
        sp.csr_array((np.array([0.5, np.nan]), np.array([0, 0]), np.array([0, 1, 2])), (2, 2)),
        sp.csr_array((np.array([0.5, -0.1]), np.array([0, 0]), np.array([0, 1, 2])), (2, 2)),
        sp.csr_array((np.array([0.5, np.inf]), np.array([0, 0]), np.array([0, 1, 2])), (2, 2)),
        sp.csr_array((np.array([0.5]), np.array([0]), np.array([0, 1, 1])), (2, 2)),
    ],
    ids=["NaN", "negative", "infinite", "a node without label"],
)
def test_refused_in_one_sentence(prob):
    with pytest.raises(UserError) as refused:
        solve(prob, None, np.array([[0, 1]]), np.array([1.0]))
    text = str(refused.value)
    assert text.endswith(".") and "\n" not in text


def test_the_same_entry_twice_is_refused_or_added_up():
    """A CSR array may hold (0, 0) twice; that is one label, of 0.3 + 0.4 as scipy reads it, or no proper input."""
    twice = sp.csr_array((np.array([0.3, 0.4, 0.5]), np.array([0, 0, 1]), np.array([0, 3])), (1, 2))
    try:
        solution = solve(twice, None, np.zeros((0, 2), np.int64), np.zeros(0))
    except UserError:
        return
    assert solution.label.tolist() == [0] and solution.energy == pytest.approx(0.5)
