"""CIM's first labels (Sec. 3.2) and Algorithm 1, one test a line or special case, with numbers worked by hand.

Photos are one row of pixels; a proposal is (start, stop).
"""

import cim_slow as slow
import numpy as np
import pytest
import torch
from cim_rows import ALL, PRINTED, assigned, columns, mined, overlaps, row

from stages.cim import agpl, mining
from stages.cim.sets import sets_of


def first(masks, peaks, columns):
    """(labels, clusters) with the printed thresholds; peaks are pixels of the row."""
    found, containing = sets_of(*slow.runs_of(masks), masks.shape[1:], yx=[(0, x) for x in peaks])
    labels = agpl.first_labels(found, containing, columns, support=0.7, support_iou=0.5)
    return labels.label.tolist(), labels.cluster.tolist()


# ---- Sec. 3.2, first labels


def test_eq_1_and_2_are_strict():
    masks = row(*[(0, 1)] * 2, (0, 2), *[(0, 3)] * 7, (1, 3))
    # ten contain the peak at 0; pixel 1 is in 8 of them, pixel 2 in 7, which is not above 0.7: support [0, 2)
    # IoU 1/2 (not above 0.5: background), 1, 2/3, and 1/3 of the last, which with pixel 2 would have 2/3
    assert first(masks, [0], [3])[0] == [0, 0, 3] + [3] * 7 + [0]


def test_eq_1_a_part_of_two_thirds_is_no_support():
    masks = row((0, 4), (0, 8), (0, 16))
    # the peak at 0 is in all, 4..8 in 2/3, which is below 0.7: support [0, 4); IoU 1, 1/2, 1/4
    assert first(masks, [0], [1])[0] == [1, 0, 0]


def test_eq_2_a_stronger_peak_overwrites_a_weaker_one():
    masks = row((0, 6), (0, 6), (0, 10), (0, 10))
    # peak 0: in all, pixels 6..10 in half: support [0, 6). Peak 8: in the last two: support [0, 10)
    # the last two: IoU 6/10 with the first support, 1 with the second; the first two: 1 and 6/10
    assert first(masks, [0, 8], [1, 2]) == ([1, 1, 1, 1], [0, 0, 0, 0])  # not by the larger IoU
    assert first(masks, [8, 0], [2, 1]) == ([2, 2, 2, 2], [0, 0, 0, 0])


def test_without_peaks_all_are_background_each_by_itself():
    assert first(row((0, 4), (0, 4), (9, 10)), [], []) == ([0, 0, 0], [0, 1, 2])


def test_a_peak_that_no_proposal_contains_has_no_support_mask():
    masks = row((0, 4), (2, 4), (9, 10))
    assert first(masks, [20], [1]) == ([0, 0, 0], [0, 1, 2])  # as if there were none
    # beside another: peak 0 is in the first alone, support [0, 4); IoU 1, 1/2, 0
    assert first(masks, [20, 0], [1, 2]) == ([2, 0, -1], [0, 1, -1])


def test_clusters_one_a_support_mask_and_one_a_background_proposal():
    masks = row((0, 4), (0, 4), (6, 10), (3, 7), (12, 14), (0, 1), (6, 9))
    # peaks 1 and 9, one class. Support of 1: [0, 4). Of 9: only (6, 10), [6, 10)
    # (3, 7): IoU 1/7 with either: background. (12, 14): none, left out. (0, 1): 1/4, background. (6, 9): 3/4
    label, cluster = first(masks, [1, 9], [1, 1])
    assert label == [1, 1, 1, 0, -1, 0, 1]
    assert cluster == [0, 0, 1, 2, -1, 3, 1]  # of one class, yet two clusters


# ---- Algorithm 1, lines 5 to 7: seeds


@pytest.mark.parametrize(("number", "count"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (30, 3)])
def test_line_6_keeps_a_tenth_of_the_proposals_rounded_up(number, count):
    masks = row(*[(k, k + 1) for k in range(number)])
    y = columns([0.5] * number)
    assert mined(masks, y, y, options=PRINTED)[1] == list(range(count))  # equal scores: the first


def test_line_6_rounds_up_the_printed_share_not_its_float():
    masks, y = row(*[(k, k + 1) for k in range(25)]), columns([0.5] * 25)
    assert 0.28 * 25 > 7  # 7.000000000000001
    assert mined(masks, y, y, options=PRINTED | dict(seed_share=0.28))[1] == list(range(7))


def test_line_5_sorts_equal_scores_in_order():
    masks = row(*[(k, k + 1) for k in range(11)])
    y = [0.1] * 11
    y[3] = y[7] = y[9] = 0.5
    assert mined(masks, columns(y), columns([1] * 11), options=PRINTED)[1] == [3, 7]


def test_line_7_a_seed_goes_that_overlaps_a_better_one_by_the_threshold_or_more():
    masks = row((0, 4), (0, 3), (3, 7))  # IoU 3/4; 1/7; 0
    y = columns([0.9, 0.8, 0.7])
    assert mined(masks, y, y, options=ALL | dict(seed_nms=0.75))[1] == [0, 2]
    assert mined(masks, y, y, options=ALL | dict(seed_nms=0.76))[1] == [0, 1, 2]


def test_line_7_a_suppressed_one_suppresses_nothing():
    masks = row((0, 4), (2, 6), (4, 8), (6, 10))  # neighbours 2/6, others 0
    y = columns([0.9, 0.8, 0.7, 0.6])
    assert mined(masks, y, y)[1] == [0, 2]
    y = columns([0.6, 0.9, 0.8, 0.7])  # 1 takes 0 and 2 away; 3 touches only 2
    assert mined(masks, y, y)[1] == [1, 3]


# ---- Algorithm 1, lines 8 to 11: pseudo ground truth


def test_lines_9_to_11_the_most_integral_of_those_that_contain_the_seed():
    masks = row((0, 20), (3, 30), (2, 30), (1, 30), (0, 19))
    # M with the seed 0: 1; 17/20, which is not above 0.85; 18/20; 19/20; 19/20
    y, t = columns([0.9, 0.1, 0.5, 0.5, 0.1]), columns([0.1, 0.9, 0.5, 0.5, 0.2])
    assert mined(masks, y, t, options=PRINTED) == ({2: (1, 0.25)}, [0])  # 2 and 3 alike: the first; 0.5 x 0.5


def test_line_11_a_seed_that_nothing_else_contains_is_its_own_truth():
    masks = row((0, 8), (1, 4), (20, 24))
    # the seed 0 is contained by nothing; 1 would be the seed's part: 3/8
    assert mined(masks, columns([0.9, 0.2, 0.1]), columns([0.5, 0.9, 1]), options=PRINTED) == ({0: (1, 0.45)}, [0])


def test_two_seeds_of_one_truth_mine_it_once():
    masks = row((0, 2), (4, 6), (0, 8))  # the last contains both
    y, t = columns([0.5, 0.5, 0.25]), columns([0.1, 0.1, 0.8])
    # IoU of (0, 8) with the others 2/8, which goes at 0.25: seeds 0 and 1
    assert mined(masks, y, t) == ({2: (1, 0.2)}, [0, 1])


def test_a_proposal_of_two_classes_goes_to_the_higher_product():
    masks = row((0, 4), (10, 12))
    y, t = columns([0.75, 0.1], [0.5, 0.1]), columns([0.5, 0.1], [1.0, 0.1])
    # class 1: 0.75 x 0.5 = 0.375; class 2: 0.5 x 1 = 0.5
    assert mined(masks, y, t, tags=(1, 2), options=PRINTED) == ({0: (2, 0.5)}, [0])
    same = columns([0.5, 0.1], [0.5, 0.1])
    assert mined(masks, same, same, tags=(1, 2), options=PRINTED) == ({0: (1, 0.25)}, [0])  # equal: the first class


def test_only_tagged_classes_are_mined():
    masks, y = row((0, 4)), columns([0.5], [0.9])
    assert mined(masks, y, y, tags=(1,)) == ({0: (1, 0.25)}, [0])
    assert mined(masks, y, y, tags=np.zeros(0, int)) == ({}, [])


def test_a_class_that_no_proposal_shows_mines_at_no_weight():
    masks = row((0, 4), (8, 12))
    zero = columns([0.0, 0.0])
    assert mined(masks, zero, zero) == ({0: (1, 0.0), 1: (1, 0.0)}, [0, 1])


def test_mist_takes_the_seeds_themselves():
    masks = row((0, 20), (2, 30))
    y, t = columns([0.75, 0.1]), columns([0.5, 0.9])
    assert mined(masks, y, t, kind="mist", options=PRINTED) == ({0: (1, 0.375)}, [0])
    assert mined(masks, y, t, kind="cim", options=PRINTED)[0].keys() == {1}  # which contains 18/20 of it


# ---- big proposals


def with_one_big(outside):
    """Ten proposals, of which the first contains itself and all of the others but `outside`."""
    return row((0, 10), *[(k, k + 1) for k in range(9 - outside)], *[(20 + k, 21 + k) for k in range(outside)])


def big_of(masks):
    found = overlaps(masks)
    return mining.big_ones(found.shared, found.area, contain=0.85, share=0.9).tolist()


def test_a_proposal_is_big_that_contains_nine_of_ten():
    assert big_of(with_one_big(1)) == [True] + [False] * 9  # 9 of 10 with itself
    assert big_of(with_one_big(2)) == [False] * 10


def test_where_all_would_be_big_none_is():
    assert big_of(row((0, 5))) == [False]
    assert big_of(row(*[(0, 5)] * 4)) == [False] * 4


def test_big_proposals_are_never_mined_and_are_background():
    masks, big = with_one_big(1), [True] + [False] * 9
    y, t = columns([0.1, 0.9, *[0.1] * 8]), columns([1.0, 0.5, *[0.1] * 8])
    found = overlaps(masks, big=big)
    truth = mining.mine(found, y, t, torch.tensor([1]), rank=y, **PRINTED)
    assert truth.index.tolist() == [1] and truth.weight.tolist() == [0.45]  # though 0 contains it and has t = 1
    for class_iou in (0.25, 0.05):  # IoU of the big one with the truth: 1/10
        labels = mining.assign(found, truth, class_iou=class_iou, integrity_iou=0.5)
        assert labels.label.tolist() == [0, 1] + [-1] * 8


def test_big_proposals_are_no_seeds_either():
    masks, big = with_one_big(1), [True] + [False] * 9
    y, t = columns([0.9, 0.5, *[0.1] * 8]), columns([0.5] * 10)
    assert mined(masks, y, t, big=big, options=PRINTED) == ({1: (1, 0.25)}, [1])
    assert mined(masks, y, t, big=big, options=PRINTED, kind="mist") == ({1: (1, 0.25)}, [1])
    # as printed and released it is the seed, and as nothing else contains it no truth is mined
    printed = slow.mine(masks, big, y.tolist(), t.tolist(), [1], rank=y.tolist(), kind="cim", big_seeds=True, **PRINTED)
    assert printed == ({}, {0})


# ---- one or equal proposals


def test_one_proposal():
    masks, y, t = row((3, 9)), columns([0.5]), columns([0.5])
    assert mined(masks, y, t, big=big_of(masks), options=PRINTED) == ({0: (1, 0.25)}, [0])
    assert first(masks, [4], [2]) == ([2], [0]) and first(masks, [4, 5], [2, 1]) == ([2], [0])


def test_all_proposals_alike():
    masks = row(*[(3, 9)] * 4)
    y, t = columns([0.25, 0.5, 0.5, 0.25]), columns([0.25, 0.5, 0.75, 0.75])
    # the best class score is 1's (before 2); it suppresses its copies; the most integral copy is 2 (before 3)
    assert mined(masks, y, t, big=big_of(masks)) == ({2: (1, 0.375)}, [1])
    labels = assigned(masks, {2: (1, 0.375)})
    assert labels == [(1, True, 0.375)] * 4
