"""reference: the bounds, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from stages.reference import run
from stages.reference.config import Config
from stages.reference.oracle import label_by_boxes
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.run.job import Job


def box(size, x, y, w, h):
    mask = np.zeros(size, bool)
    mask[y : y + h, x : x + w] = True
    return mask


@pytest.fixture
def inputs(tmp_path):
    """Photo a with masks, b without, v for validation. Truth of all three; three proposals in a, none in b."""
    size = (10, 10)
    index = Index.build(
        tmp_path, {1: "cat", 4: "dog"}, image_id=["a", "b", "v"], path=["a", "b", "v"], size=[size] * 3,
        tags=[(1, 4), (4,), (1,)], train=[1, 1, 0], with_masks=[1, 0, 0], val=[0, 0, 1],
    )  # fmt: skip
    truth = InstancesBuilder(index.categories)
    objects = [box(size, 0, 0, 4, 4), box(size, 5, 5, 4, 4), box(size, 0, 6, 3, 3), box(size, 6, 0, 3, 3)]
    truth.add(
        "a", size, np.stack(objects), category=[4, 1, 1, 1], ignore=[0, 0, 1, 2], area=[16.5, 16, 9, 9],
        id=[11, 12, 13, 14], void=box(size, 9, 9, 1, 1),
    )  # fmt: skip
    truth.add("b", size, np.stack(objects[:1]), category=4)
    truth.add("v", size, np.stack(objects[:1]), category=1)
    proposals = InstancesBuilder({})
    # IoU with the dog 12/16, with the cat 8/16 (not above one half), with the crowd 1
    chosen = [box(size, 0, 0, 4, 3), box(size, 5, 5, 4, 2), box(size, 0, 6, 3, 3), box(size, 5, 5, 4, 4)]
    proposals.add("a", size, np.stack(chosen), category=0, score=[1, 0.75, 0.5, 0.25])
    proposals.add("b", size, [], category=0)
    index.save(tmp_path / "index.zarr.zip")
    truth.finish().save(tmp_path / "truth.zarr.zip")
    proposals.finish().save(tmp_path / "proposals.zarr.zip")
    return {name: tmp_path / f"{name}.zarr.zip" for name in ("index", "truth", "proposals")}


def make(inputs, kind, *names):
    """The stage with these inputs alone: one that reads another fails."""
    given = SimpleNamespace(**{name: inputs[name] for name in ("index", *names)})
    made = run(given, Config(kind=kind), Job(shard=0))["instances"]
    assert made.image_id == ["a", "b"]
    return made


def test_full_takes_counted_objects_of_photos_with_masks(inputs):
    made = make(inputs, "full", "truth")
    assert made.first.tolist() == [0, 2, 2] and made.category.tolist() == [4, 1]
    assert made.score.tolist() == [1, 1] and made.ignore.tolist() == [0, 0] and made.area.tolist() == [16.5, 16]
    np.testing.assert_array_equal(made.mask(1), box((10, 10), 5, 5, 4, 4))
    assert made.void_mask(0).sum() == 1 and made.void_mask(0)[9, 9]


def test_oracle_boxes_keep_what_overlaps_a_counted_box_by_more_than_half(inputs):
    made = make(inputs, "oracle_boxes", "truth", "proposals")
    assert made.first.tolist() == [0, 2, 2]  # the second is at 0.5 exactly, the third lies on a crowd
    assert made.category.tolist() == [4, 1] and made.score.tolist() == [0.75, 1]
    np.testing.assert_array_equal(made.mask(0), box((10, 10), 0, 0, 4, 3))


def test_true_boxes_label_salient_instances(inputs):
    """The nodes of LIID's graph in the proposals' place; the store of proposals is not read."""
    given = SimpleNamespace(index=inputs["index"], truth=inputs["truth"], salient=inputs["proposals"])
    made = run(given, Config(kind="oracle_boxes", nodes="salient"), Job(shard=0))["instances"]
    assert made.category.tolist() == [4, 1] and made.score.tolist() == [0.75, 1]


def test_whole_photo_is_one_mask_a_tag(inputs):
    made = make(inputs, "whole_photo")
    assert made.first.tolist() == [0, 2, 3] and made.category.tolist() == [1, 4, 4]
    assert made.masks(0).all() and made.area.tolist() == [100] * 3 and made.score.tolist() == [1] * 3
    assert made.bbox.tolist() == [[0, 0, 10, 10]] * 3


def test_top_proposal_is_the_first_row_for_every_tag(inputs):
    made = make(inputs, "top_proposal", "proposals")
    assert made.first.tolist() == [0, 2, 2] and made.category.tolist() == [1, 4] and made.score.tolist() == [1, 1]
    np.testing.assert_array_equal(made.mask(0), made.mask(1))
    np.testing.assert_array_equal(made.mask(0), box((10, 10), 0, 0, 4, 3))


def test_table_7_rule_takes_the_label_of_the_best_box():
    truth = [[0, 0, 10, 10], [0, 0, 10, 8], [20, 0, 4, 4]]
    category, overlap = label_by_boxes([[0, 0, 10, 9], [20, 2, 4, 4], [40, 0, 1, 1]], truth, [1, 2, 3], box_iou=0.5)
    # 90/100 against 80/90; 8/24; nothing
    assert category.tolist() == [1, 0, 0]
    assert overlap.tolist() == pytest.approx([0.9, 1 / 3, 0])
    category, _ = label_by_boxes([[0, 0, 1, 1]], [[0, 0, 1, 1]] * 2, [7, 8], box_iou=0.5)
    assert category.tolist() == [7]  # a tie: the first
    category, overlap = label_by_boxes(np.zeros((2, 4)), np.zeros((0, 4)), [], box_iou=0.5)
    assert category.tolist() == [0, 0] and overlap.tolist() == [0, 0]
    assert label_by_boxes(np.zeros((0, 4)), truth, [1, 2, 3], box_iou=0.5)[0].shape == (0,)
