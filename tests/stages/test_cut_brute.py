"""The multi-way cut against enumeration of all labellings, on thousands of random small graphs."""

import numpy as np
import pytest
from cut_reference import energy, optimum, program, random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.graph_cut.solve import solve


def assert_exact(problem, **options):
    """The labels are allowed, the energy is theirs and the smallest of all, and the bound proves it from below."""
    before = {name: value.copy() for name, value in problem.items()}
    solution = solve(**problem, **options)
    for name, value in problem.items():
        assert np.array_equal(value, before[name]) and value.dtype == before[name].dtype, f"{name} was modified"
    least = optimum(**problem)
    slack = 1e-9 * max(1.0, least)
    assert solution.label.shape == (len(problem["prob"]),) and solution.label.dtype == np.int64
    assert solution.energy == pytest.approx(energy(solution.label, **problem), rel=1e-9, abs=1e-9)
    assert solution.energy == pytest.approx(least, rel=1e-6, abs=1e-9)
    assert solution.energy >= least - slack and solution.bound <= least + slack
    assert solution.status == "optimal" and 0 <= solution.gap <= 1e-6
    assert solution.gap == pytest.approx(
        max(0, solution.energy - solution.bound) / max(solution.energy, 1e-9), abs=1e-9
    )
    return solution


@pytest.mark.parametrize("seed", range(8))
def test_random_graphs(seed):
    rng = np.random.default_rng(seed)
    for _ in range(600):
        assert_exact(random_problem(rng))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_more_random_graphs(seed):
    rng = np.random.default_rng(seed)
    for _ in range(2500):
        assert_exact(random_problem(rng))


@st.composite
def problems(draw):
    """Every number drawn by itself, so that a failure shrinks to a graph that can be read."""
    n, k, m = draw(st.integers(1, 8)), draw(st.integers(1, 4)), draw(st.integers(0, 12))
    number = st.one_of(st.integers(0, 3).map(float), st.floats(0, 5, width=32))
    allowed = draw(arrays(bool, (n, k)))
    allowed[np.arange(n), draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))] = True
    return dict(
        prob=draw(arrays(float, (n, k), elements=number)),
        allowed=allowed,
        edges=draw(arrays(np.int64, (m, 2), elements=st.integers(0, n - 1))),
        weight=draw(arrays(float, m, elements=number)),
    )


@settings(max_examples=500, deadline=None, derandomize=True)
@given(problems())
def test_drawn_graphs(problem):
    assert_exact(problem)


@pytest.mark.parametrize("batch", [1, 7])
def test_small_batches(batch):
    """However few components share a linear program, the answer is the same."""
    rng = np.random.default_rng(5)
    for _ in range(150):
        assert_exact(random_problem(rng), batch=batch)


def test_the_random_graphs_hold_fractional_relaxations():
    """Otherwise the agreement above would say nothing about branching."""
    rng, fractional = np.random.default_rng(0), 0
    for _ in range(250):
        problem = random_problem(rng)
        fractional += program(**problem)[0] < optimum(**problem) - 1e-6
    assert fractional >= 5
