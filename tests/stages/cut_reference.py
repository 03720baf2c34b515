"""What the tests of the cut compare with: enumeration of all labellings and LIID's Eq. 11 as it stands."""

import itertools
from fractions import Fraction

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp


def table(prob, allowed, edges, weight):
    """The energy of every labelling as an array with one axis per node (up to 32 nodes, as NumPy has it); inf where a
    label is not allowed. Eq. 10, 11: a node pays the p of the allowed labels that it gives up, an edge its weight where
    labels differ."""
    prob, (n, labels) = np.where(allowed, prob, 0.0), prob.shape
    energy = np.zeros((labels,) * n)
    for u in range(n):
        cost = np.array([sum(p for other, p in enumerate(prob[u]) if other != k) for k in range(labels)])
        energy = energy + np.where(allowed[u], cost, np.inf).reshape([-1 if v == u else 1 for v in range(n)])
    for (u, v), w in zip(np.asarray(edges).tolist(), np.asarray(weight, float).tolist()):
        if u != v:
            differ = w * (1 - np.eye(labels))
            energy = energy + differ.reshape([labels if x in (u, v) else 1 for x in range(n)])
    return energy


def optimum(prob, allowed, edges, weight):
    return float(table(prob, allowed, edges, weight).min())


def energy(label, prob, allowed, edges, weight):
    """The energy of one labelling, edge by edge."""
    label, prob = np.asarray(label), np.where(allowed, prob, 0.0)
    assert allowed[np.arange(len(label)), label].all()
    given_up = prob.sum() - prob[np.arange(len(label)), label].sum()
    return given_up + sum(w for (u, v), w in zip(np.asarray(edges).tolist(), weight) if label[u] != label[v])


def program(prob, allowed, edges, weight, *, integral=False, time_limit=None):
    """(value, x (N, L)) of Eq. 11 unreduced: 1/2 w |x_u - x_v|_1, all labels of all nodes, nothing known before."""
    prob = np.where(allowed, prob, 0.0)
    (n, labels), m = prob.shape, len(edges)
    cost = np.r_[(prob.sum(1, keepdims=True) - prob).ravel(), np.repeat(np.asarray(weight, float) / 2, labels)]
    upper = np.r_[np.asarray(allowed, float).ravel(), np.full(m * labels, np.inf)]
    one = sp.hstack([sp.kron(sp.eye(n), np.ones((1, labels))), sp.csr_array((n, m * labels))])
    constraints = [LinearConstraint(one.tocsc(), 1, 1)]
    if m:
        row, (u, v) = np.arange(m), np.asarray(edges).T
        incidence = sp.csr_array((np.ones(m), (row, u)), (m, n)) - sp.csr_array((np.ones(m), (row, v)), (m, n))
        difference, own = sp.kron(incidence, sp.eye(labels)), sp.eye(m * labels)
        both = sp.vstack([sp.hstack([difference, own]), sp.hstack([-difference, own])])
        constraints.append(LinearConstraint(both.tocsc(), 0, np.inf))
    whole = np.r_[np.full(n * labels, int(integral)), np.zeros(m * labels)]
    options = {"mip_rel_gap": 0.0} | ({} if time_limit is None else {"time_limit": time_limit})
    done = milp(cost, integrality=whole, bounds=Bounds(0, upper), constraints=constraints, options=options)
    assert done.status == 0, done.message
    return done.fun, done.x[: n * labels].reshape(n, labels)


def random_problem(rng, *, nodes=8, labels=4):
    """A small graph of one of six kinds: plain, ties, pairs of tags, heavy edges, near ties, and multigraphs."""
    n, k, kind = int(rng.integers(1, nodes + 1)), int(rng.integers(1, labels + 1)), int(rng.integers(6))
    m = int(rng.integers(0, 2 * n + 1))
    edges = rng.integers(0, n, (m, 2))
    allowed = rng.random((n, k)) < rng.choice([0.4, 0.7, 1.0])
    allowed[np.arange(n), rng.integers(0, k, n)] = True
    prob, weight = rng.dirichlet(np.ones(k), n), rng.random(m)
    if kind == 1:  # whole numbers: many labellings are equally good
        prob, weight = rng.integers(0, 3, (n, k)).astype(float), rng.integers(0, 3, m).astype(float)
    elif kind == 2:  # pairs of three tags, equally likely, dense: a quarter of the relaxations is fractional
        n, k = int(rng.integers(3, nodes + 1)), 3
        allowed = rng.permuted(np.tile([True, True, False], (n, 1)), axis=1)
        edges = np.argwhere(np.triu(rng.random((n, n)) < 0.9, 1))
        prob, weight = allowed * 0.5, rng.choice([0.3, 0.5, 1.0], len(edges))
        if rng.random() < 0.5:  # the same without forbidding a label
            prob, allowed = prob * 6, np.ones((n, k), bool)
    elif kind == 3:  # delta = 5 times a cosine
        weight = 5 * rng.uniform(0.3, 1, m)
    elif kind == 4:  # ties up to the last digits
        prob = 0.25 + rng.integers(-2, 3, (n, k)) * 1e-9
        weight = 0.25 + rng.integers(-2, 3, m) * 1e-9
    elif kind == 5 and n > 1:  # two or three pairs, each many times over, in both directions, and loops
        edges = edges[rng.integers(0, max(1, min(3, m)), m)]
        edges = np.where(rng.random((m, 1)) < 0.5, edges, edges[:, ::-1])
    return dict(prob=prob, allowed=allowed, edges=edges.reshape(-1, 2), weight=weight)


def exact(x):
    """A float as a whole number of 2^-120, without rounding (for anything that is 0 or at least 1e-18)."""
    return int(Fraction(float(x)) * 2**120)


def exact_energies(prob, allowed, edges, weight):
    """{labelling: energy in whole numbers} of all allowed labellings, for sums that floats would round."""
    p, w = [[exact(x) for x in row] for row in np.where(allowed, prob, 0)], [exact(x) for x in weight]
    energies = {}
    for label in itertools.product(*(np.flatnonzero(row).tolist() for row in allowed)):
        given_up = sum(sum(row) - row[k] for row, k in zip(p, label))
        energies[label] = given_up + sum(c for (u, v), c in zip(np.asarray(edges).tolist(), w) if label[u] != label[v])
    return energies


def tree_optimum(prob, allowed, parent, weight):
    """The smallest energy on a tree by dynamic programming; node u > 0 hangs on parent[u] < u by weight[u]."""
    cost = np.where(allowed, np.sum(prob, 1, where=allowed, keepdims=True) - prob, np.inf)
    for u in range(len(cost) - 1, 0, -1):
        cost[parent[u]] += np.minimum(cost[u], cost[u].min() + weight[u])
    return float(cost[0].min())


def ring(n, weight, *, p=0.5, forbid=True):
    """An odd ring of n photos with tags {u, u + 1} of equal p: neighbours share one tag, but a photo agrees with only
    one of its two neighbours. Optimum n p + weight (n + 1) / 2; half of each tag costs n p + weight n / 2. Where no
    label is forbidden, a third one costs p more, which p > n weight makes too dear."""
    prob = np.zeros((n, n))
    prob[np.arange(n), np.arange(n)] = prob[np.arange(n), (np.arange(n) + 1) % n] = p
    allowed = prob > 0 if forbid else np.ones((n, n), bool)
    edges = np.stack([np.arange(n), (np.arange(n) + 1) % n], 1)
    return dict(prob=prob, allowed=allowed, edges=edges, weight=np.full(n, weight))


def union(*problems):
    """Several problems side by side, without an edge between them, over the same labels."""
    first = np.cumsum([0] + [len(p["prob"]) for p in problems])
    labels = max(p["prob"].shape[1] for p in problems)
    wide = lambda a: np.pad(a, ((0, 0), (0, labels - a.shape[1])))  # noqa: E731
    return dict(
        prob=np.concatenate([wide(p["prob"]) for p in problems]),
        allowed=np.concatenate([wide(p["allowed"]) for p in problems]),
        edges=np.concatenate([p["edges"] + k for p, k in zip(problems, first)]),
        weight=np.concatenate([p["weight"] for p in problems]),
    )
