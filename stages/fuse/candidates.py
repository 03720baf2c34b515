"""The candidates of one photo: what several recipes say, how far they overlap, and the masks that they agree on."""

from typing import NamedTuple

import numpy as np

from tag2mask.data import rle
from tag2mask.data.spans import Spans

CONSENSUS = -1  # the source of a mask that several sources agree on


class Candidates(NamedTuple):
    """n masks of one photo, source by source.

    rles : n RLE dicts. category : (n,) int64. score : (n,) float32, of its source. source : (n,) int64, the number of
    the source or `CONSENSUS`. iou : (n, n) float64. inside : (n, n) float64, the
    intersection over the smaller mask.
    """

    rles: list
    category: np.ndarray
    score: np.ndarray
    source: np.ndarray
    iou: np.ndarray
    inside: np.ndarray


def candidates(rles, category, score, source):
    """Candidates of all masks that have a pixel. All arguments have n entries."""
    area = rle.area(rles).astype(np.float64)
    some = np.flatnonzero(area)
    rles, area = [rles[n] for n in some], area[some]
    # a crowd's IoU is over the area of the first; whole pixels, so that halves are halves whichever mask is the first
    both = np.rint(rle.iou(rles, rles, np.ones(len(rles))) * area[:, None])
    iou = both / np.maximum(area[:, None] + area - both, 1)
    inside = both / np.maximum(np.minimum(area[:, None], area), 1)
    columns = (np.asarray(column)[some] for column in (category, score, source))
    return Candidates(rles, *columns, iou, inside)


def gathered(tables, images, tags):
    """Candidates of one photo, of its tags.

    tables : S Instances, one a source. images : S, the photo's place in each, None where it is not there. tags : ids.
    """
    columns = [[np.zeros(0, np.int64)], [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]]
    rles = []
    for source, (table, i) in enumerate(zip(tables, images)):
        rows = table.numbers(i) if i is not None else np.zeros(0, np.int64)
        rows = rows[np.isin(table.category[rows], tags) & (table.ignore[rows] == 0)]
        rles += table.rles(rows)
        for column, values in zip(columns, (table.category[rows], table.score[rows], np.full(len(rows), source))):
            column.append(values)
    return candidates(rles, *map(np.concatenate, columns))


def support(found, sources, *, at, same=True):
    """(n, sources) float64: the largest IoU of each candidate with one of each source, 0 below `at`.

    found : Candidates. same : with one of its class, or of another one. With its own class a candidate supports itself
    by 1 in its own source.
    """
    alike = found.category[:, None] == found.category
    iou = np.where((alike == same) & (found.iou >= at), found.iou, 0)
    return np.stack([iou[:, found.source == s].max(1, initial=0) for s in range(sources)], 1)


def with_consensus(found, trust, *, at):
    """Candidates of `found`, then the masks that several sources agree on, their score the mean of the votes.

    For every candidate the best one of its class of each source with IoU >= `at` has a vote of the source's trust,
    itself among them; a pixel belongs to their consensus where at least half of the votes say so. Equal ones are made
    once; one of a single voter is that voter and is left out. trust : (S,) float > 0.
    """
    n = len(found.rles)
    votes = np.zeros((n, n))
    same = found.category[:, None] == found.category
    iou = np.where(same & (found.iou >= at), found.iou, 0)
    for s, weight in enumerate(trust):
        own = np.flatnonzero(found.source == s)
        if len(own):
            best = iou[:, own].argmax(1)
            there = np.flatnonzero(iou[np.arange(n), own[best]] > 0)
            votes[there, own[best[there]]] = weight
    votes = np.unique(votes[(votes > 0).sum(1) > 1], axis=0)
    if not len(votes):
        return found
    voter = votes.argmax(1)  # any of them: all are of one class
    return candidates(
        [*found.rles, *Spans.of(found.rles).agreed(votes)],
        np.concatenate([found.category, found.category[voter]]),
        np.concatenate([found.score, (votes @ found.score / votes.sum(1)).astype(np.float32)]),
        np.concatenate([found.source, np.full(len(votes), CONSENSUS)]),
    )
