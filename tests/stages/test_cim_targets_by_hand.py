"""CIM's Eq. 4 to 6, thresholds of the branches and sampling (Sec. 3.5, 3.6), with numbers worked by hand.

Photos are one row of pixels; a proposal is (start, stop).
"""

import time

import numpy as np
import pytest
import torch
from cim_rows import PRINTED, assigned, columns, overlaps, row

from stages.cim import agpl, mining, targets
from stages.cim.config import Config
from stages.cim.network import Scores
from stages.cim.sets import sets_of

# ---- Eq. 4 to 6


def test_eq_4_and_5_are_strict_and_proposals_without_overlap_are_left_out():
    masks = row((0, 4), (0, 16), (0, 15), (2, 6), (0, 8), (0, 7), (4, 8))
    # IoU with the truth (0, 4): 1, 4/16 = tau_cls, 4/15, 2/6, 4/8 = tau_iou, 4/7, 0
    labels = assigned(masks, {0: (2, 0.5)})
    assert [label for label, _, _ in labels] == [2, 0, 2, 2, 2, 2, -1]
    assert [whole for _, whole, _ in labels] == [True, False, False, False, False, True, False]
    assert [weight for _, _, weight in labels] == [0.5] * 6 + [0.0]


def test_eq_4_to_6_are_those_of_the_truth_that_a_proposal_overlaps_most():
    masks = row((0, 4), (4, 10), (0, 7), (2, 6))
    # (0, 7): 4/7 with the first, 3/10 with the second. (2, 6): 2/6 and 2/8
    labels = assigned(masks, {0: (1, 0.25), 1: (2, 0.75)})
    assert labels == [(1, True, 0.25), (2, True, 0.75), (1, True, 0.25), (1, False, 0.25)]


def test_a_proposal_between_two_truths_takes_the_first():
    assert assigned(row((0, 4), (4, 8), (2, 6)), {0: (2, 0.25), 1: (1, 0.75)})[2] == (2, False, 0.25)


def test_photos_without_truth():
    masks = row((0, 4), (4, 8))
    assert [label for label, _, _ in assigned(masks, {})] == [-1, -1]  # tagged, but nothing was mined
    assert assigned(masks, {}, tagged=False) == [(0, False, 1.0)] * 2


# ---- branches


def test_thresholds_rise_by_the_cascade():
    wanted = [(0.25, 0.5), (0.35, 0.6), (0.45, 0.7)]
    assert [targets.thresholds(Config(), k) for k in (1, 2, 3)] == [pytest.approx(one) for one in wanted]
    assert targets.thresholds(Config(cascade=0), 3) == (0.25, 0.5)


def test_the_cascade_does_not_move_an_overlap_across_its_threshold():
    # 35 and 60, 45 and 70 of 100 are not above the thresholds of the second and third branch, however they round
    for k, wanted in ((2, (35, 60)), (3, (45, 70))):
        assert all(n / 100 <= limit for n, limit in zip(wanted, targets.thresholds(Config(), k)))


def scored(y, t):
    """Scores of two branches alike."""
    return Scores(torch.log(torch.stack([y, y]).clamp(min=1e-30)), torch.stack([t, t]))


def test_tau_nms_is_tau_cls_of_the_branch():
    found = overlaps(row((0, 13), (7, 20)))  # IoU 6/20: goes at 0.25, stays at 0.35
    scores, present = scored(columns([0.5, 0.25]), columns([0.5, 0.5])), torch.tensor([True, True])
    config = Config(seed_share=1)
    assert targets.mined_by(scores, 0, found, present, config=config).seeds.tolist() == [True, False]
    assert targets.mined_by(scores, 1, found, present, config=config).seeds.tolist() == [True, True]
    fixed = Config(seed_share=1, seed_nms=0.5)
    assert targets.mined_by(scores, 0, found, present, config=fixed).seeds.tolist() == [True, True]


def test_mist_chooses_the_first_branchs_seeds_by_the_product():
    found = overlaps(row((0, 4), (10, 14)))
    scores, present = scored(columns([0.5, 0.25]), columns([0.25, 1.0])), torch.tensor([True, True])
    for mining_kind, branch, seed in (("mist", 0, 1), ("mist", 1, 0), ("cim", 0, 0), ("cim", 1, 0)):
        config = Config(mining=mining_kind)
        assert targets.mined_by(scores, branch, found, present, config=config).seeds.tolist().index(True) == seed


def test_labels_of_a_branch_from_the_scores_before_it():
    # seed 0 (of 4: ceil(0.4) = 1), contained by 1 (18/20), not by 2 (17/20); truth 1, weight 0.5 x 0.5
    # IoU with it: 18/30, 1, 27/28, 0
    found = overlaps(row((0, 20), (2, 30), (3, 30), (30, 32)))
    y, t = columns([0.9, 0.5, 0.1, 0.1]), columns([0.1, 0.5, 1.0, 1.0])
    for k, whole in ((1, [True, True, True]), (2, [False, True, True])):  # 18/30 = 0.6 is not above 0.6
        labels, truth = targets.pseudo_labels(
            scored(y, t), k, found, torch.tensor([True, True]), torch.zeros(4).double(), config=Config()
        )
        assert truth.index.tolist() == [1] and labels.label.tolist() == [1, 1, 1, -1]
        assert labels.whole.tolist()[:3] == whole and labels.weight.tolist()[:3] == pytest.approx([0.25] * 3)


# ---- Sec. 3.6, sampling


def drawn(weights, classes, draws):
    number = len(weights)
    made = mining.Mined(torch.arange(number), torch.tensor(classes), torch.tensor(weights).double(), torch.ones(number))
    return mining.sampled(made, torch.tensor(draws).double()).index.tolist()


def test_draws_fall_in_the_parts_of_the_cumulative_weight():
    # parts [0, 1/2), [1/2, 3/4), [3/4, 1)
    assert drawn([0.5, 0.25, 0.25], [1, 1, 1], [0.49, 0.5, 0.9]) == [0, 1, 2]
    assert drawn([0.5, 0.25, 0.25], [1, 1, 1], [0.0, 0.1, 0.4]) == [0]
    assert drawn([0.5, 0.25, 0.25], [1, 1, 1], [0.76, 0.99, 0.51]) == [1, 2]


def test_draws_are_of_a_class_and_by_relative_weight():
    # class 1: rows 1 and 3, parts [0, 1/4), [1/4, 1); the first two draws. Class 2: rows 0 and 2, halves
    assert drawn([0.125, 0.0625, 0.125, 0.1875], [2, 1, 2, 1], [0.2, 0.1, 0.6, 0.9]) == [1, 2]
    assert drawn([0.125, 0.0625], [2, 1], [0.99, 0.99]) == [0, 1]  # one of a class always stays


def test_weights_of_zero_are_never_drawn_but_where_all_are():
    assert drawn([0.0, 0.5, 0.0], [1, 1, 1], [0.0, 0.5, 0.999]) == [1]
    assert drawn([0.0, 0.0], [1, 1], [0.6, 0.7]) == [1]
    assert drawn([], [], []) == []


def test_tiny_weights_are_drawn_by_them_too():
    assert drawn([0.9, 1e-20, 3e-20], [1, 2, 2], [0.5, 0.1, 0.2]) == [0, 1]
    assert drawn([0.9, 1e-20, 3e-20], [1, 2, 2], [0.5, 0.3, 0.9]) == [0, 2]


# ---- many proposals


def test_thousands_of_proposals_in_seconds():
    rng, number = np.random.default_rng(0), 2100
    masks = np.zeros((number, 40, 40), bool)
    for mask in masks:
        (y, x), (height, width) = rng.integers(0, 30, 2), rng.integers(1, 20, 2)
        mask[y : y + height, x : x + width] = True
    # run lengths: masks begin and end with background
    masks[:, :, [0, -1]] = False
    masks = masks[masks.any((1, 2))][:2050]
    number, turns = 2050, [np.flatnonzero(np.diff(mask.T.ravel())) + 1 for mask in masks]
    runs = np.concatenate([np.diff([0, *turn, 1600]) for turn in turns])
    begin = np.cumsum([0, *(len(turn) + 1 for turn in turns)])
    peaks, tags = rng.integers(0, 40, (8, 2)), torch.tensor([1, 5, 9])
    start = time.perf_counter()
    found, containing = sets_of(runs, begin, (40, 40), yx=peaks)
    labels = agpl.first_labels(found, containing, rng.integers(1, 10, 8), support=0.7, support_iou=0.5)
    shared, area = found.shared(), torch.from_numpy(found.area).float()
    both = mining.Overlaps(shared, area, mining.big_ones(shared, area, contain=0.85, share=0.9))
    y, t = torch.from_numpy(rng.random((2, number, 21)))
    truth = mining.mine(both, y, t, tags, rank=y, **PRINTED)
    truth = mining.sampled(truth, torch.from_numpy(rng.random(len(truth.index))))
    assigned = mining.assign(both, truth, class_iou=0.25, integrity_iou=0.5)
    assert time.perf_counter() - start < 30
    flat = masks.reshape(number, -1).astype(np.float32)
    assert np.array_equal(shared.numpy(), flat @ flat.T)
    assert len(labels.label) == len(assigned.label) == number and (assigned.label > 0).any()
    assert set(truth.column.tolist()) == {1, 5, 9}
