"""mIoU of merged instances and of label maps, by hand."""

import numpy as np
import pytest
from evaluate_tables import CROWD, DIFFICULT, maps_of, metrics, random_table, strip, table

from stages.evaluate import measures
from tag2mask.data.labelmaps import merge
from tag2mask.data.maps import MapsBuilder
from tag2mask.errors import UserError


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
    merged = merge(table(rows), 0)[0]
    assert merged.tolist() == [1] * 4 + [2] * 4 + [1] * 2 + [3] * 20  # score, then smaller, then earlier
    crowd = table([(strip(0, 10), 1, None, CROWD), (strip(4, 8), 2, None, DIFFICULT)])
    assert merge(crowd, 0, truth=True)[0].tolist() == [-1] * 4 + [2] * 4 + [-1] * 2 + [0] * 20


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
        builder.add(name, predictions.size[i], [(0, merge(predictions, i))])
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
