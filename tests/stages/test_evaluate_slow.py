"""mAP, ABO and mIoU against a slow, obviously right version; many rows at once."""

import math

import numpy as np
import pytest
from evaluate_tables import CROWD, NAMES, found, random_table, strip, table
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluate import semantic, voc
from tag2mask.data.instances import Instances
from tag2mask.data.labelmaps import class_runs, merge


def slow_iou(a, b, void):
    a, b = a & ~void, b & ~void
    return (a & b).sum() / (a | b).sum() if (a | b).any() else 0.0


def slow_average_precision(truth, predictions, category, threshold):
    """One loop over everything, dense masks; area summed under the curve step by step."""
    taken, curve = set(), []
    rows = [(n, i) for n, i in enumerate(predictions.image_of_row) if predictions.category[n] == category]
    objects = [
        n for n, i in enumerate(truth.image_of_row)
        if truth.category[n] == category and truth.ignore[n] == 0
        and (truth.mask(n) & ~truth.void_mask(i)).any() | ~truth.mask(n).any()
    ]  # fmt: skip
    for n, i in sorted(rows, key=lambda row: -predictions.score[row[0]]):
        void, mask = truth.void_mask(i), predictions.mask(n)
        if mask.any() and not (mask & ~void).any():
            continue
        best, at = 0.0, None
        same = [m for m in range(truth.rows(i).start, truth.rows(i).stop) if truth.category[m] == category]
        for m in sorted(same, key=lambda m: m not in objects):
            if truth.ignore[m] != CROWD and slow_iou(mask, truth.mask(m), void) > best:
                best, at = slow_iou(mask, truth.mask(m), void), m
        if at is not None and best >= threshold:
            if at in objects:
                curve.append(at not in taken)
                taken.add(at)
            continue
        inside = [((mask & truth.mask(m) & ~void).sum() / (mask & ~void).sum()) for m in same
                  if truth.ignore[m] == CROWD and mask.any()]  # fmt: skip
        if not any(share >= threshold for share in inside):
            curve.append(False)
    if not objects:
        return math.nan
    points = [(sum(curve[: k + 1]) / len(objects), sum(curve[: k + 1]) / (k + 1)) for k in range(len(curve))]
    area, before = 0.0, 0.0
    for recall, _ in points:
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_same_as_the_slow_version(seed):
    rng = np.random.default_rng(seed)
    truth, predictions = random_table(rng, 3, truth=True), random_table(rng, 3, truth=False)
    thresholds = [0.25, 0.5, 0.7, 0.75]
    result = found(truth, predictions, top=3)
    slow = [[slow_average_precision(truth, predictions, c, t) for t in thresholds] for c in NAMES]
    np.testing.assert_allclose(voc.per_class(result, list(NAMES), thresholds), slow, atol=1e-12)
    for m, i in enumerate(truth.image_of_row):
        rows = np.arange(len(predictions))[predictions.rows(i)]
        rows = sorted(rows, key=lambda n: -predictions.score[n])[:3]
        ious = [slow_iou(predictions.mask(n), truth.mask(m), truth.void_mask(i)) for n in rows
                if predictions.category[n] == truth.category[m]]  # fmt: skip
        if result.truth_counted[m]:
            assert result.truth_best[m] == pytest.approx(max(ious, default=0.0))
    hit, union = np.zeros(4), np.zeros(4)
    for i in range(3):
        a, b = merge(truth, i, truth=True), merge(predictions, i)
        for c in range(4):
            hit[c] += ((a == c) & (b == c)).sum()
            union[c] += (((a == c) | (b == c)) & (a != -1)).sum()
    iou = semantic.class_iou(semantic.confusion(truth, predictions, [1, 2, 3]))
    np.testing.assert_allclose(iou[~np.isnan(iou)], (hit / np.maximum(union, 1))[~np.isnan(iou)])


def painted(one, i, *, floor, truth):
    """(H, W): masks painted pixel by pixel, the hindmost first."""
    rows = [n for n in one.numbers(i) if one.score[n] >= floor and (one.category[n] > 0 or one.ignore[n] == 1)]
    crowd = {n: bool(truth and one.ignore[n] == 1) for n in rows}
    out = np.zeros(tuple(one.size[i]), int)
    for n in sorted(rows, key=lambda n: (not crowd[n], one.score[n], -one.mask(n).sum(), -n)):
        out[one.mask(n)] = -1 if crowd[n] else one.category[n]
    if truth:
        out[one.void_mask(i)] = -1
    return out


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0, 0.5]))
def test_runs_of_classes_are_the_painted_pixels(seed, truth, floor):
    one = random_table(np.random.default_rng(seed), 3, truth=truth)
    for i in range(3):
        values, stops = class_runs(one, i, floor=floor, truth=truth)
        assert stops[-1] == np.prod(one.size[i]) and (np.diff(stops, prepend=0) > 0).all() and len(values) == len(stops)
        assert np.array_equal(merge(one, i, floor=floor, truth=truth), painted(one, i, floor=floor, truth=truth))


def test_runs_of_no_length_change_nothing():
    """As another tool may write them: 2 pixels and 1 with no gap between; 3 pixels, none, 1 with no gaps."""
    runs = [0, 2, 0, 1, 3, 2, 0, 3, 0, 0, 0, 1, 4]
    one = Instances(
        {1: "a", 2: "b"}, ["x"], np.array([[4, 2]]), np.array([0, 2]), np.array([1, 2]), np.array([1, 2]),
        np.array([0.5, 0.9]), np.zeros((2, 4)), np.ones(2), np.zeros(2, int), np.array([0, 6, 13]),
        np.array(runs, np.uint32), np.zeros(2, int), np.zeros(0, np.uint32),
    )  # fmt: skip
    assert merge(one, 0).T.tolist() == [[2, 2, 2, 2], [0, 0, 1, 1]]


def test_many_predictions_stay_quick_enough_to_use():
    """10^5 rows go through ranking and matching in whole arrays: no loop over them is left in voc."""
    rng = np.random.default_rng(0)
    n = 100_000
    from stages.evaluate.overlaps import Overlaps

    fake = Overlaps(
        np.full(5000, 1), np.ones(5000, bool), np.zeros(5000), np.full(n, 1), rng.random(n),
        np.ones(n, bool), rng.integers(0, 5000, n), rng.random(n), np.zeros(n),
    )  # fmt: skip
    hit, judged, _ = voc.hits(fake, 0.5)
    assert hit.sum() == 5000 and judged.all()


def test_area_of_more_than_255_masks():
    rows = [(strip(0, 1 + n % 30), 1) for n in range(600)]
    assert table(rows).area.tolist() == [4 * (1 + n % 30) for n in range(600)]
