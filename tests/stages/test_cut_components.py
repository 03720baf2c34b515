"""A component of small numbers beside one of large ones: as exact, and as proven, as if it stood alone."""

import numpy as np
import pytest
from cut_reference import exact, exact_energies, random_problem, ring, union
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.graph_cut import solve as solve_module
from stages.graph_cut.solve import solve

NO_EDGES = np.zeros((0, 2), np.int64)


def scaled(problem, *, p=1.0, weight=1.0):
    return dict(problem, prob=problem["prob"] * p, weight=problem["weight"] * weight)


def assert_each_exact(parts):
    """Each of `parts` costs what enumeration says, but for a millionth of its own energy and for what floats lose."""
    solution = solve(**union(*parts))
    assert solution.status == "optimal" and solution.gap <= 1e-6 and 0 <= solution.component_gap <= 1e-6
    at = 0
    for part in parts:
        label, at = solution.label[at : at + len(part["prob"])], at + len(part["prob"])
        energies = exact_energies(**part)
        least, got = min(energies.values()), energies[tuple(label.tolist())]
        assert got - least <= max(least // 10**6, exact(1e-14 * part["prob"].max()))
    return solution


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.floats(8, 12), st.booleans())
def test_two_components_of_different_scale(seed, power, swapped):
    """p and weights of one are 1e-8 to 1e-12 of the other's. Nodes do not exceed 6, labels 3."""
    rng = np.random.default_rng(seed)
    large, small = (random_problem(rng, nodes=6, labels=3) for _ in range(2))
    small = scaled(small, p=10**-power, weight=10**-power)
    assert_each_exact([small, large] if swapped else [large, small])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.floats(8, 12))
def test_weights_alone_of_different_scale(seed, power):
    """Nodes whose labels are all equally likely: tiny weights alone decide, and cutting one too many is a mistake of
    less than a billionth of the energy. Compared with what the weights add to the p given up."""
    rng = np.random.default_rng(seed)
    allowed = rng.permuted(np.tile([True, True, False], (6, 1)), axis=1)
    edges = np.argwhere(np.triu(rng.random((6, 6)) < 0.7, 1))
    small = dict(prob=allowed * 0.5, allowed=allowed, edges=edges, weight=rng.uniform(1, 2, len(edges)) * 10**-power)
    parts = [random_problem(rng, nodes=6, labels=3), small]
    solution, n = solve(**union(*parts)), len(parts[0]["prob"])
    energies = {label: value - exact(6 * 0.5) for label, value in exact_energies(**small).items()}
    least = min(energies.values())
    assert energies[tuple(solution.label[n:].tolist())] - least <= least // 10**6
    assert solution.status == "optimal" and solution.component_gap <= 1e-6


def test_by_hand():
    """A ring that must be branched (2.9 of its unit; half of each label says 2.55), 1e-9 the size of a certain node."""
    small = scaled(ring(3, 0.7), p=1e-9, weight=1e-9)
    sure = dict(prob=np.array([[0.25, 0.5, 0.25]]), allowed=np.ones((1, 3), bool), edges=NO_EDGES, weight=np.zeros(0))
    solution = assert_each_exact([sure, small])
    assert solution.energy == pytest.approx(0.5 + 2.9e-9, rel=1e-13)


def test_a_small_component_that_is_not_proven_does_not_hide(monkeypatch):
    """Without branching the ring's bound stays at 2.55 of 2.9: next to nothing of the whole, but not of the ring."""
    small, large = scaled(ring(3, 0.7), p=1e-9, weight=1e-9), ring(3, 0.0)
    monkeypatch.setattr(solve_module, "branch_and_bound", lambda *a, **k: (None, -np.inf))
    solution = solve(**union(large, small))
    assert solution.status == "time_limit" and solution.gap < 1e-9
    assert solution.component_gap == pytest.approx(0.35 / 2.9, rel=1e-6)


@pytest.mark.parametrize("forbidden", [0.0, 1.0, 1e9])
def test_p_of_forbidden_labels_counts_nowhere(forbidden, monkeypatch):
    monkeypatch.setattr(solve_module, "branch_and_bound", lambda *a, **k: (None, -np.inf))
    problem = ring(3, 0.7)
    solution = solve(**dict(problem, prob=np.where(problem["allowed"], problem["prob"], forbidden)))
    assert solution.energy == pytest.approx(2.9) and solution.bound == pytest.approx(2.55)
    assert solution.gap == solution.component_gap == pytest.approx(0.35 / 2.9)


def test_sure_nodes_are_proven_although_they_cost_next_to_nothing():
    """Energy 1e-12, what sums of p may lose 1e-14: small of the largest p, 1, which is what a mistake would cost."""
    prob = np.array([[1.0, 1e-12], [0.5, 0.5]])
    solution = solve(prob, None, NO_EDGES, np.zeros(0))
    assert solution.status == "optimal" and solution.component_gap < 1e-13
