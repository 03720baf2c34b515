"""Which candidates explain a photo: a small exact program, weighted set packing with a reward for every tag."""

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp


def chosen(worth, conflict, tag, *, reward):
    """(n,) bool: the candidates that earn most together, proven.

        maximise    sum_i worth_i x_i + reward sum_t y_t
        subject to  x_i + x_j <= 1 of every conflict,  y_t <= sum of the x_i of tag t,  x, y in {0, 1}

    worth : (n,) float, of any sign. conflict : (n, n) bool, symmetric; its diagonal is not looked at. tag : (n,) int,
    the tag that each one explains. A candidate that costs is taken where its tag has no other and the reward pays for
    it. Solved by HiGHS through scipy: it is set packing of some ten candidates, not the multi-way cut of `graph_cut`.
    Source: ours.
    """
    worth, tag = np.asarray(worth, np.float64), np.asarray(tag)
    picked = np.zeros(len(worth), bool)
    left = np.flatnonzero(unbeaten(worth, conflict, tag))
    if len(left):
        picked[left] = solved(worth[left], conflict[np.ix_(left, left)], tag[left], reward)
    return picked


def unbeaten(worth, conflict, tag):
    """(n,) bool: candidates without another one of their tag that is worth no less and conflicts with nothing more.

    Taking that one instead never earns less; of equal ones the first stays. Most of many likenesses of one object go.
    """
    n = len(worth)
    near = conflict | np.eye(n, dtype=bool)
    more = near.astype(np.float32) @ ~near.T  # (j, i): how many that j conflicts with i does not
    place = np.lexsort((np.arange(n), -worth)).argsort()
    beats = (more == 0) & (tag[:, None] == tag) & (place[:, None] < place)
    return ~beats.any(0)


def solved(worth, conflict, tag, reward):
    """(n,) bool: the program of `chosen`, n > 0."""
    n, (tags, of) = len(worth), np.unique(tag, return_inverse=True)
    i, j = np.nonzero(np.triu(conflict, 1))
    m, t = len(i), len(tags)
    rows = np.concatenate([np.arange(m), np.arange(m), m + of, m + np.arange(t)])
    columns = np.concatenate([i, j, np.arange(n), n + np.arange(t)])
    values = np.concatenate([np.ones(2 * m), -np.ones(n), np.ones(t)])
    matrix = sparse.csr_array((values, (rows, columns)), shape=(m + t, n + t))
    found = milp(
        -np.concatenate([worth, np.full(t, float(reward))]), integrality=np.ones(n + t), bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, -np.inf, np.concatenate([np.ones(m), np.zeros(t)])),
        options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    if found.x is None:
        raise RuntimeError(f"the packing of a photo was not solved: {found.message}")
    return found.x[:n] > 0.5
