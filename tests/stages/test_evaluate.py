"""evaluate: mAP, ABO and true positives, each rule on numbers worked by hand."""

import math

import numpy as np
import pytest
from evaluate_tables import CROWD, DIFFICULT, SIZE, found, metrics, strip, table

from stages.evaluate import abo, measures, snapshots, voc
from stages.evaluate.config import Config
from stages.evaluate.overlaps import without_void
from tag2mask.data import rle


def ap(truth, predictions, threshold=0.5, category=1):
    return voc.per_class(found(truth, predictions), [category], [threshold])[0, 0]


# ---- mAP


def test_average_precision_by_hand():
    # hit, miss, hit, miss, hit of 4: precision 1, 1/2, 2/3, 1/2, 3/5; envelope at the hits 1, 2/3, 3/5
    hit = np.array([1, 0, 1, 0, 1], bool)
    assert voc.average_precision(hit, 4) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    # the envelope lifts an early low precision: miss, hit, hit -> 2/3 at both hits
    assert voc.average_precision(np.array([0, 1, 1], bool), 2) == pytest.approx(2 / 3)
    assert voc.average_precision(np.zeros(0, bool), 3) == 0
    assert math.isnan(voc.average_precision(np.zeros(4, bool), 0))


def test_curve_goes_over_all_photos_by_score():
    truth = table([(strip(0, 5), 1), (strip(10, 15), 1)], [(strip(0, 5), 1)])
    predictions = table(
        [(strip(0, 5), 1, 0.9), (strip(20, 25), 1, 0.7)], [(strip(0, 5), 1, 0.5), (strip(20, 25), 1, 0.8)]
    )
    # by score: hit, miss (photo 1), miss (photo 0), hit; three objects
    assert ap(truth, predictions) == pytest.approx((1 + 2 / 4) / 3)


def test_threshold_itself_is_a_hit():
    truth = table([(strip(0, 10), 1)])
    assert ap(truth, table([(strip(0, 7), 1, 0.5)]), 0.7) == 1
    assert ap(truth, table([(strip(0, 7), 1, 0.5)]), 0.71) == 0
    assert ap(truth, table([(strip(0, 5), 1, 0.5)]), 0.5) == 1


def test_void_pixels_leave_both_masks():
    rows = [(strip(0, 10), 1)]
    predictions = table([(strip(0, 18), 1, 0.5)])  # 10 / 18 without void
    assert ap(table(rows), predictions, 0.6) == 0
    assert ap(table({"rows": rows, "void": strip(14, 30)}), predictions, 0.6) == 1  # 10 / 14
    # from the object too: without the object's first 4 columns 6 / 10
    assert ap(table({"rows": rows, "void": strip(0, 4) | strip(14, 30)}), predictions, 0.6) == 1
    assert ap(table({"rows": rows, "void": strip(0, 5)}), predictions, 0.5) == 0  # 5 / 13: it can also cost a hit


def test_what_is_void_all_over_is_neither_hit_nor_miss():
    truth = table({"rows": [(strip(0, 10), 1), (strip(20, 24), 1)], "void": strip(20, 30)})
    predictions = table([(strip(22, 30), 1, 0.9), (strip(0, 10), 1, 0.8)])
    result = found(truth, predictions)
    assert result.counted.tolist() == [False, True] and result.truth_counted.tolist() == [True, False]
    assert ap(truth, predictions) == 1


def test_without_void_run_lengths():
    masks = np.array([strip(0, 6), strip(8, 9), np.zeros(SIZE, bool)])
    one = table({"rows": [(m, 1) for m in masks], "void": strip(0, 3) | strip(7, 10)})
    left, some = without_void(one.rles(slice(None)), one.void_rle(0))
    np.testing.assert_array_equal(rle.decode(left, SIZE), masks & ~one.void_mask(0))
    assert some.tolist() == [True, False, True]  # an empty prediction was never void: it stays a false positive


def test_difficult_objects_neither_hit_nor_miss():
    truth = table([(strip(0, 10), 1, None, DIFFICULT), (strip(15, 25), 1)])
    assert ap(truth, table([(strip(15, 25), 1, 0.5)])) == 1  # not missed
    # matched, also twice, before the real one: no false positive
    assert ap(truth, table([(strip(0, 9), 1, 0.9), (strip(0, 8), 1, 0.8), (strip(15, 25), 1, 0.5)])) == 1
    # on the same pixels the one that counts goes first
    same = table([(strip(0, 10), 1, None, DIFFICULT), (strip(0, 10), 1)])
    assert ap(same, table([(strip(0, 10), 1, 0.5)])) == 1
    # below the threshold it shields nothing
    assert ap(truth, table([(strip(0, 4), 1, 0.9), (strip(15, 25), 1, 0.5)])) == 0.5
    # another class gets no shield
    assert ap(truth, table([(strip(0, 10), 2, 0.9), (strip(15, 25), 1, 0.5)])) == 1


def test_crowds_neither_hit_nor_miss():
    truth = table([(strip(0, 14), 1, None, CROWD), (strip(15, 25), 1)])
    assert ap(truth, table([(strip(15, 25), 1, 0.5)])) == 1
    # three people of the crowd: IoU with it 2 / 14, but inside it
    people = [(strip(2 * n, 2 * n + 2), 1, 0.9) for n in range(3)]
    assert ap(truth, table([*people, (strip(15, 25), 1, 0.5)])) == 1
    # a third inside it: a false positive
    assert ap(truth, table([(strip(13, 16), 1, 0.9), (strip(15, 25), 1, 0.5)])) == 0.5
    # a hit stays a hit where a crowd lies under it
    assert ap(table([(strip(0, 30), 1, None, CROWD), (strip(15, 25), 1)]), table([(strip(15, 25), 1, 0.5)])) == 1


def test_duplicates_are_false_positives():
    truth = table([(strip(0, 10), 1), (strip(10, 20), 1)])
    twice = table([(strip(0, 10), 1, 0.9), (strip(0, 9), 1, 0.8), (strip(10, 20), 1, 0.7)])
    assert ap(truth, twice) == pytest.approx((1 + 2 / 3) / 2)
    # judged against the object it overlaps most only, also where another one is free (VOC, not COCO)
    wide = table([(strip(0, 10), 1, 0.9), (strip(0, 18), 1, 0.8)])  # IoU 10/18 and 8/20
    assert ap(truth, wide, 0.25) == pytest.approx(1 / 2)


def test_mean_is_over_the_classes_of_the_truth():
    truth = table([(strip(0, 10), 1), (strip(10, 20), 2, None, DIFFICULT)])
    result = metrics(truth, table([(strip(0, 10), 1, 0.5), (strip(20, 30), 3, 0.9)]))
    assert result["mAP50"] == 1 and result["ABO"] == 1 and result["AP50"] == pytest.approx(1)
    by_name = {one["name"]: one for one in result["classes"]}
    assert "owl" not in by_name  # predicted, but not in the truth
    assert by_name["dog"]["objects"] == 0 and by_name["dog"]["mAP50"] is None  # difficult only
    assert by_name["dog"]["mIoU"] == 0  # its pixels are there all the same
    assert result["objects"] == 1 and result["instances"] == 2


def test_four_thresholds_by_hand():
    truth = table([(strip(0, 10), 1)], [(strip(0, 10), 1)])
    predictions = table([(strip(0, 7), 1, 0.9)], [(strip(0, 3), 1, 0.8)])
    result = metrics(truth, predictions)
    assert [result[f"mAP{t}"] for t in (25, 50, 70, 75)] == [1, 0.5, 0.5, 0]
    assert result["classes"][0]["mAP25"] == 1


# ---- ABO


def test_abo_by_hand():
    truth = table(
        [(strip(0, 10), 1), (strip(10, 20), 1), (strip(20, 30), 2), (strip(0, 5), 2, None, DIFFICULT)],
        [(strip(0, 10), 1), (strip(20, 30), 2, None, CROWD)],
    )
    predictions = table(
        [(strip(0, 8), 1, 0.01), (strip(0, 4), 1, 0.9), (strip(10, 15), 1, 0.5), (strip(10, 20), 2, 0.9)], []
    )
    result = found(truth, predictions)
    # cat: 0.8 (the low score is no matter), 0.5, and 0 in the photo without predictions; dog: 0
    np.testing.assert_allclose(abo.per_class(result, [1, 2, 3]), [(0.8 + 0.5 + 0) / 3, 0, np.nan])
    assert metrics(truth, predictions)["ABO"] == pytest.approx((1.3 / 3 + 0) / 2)


def test_abo_looks_at_the_best_scored_of_a_photo_whatever_their_class():
    truth = table([(strip(0, 10), 1)])
    rows = [(strip(0, 10), 1, 0.1), (strip(20, 30), 2, 0.9), (strip(0, 5), 1, 0.5)]
    assert found(truth, table(rows), top=3).truth_best.tolist() == [1]
    assert found(truth, table(rows), top=2).truth_best.tolist() == [0.5]
    assert found(truth, table(rows), top=1).truth_best.tolist() == [0]


def test_abo_without_void():
    truth = table({"rows": [(strip(0, 10), 1)], "void": strip(10, 30)})
    assert found(truth, table([(strip(0, 20), 1, 0.5)])).truth_best.tolist() == [1]


def test_proposals_at_counts():
    truth = table([(strip(0, 10), 1), (strip(20, 30), 2)], [(strip(0, 20), 2), (strip(0, 5), 1, None, CROWD)])
    first = table([(strip(20, 24), 0, 0.9), (strip(0, 10), 0, 0.8), (strip(20, 26), 0, 0.7)])
    second = table({"id": "p1", "rows": [(strip(0, 14), 0, 0.4), (strip(0, 15), 0, 0.5)]})
    config = Config(proposal_counts=(1, 2, 50))
    result = measures.proposal_metrics(truth, [first, second], config)
    rows = result["counts"]
    assert [row["count"] for row in rows] == [1, 2, 50] and result["objects"] == 3 and result["masks"] == 5
    assert [row["ABO"] for row in rows] == pytest.approx([(0 + 0.4 + 0.75) / 3, (1 + 0.4 + 0.75) / 3, 2.35 / 3])
    assert [row["recall50"] for row in rows] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [row["recall70"] for row in rows] == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert rows[0]["by_size"]["small"]["objects"] == 3 and rows[0]["by_size"]["large"]["ABO"] is None
    # a photo without proposals counts with zeros
    result = measures.proposal_metrics(truth, [first], config)
    assert result["photos_without_proposals"] == 1 and result["counts"][2]["ABO"] == pytest.approx(1.6 / 3)


# ---- true positives, nothing to find


def test_true_positives_over_training_time_by_hand():
    # two objects in p0, one in p1. At iteration 10: one label at IoU 0.4, nothing found. At 20: p0 has one hit, and a
    # second label on the same object, no second true positive; p1 has its hit. Other photos are left out.
    truth = table([(strip(0, 10), 1), (strip(15, 25), 1)], [(strip(0, 10), 2)])
    early = {"id": "000010/p0", "rows": [(strip(0, 4), 1)]}
    late = {"id": "000020/p0", "rows": [(strip(0, 8), 1, 0.9), (strip(0, 9), 1, 0.8)]}
    other = {"id": "000020/p1", "rows": [(strip(0, 10), 2)]}
    foreign = {"id": "000020/elsewhere", "rows": [(strip(0, 10), 2)]}
    rows = snapshots.over_time(truth, table(late, foreign, other, early))
    assert [row["iteration"] for row in rows] == [10, 20]
    assert [row["true_positives"] for row in rows] == [0, 2]
    assert [(row["photos"], row["objects"], row["instances"]) for row in rows] == [(1, 2, 1), (2, 3, 3)]
    assert rows[1]["mAP50"] == pytest.approx((0.5 + 1.0) / 2)  # class 1: hit, miss of 2 objects; class 2: found
    assert snapshots.over_time(truth, table(foreign)) is None


def test_true_positives_by_hand():
    truth = table([(strip(0, 10), 1), (strip(15, 25), 1)])
    labels = table([(strip(0, 8), 1, 0.9), (strip(0, 9), 1, 0.8), (strip(15, 18), 1, 0.7)])
    assert metrics(truth, labels)["true_positives"] == 1


def test_nothing_predicted_and_nothing_to_find():
    empty = metrics(table([(strip(0, 10), 1)]), table([]))
    assert empty["mAP50"] == empty["ABO"] == empty["AP"] == 0 and empty["mIoU"] == pytest.approx(20 / 30 / 2)
    nothing = metrics(table([]), table([(strip(0, 10), 1)]))
    assert nothing["mAP50"] is None and nothing["AP"] is None and nothing["objects"] == 0
