"""Small problems for the tests of the cut: random ones, a fractional one, their least energy."""

import itertools

import numpy as np
from hypothesis import strategies as st

from stages.graph_cut.costs import CostGraph
from stages.graph_cut.energy import checked, energy_of

NO_EDGES, NO_WEIGHT = np.zeros((0, 2), np.int64), np.zeros(0)
# Three photos with tags {1, 2}, {2, 3}, {1, 3}, all alike: half-and-half labellings cut half of every edge.
FRACTIONAL = dict(
    prob=np.array([[0, 0.5, 0.5, 0], [0, 0, 0.5, 0.5], [0, 0.5, 0, 0.5]]),
    allowed=np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1]], bool),
    edges=np.array([[0, 1], [1, 2], [0, 2]]),
    weight=np.full(3, 0.7),
)


def brute(prob, allowed, edges, weight, among=None):
    """The least energy of the labellings `among`, (N, L) bool, those that are allowed by default."""
    prob, choices = np.where(allowed, prob, 0), [np.flatnonzero(row) for row in (allowed if among is None else among)]
    return min(energy_of(np.array(x, np.int64), prob, edges, weight) for x in itertools.product(*choices))


@st.composite
def problems(draw):
    """Small graphs; a third with small whole numbers (ties), a third with few labels a node (fractional ones)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind, n, labels, m = draw(st.integers(0, 2)), rng.integers(1, 8), rng.integers(1, 5), rng.integers(0, 13)
    prob = rng.random((n, labels)) if kind == 0 else rng.integers(0, 3, (n, labels)) * 0.5
    allowed = rng.random((n, labels)) < 0.6
    allowed[np.arange(n), rng.integers(0, labels, n)] = True
    if kind == 2:
        prob = np.where(allowed, 0.5, 0) + rng.integers(0, 2, (n, labels)) * 0.1
    weight = rng.random(m) * rng.choice([0.1, 0.5, 5]) if kind == 0 else rng.integers(0, 3, m) * 0.5
    return dict(prob=prob, allowed=allowed, edges=rng.integers(0, n, (m, 2)), weight=weight)


def graph_of(problem):
    neat = checked(**problem)
    return CostGraph(neat.cost(), neat.edges, neat.weight), neat
