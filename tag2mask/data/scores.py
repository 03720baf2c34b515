"""Scores: of any size as scores in [0, 1], which tables hold; and which of several stay by theirs."""

import numpy as np
from numpy.typing import ArrayLike


def bounded(response: ArrayLike) -> np.ndarray:
    """Scores (P,) float32 in (0, 1) of responses r (P,) of any size: 1/2 + r / (2 + 2 |r|), so 1/2 at 0, 3/4 at 1.

    Ours: readers of scores expect [0, 1]. The sigmoid would be a probability, but in float32 it is 1 from 17 on, and
    PRM's peaks are above 10 or 30 logits; here the stronger of two stays the stronger, and r can be had back.
    """
    r = np.asarray(response, np.float32)
    return 0.5 + r / (2 + 2 * np.abs(r))


def best_first(scores: ArrayLike, clash: np.ndarray) -> np.ndarray:
    """(n,) bool: which of n stay when, from the best score down, each removes those that it clashes with.

    scores : (n,), of equal ones the earlier comes first. clash : (n, n) bool, symmetric.
    """
    stays = np.ones(len(clash), bool)
    for k in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        if stays[k]:
            stays &= ~clash[k]
            stays[k] = True
    return stays
