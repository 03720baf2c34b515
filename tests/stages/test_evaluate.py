"""evaluate: each rule on numbers worked by hand, and everything against a slow, obviously right version."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common import rle
from stages.common.errors import UserError
from stages.common.instances import Instances, InstancesBuilder
from stages.common.job import Job
from stages.common.maps import MapsBuilder
from stages.evaluate import abo, measures, run, semantic, snapshots, voc
from stages.evaluate.__main__ import main
from stages.evaluate.config import Config
from stages.evaluate.overlaps import align, overlaps, without_void

NAMES = {1: "cat", 2: "dog", 3: "owl"}
SIZE = (4, 30)
CROWD, DIFFICULT = 1, 2


def strip(first, last, size=SIZE):
    """A mask of full height over the columns first .. last - 1: shares of strips are easy to work out."""
    mask = np.zeros(size, bool)
    mask[:, first:last] = True
    return mask


def table(*photos, categories=NAMES):
    """Instances of photos, each a list of (mask, category, score or None, ignore) or a dict with void, size, rows."""
    builder = InstancesBuilder(categories)
    for number, photo in enumerate(photos):
        photo = photo if isinstance(photo, dict) else {"rows": photo}
        size, rows = photo.get("size", SIZE), photo["rows"]
        builder.add(
            photo.get("id", f"p{number}"), size, np.array([r[0] for r in rows]).reshape(-1, *size),
            category=[r[1] for r in rows], score=[r[2] if len(r) > 2 and r[2] is not None else 1 for r in rows],
            ignore=[r[3] if len(r) > 3 else 0 for r in rows], void=photo.get("void"),
        )  # fmt: skip
    return builder.finish()


def found(truth, predictions, top=100):
    return overlaps(truth, align(truth, predictions), top=top)


def ap(truth, predictions, threshold=0.5, category=1):
    return voc.per_class(found(truth, predictions), [category], [threshold])[0, 0]


def metrics(truth, predictions, **keys):
    return measures.instance_metrics(truth, predictions, Config(**keys))


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


# ---- mIoU


def test_miou_by_hand():
    truth = table({"rows": [(strip(0, 10), 1), (strip(10, 20), 2)], "void": strip(28, 30)})
    predictions = table([(strip(0, 12), 1, 0.5), (strip(10, 30), 2, 0.4)])
    # columns: cat 0-12 (the higher score), dog 12-30, void 28-30 not counted; truth: cat 0-10, dog 10-20, ground 20-28
    result = metrics(truth, predictions)
    assert result["background_IoU"] == 0
    assert [one["mIoU"] for one in result["classes"]] == pytest.approx([10 / 12, 8 / 18])
    assert result["mIoU"] == pytest.approx((0 + 10 / 12 + 8 / 18) / 3)
    floor = metrics(truth, predictions, merge_floor=0.45)  # the dog goes, the ground comes back
    assert floor["background_IoU"] == pytest.approx(8 / 16)


def test_merge_order_and_crowds():
    rows = [(strip(0, 10), 1, 0.5), (strip(4, 8), 2, 0.5), (strip(0, 30), 3, 0.4), (strip(4, 8), 1, 0.5)]
    merged = semantic.merge(table(rows), 0)[0]
    assert merged.tolist() == [1] * 4 + [2] * 4 + [1] * 2 + [3] * 20  # score, then smaller, then earlier
    crowd = table([(strip(0, 10), 1, None, CROWD), (strip(4, 8), 2, None, DIFFICULT)])
    assert semantic.merge(crowd, 0, truth=True)[0].tolist() == [-1] * 4 + [2] * 4 + [-1] * 2 + [0] * 20


def maps_of(*labels, names=("p0", "p1"), dtype=np.uint8, **meta):
    """Label maps of photos, each given as one row of category ids that fills the photo."""
    builder = MapsBuilder(dtype, meta)
    for name, row in zip(names, labels):
        label = np.repeat(np.array(row)[None], SIZE[0], 0)
        builder.add(name, label.shape, [(0, label)])
    return builder.finish()


def test_segmentation_by_hand():
    truth = table(
        {"rows": [(strip(0, 10), 1), (strip(10, 14), 1), (strip(14, 20), 2)], "void": strip(28, 30)},
        [(strip(0, 6), 2, None, DIFFICULT), (strip(20, 30), 1, None, CROWD)],
    )
    # p0: cat 0-14 in two instances, dog 14-20, ground 20-28; p1: dog 0-6 (difficult counts), ground 6-20, crowd void
    first = [1] * 12 + [2] * 6 + [0] * 6 + [3] * 6  # cat 12 right; dog 4 of 6 right; ground 4 right, 2 dog, 4 owl
    second = [2] * 3 + [255] * 3 + [0] * 24  # dog 3 right, 3 undecided; ground all right
    result = measures.segmentation_metrics(truth, maps_of(first, second))
    # first: 12 cat as cat, 2 cat as dog, 4 dog as dog, 2 dog as ground, 4 ground as ground, 4 ground as owl
    # cat 12 / 14; dog (4 + 3) / (6 + 6 + 2); ground (4 + 14) / (8 + 14 + 2); owl is not in the truth
    assert [(one["name"], one["mIoU"]) for one in result["classes"]] == [
        ("cat", pytest.approx(12 / 14)), ("dog", pytest.approx(7 / 14)),
    ]  # fmt: skip
    assert result["background_IoU"] == pytest.approx(18 / 24)
    assert result["mIoU"] == pytest.approx((12 / 14 + 7 / 14 + 18 / 24) / 3)
    assert result["pixel_accuracy"] == pytest.approx((12 + 4 + 4 + 3 + 14) / 48)
    assert result["photos"] == 2 and result["photos_without_predictions"] == 0
    # a photo without a map: nothing of it is right, and nothing is claimed
    alone = measures.segmentation_metrics(truth, maps_of(first))
    assert alone["photos_without_predictions"] == 1 and alone["background_IoU"] == pytest.approx(4 / 24)
    text = "\n".join(measures.segmentation_lines(alone))
    assert "1 of them without a map" in text and "background" in text and "16.7" in text


def test_segmentation_of_merged_instances_is_their_miou():
    rng = np.random.default_rng(4)
    truth, predictions = random_table(rng, 5, truth=True), random_table(rng, 5, truth=False)
    builder = MapsBuilder(np.uint8)
    for i, name in enumerate(predictions.image_id):
        builder.add(name, predictions.size[i], [(0, semantic.merge(predictions, i))])
    found = measures.segmentation_metrics(truth, builder.finish())
    merged = metrics(truth, predictions)
    assert found["mIoU"] == pytest.approx(merged["mIoU"]) and found["background_IoU"] == merged["background_IoU"]


def test_maps_that_do_not_fit_are_refused():
    truth = table([(strip(0, 10), 1)])
    for maps, words in (
        (maps_of([9] * 30), "map of photo p0 holds 9, which is no category"),
        (maps_of([0] * 20), r"map of photo p0 is \(4, 20\) pixels"),
        (maps_of([0] * 30, dtype=np.float16), "no label maps"),
        (maps_of([0] * 30, categories={"1": "dog"}), "category 1 is 'dog' in the maps and 'cat'"),
        (maps_of([0] * 30, categories={"8": "dog"}), "category 8 is 'dog' in the maps and 'unknown'"),
    ):
        with pytest.raises(UserError, match=words):
            measures.segmentation_metrics(truth, maps)


# ---- against a slow version


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


def random_table(rng, photos, *, truth):
    made = []
    for _ in range(photos):
        rows = []
        for _ in range(rng.integers(0, 6)):
            top, left = rng.integers(0, 5, 2)
            mask = np.zeros((6, 7), bool)
            mask[top : top + rng.integers(0, 5), left : left + rng.integers(1, 6)] = True
            ignore = int(rng.choice([0, 0, 0, 1, 2])) if truth else 0
            rows.append((mask, int(rng.integers(1, 4)), None if truth else float(rng.integers(1, 6)) / 5, ignore))
        void = rng.random((6, 7)) < rng.choice([0, 0, 0.3]) if truth else None
        made.append({"rows": rows, "size": (6, 7), "void": void})
    return table(*made)


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
        a, b = semantic.merge(truth, i, truth=True), semantic.merge(predictions, i)
        for c in range(4):
            hit[c] += ((a == c) & (b == c)).sum()
            union[c] += (((a == c) | (b == c)) & (a != -1)).sum()
    iou = semantic.class_iou(semantic.confusion(truth, predictions, [1, 2, 3]))
    np.testing.assert_allclose(iou[~np.isnan(iou)], (hit / np.maximum(union, 1))[~np.isnan(iou)])


# ---- the stage, the command line, what is refused


class FakeIndex:
    """An index as the stage reads it: photos p0 .. p3, the last one validation."""

    image_id = ("p0", "p1", "p2", "p3")

    def where(self, split):
        return {"with_masks": np.array([0, 2]), "val": np.array([3]), "train": np.arange(3)}[split]


@pytest.fixture
def stage(tmp_path, monkeypatch):
    index = pytest.importorskip("stages.common.index")
    monkeypatch.setattr(index.Index, "load", staticmethod(lambda path: FakeIndex()))
    photos = [[(strip(0, 10), 1)], [(strip(0, 10), 2)], [(strip(0, 10), 1)], [(strip(0, 10), 1)]]
    table(*photos).save(tmp_path / "truth.zarr.zip")
    labels = table([(strip(0, 10), 1, 0.9)], [(strip(0, 10), 1, 0.8)], [(strip(0, 5), 1, 0.7)])
    labels.save(tmp_path / "labels.zarr")
    table({"id": "p3", "rows": [(strip(0, 10), 1, 0.5)]}).save(tmp_path / "predictions.zarr.zip")
    table([(strip(0, 10), 0, 0.5)], []).save(tmp_path / "0.zarr.zip")
    table({"id": "p2", "rows": [(strip(0, 8), 0, 0.5)]}).save(tmp_path / "1.zarr.zip")
    return tmp_path


def test_run_measures_each_on_its_split(stage):
    inputs = SimpleNamespace(
        index=stage / "index", truth=stage / "truth.zarr.zip", labels=stage / "labels.zarr",
        predictions=stage / "predictions.zarr.zip", proposals=[stage / "0.zarr.zip", stage / "1.zarr.zip"],
    )  # fmt: skip
    job = Job()
    result = run(inputs, Config(), job)["metrics"]
    assert result["labels"]["photos"] == 2 and result["labels"]["mAP75"] == 0.5
    assert result["predictions"]["photos"] == 1 and result["predictions"]["AP50"] == pytest.approx(1)
    assert result["proposals"]["counts"][0]["ABO"] == pytest.approx(0.9) and not job.warnings
    json.dumps(result, allow_nan=False)
    assert result["segmentation"] is None
    maps_of([1] * 10 + [0] * 20, names=("p3",)).save(stage / "maps.zarr.zip")
    inputs.segmentation = stage / "maps.zarr.zip"
    assert run(inputs, Config(), Job())["metrics"]["segmentation"]["mIoU"] == 1
    inputs.labels = inputs.proposals = None
    assert run(inputs, Config(), Job())["metrics"]["labels"] is None
    inputs.predictions = stage / "labels.zarr"  # none of the validation photos
    job = Job()
    assert run(inputs, Config(), job)["metrics"]["predictions"]["mAP50"] == 0
    assert "1 of 1 photos of split val are not in the predictions" in job.warnings[0]


def test_photos_without_ground_truth_are_left_out(stage):
    table([(strip(0, 10), 1)]).save(stage / "truth.zarr.zip")  # p0 alone: neither p2 of with_masks nor p3 of val
    inputs = SimpleNamespace(
        index=stage, truth=stage / "truth.zarr.zip", labels=stage / "labels.zarr",
        predictions=stage / "predictions.zarr.zip",
    )  # fmt: skip
    job = Job()
    metrics = run(inputs, Config(), job)["metrics"]
    assert metrics["labels"]["photos"] == 1 and metrics["labels"]["mAP75"] == 1
    assert metrics["predictions"] is None
    assert "1 photos of split with_masks have no ground truth" in job.warnings[0]
    assert "the split val has no photo with ground truth" in job.warnings[1]


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


def test_command_line_on_stores(stage, capsys):
    out = stage / "metrics.json"
    assert main([str(stage / "truth.zarr.zip"), str(stage / "labels.zarr"), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "1 of 4 photos of" in text and "cat" in text and "mAP50" in text and "objects" in text
    assert json.loads(out.read_text())["photos"] == 3
    assert main([str(stage / "truth.zarr.zip"), str(stage / "1.zarr.zip")]) == 0
    assert "recall70" in capsys.readouterr().out
    assert main([str(stage / "truth.zarr.zip"), str(stage / "labels.zarr"), "--out", "/nowhere/x.json"]) == 1
    assert "cannot write /nowhere/x.json" in capsys.readouterr().err
    maps_of([1] * 10 + [0] * 20, names=("p3",)).save(stage / "maps.zarr.zip")
    assert main([str(stage / "truth.zarr.zip"), str(stage / "maps.zarr.zip"), "--out", str(out)]) == 0
    assert "3 of 4 photos of" in (text := capsys.readouterr().out) and "pixel accuracy" in text
    assert json.loads(out.read_text())["mIoU"] == 1


def test_command_line_on_coco_json(tmp_path, capsys):
    images = [{"id": n, "file_name": f"{n:06d}.jpg", "height": 4, "width": 30} for n in (30, 7)]
    square = [[0, 0, 10, 0, 10, 4, 0, 4]]
    truth = {
        "images": images, "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": n, "image_id": k, "category_id": 1, "segmentation": square, "area": 40, "iscrowd": 0,
                         "bbox": [0, 0, 10, 4]} for n, k in ((5, 30), (6, 7))],
    }  # fmt: skip
    results = [{"image_id": 30, "category_id": 1, "segmentation": square, "score": 0.5}]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    for n, annotation in enumerate(truth["annotations"]):
        annotation["score"] = 0.5 + n / 10
    (tmp_path / "dataset.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    out = tmp_path / "out.json"
    assert main([str(tmp_path / "truth.json"), str(tmp_path / "results.json"), "--out", str(out)]) == 0
    # a list of results names no photos: those it leaves out are photos without predictions
    assert json.loads(out.read_text())["mAP50"] == 0.5
    assert main([str(tmp_path / "truth.json"), str(tmp_path / "dataset.json"), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["mAP75"] == 1
    capsys.readouterr()
    (tmp_path / "results.json").write_text(json.dumps([{**results[0], "image_id": 31}]))
    assert main([str(tmp_path / "truth.json"), str(tmp_path / "results.json")]) == 1
    error = capsys.readouterr().err
    assert "31" in error and "Traceback" not in error and error.count("\n") == 1


def test_what_does_not_fit_is_refused(tmp_path, capsys):
    truth = table([(strip(0, 10), 1)])
    with pytest.raises(UserError, match="category 3 is 'cow' in the predictions and 'owl'"):
        metrics(truth, table([(strip(0, 10), 3)], categories={3: "cow"}))
    with pytest.raises(UserError, match=r"category 9 \(elk\), which the ground truth does not list"):
        metrics(truth, table([(strip(0, 10), 9)], categories={9: "elk"}))
    small = {"rows": [(strip(0, 2, (4, 5)), 1)], "size": (4, 5)}
    with pytest.raises(UserError, match=r"p0 is \(4, 5\) pixels .* \(4, 30\) in the ground truth"):
        metrics(truth, table(small))
    truth.save(tmp_path / "a.zarr.zip")
    table({"id": "else", "rows": []}).save(tmp_path / "b.zarr.zip")
    assert main([str(tmp_path / "a.zarr.zip"), str(tmp_path / "b.zarr.zip")]) == 1
    assert "no photo in common (for example 'else' against for example 'p0')" in capsys.readouterr().err
    assert main([str(tmp_path / "a.zarr.zip"), str(tmp_path / "none.json")]) == 1
    assert "none.json does not exist" in capsys.readouterr().err


def test_nothing_predicted_and_nothing_to_find():
    empty = metrics(table([(strip(0, 10), 1)]), table([]))
    assert empty["mAP50"] == empty["ABO"] == empty["AP"] == 0 and empty["mIoU"] == pytest.approx(20 / 30 / 2)
    nothing = metrics(table([]), table([(strip(0, 10), 1)]))
    assert nothing["mAP50"] is None and nothing["AP"] is None and nothing["objects"] == 0


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


def test_stores_keep_what_evaluation_needs(tmp_path):
    truth = table({"rows": [(strip(0, 10), 1), (strip(3, 9), 2, None, CROWD)], "void": strip(28, 30)})
    predictions = table([(strip(0, 9), 1, 0.25)])
    before = metrics(truth, predictions)
    truth.save(tmp_path / "t.zarr.zip")
    predictions.save(tmp_path / "p.zarr")
    after = metrics(Instances.load(tmp_path / "t.zarr.zip"), Instances.load(tmp_path / "p.zarr"))
    assert before == after
