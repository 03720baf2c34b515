"""pseudo_labels: box NMS by hand, and the published labels."""

import json
from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.pseudo_labels import run
from stages.pseudo_labels.box_nms import box_nms
from stages.pseudo_labels.config import Config
from tag2mask.data.coco import from_coco, to_coco
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.run.job import Job
from tag2mask.store.manifest import write_json

# overlaps: 0-1 is 80/120 = 2/3, 0-2 is 40/160 = 1/4, 1-2 is 60/140 = 3/7
BOXES = [[0, 0, 10, 10], [2, 0, 10, 10], [6, 0, 10, 10]]


def test_better_instances_suppress_worse_ones_above_the_threshold():
    assert box_nms(BOXES, [0.9, 0.8, 0.7], [1, 1, 1], threshold=0.4).tolist() == [True, False, True]
    assert box_nms(BOXES, [0.8, 0.9, 0.7], [1, 1, 1], threshold=0.4).tolist() == [False, True, False]
    assert box_nms(BOXES, [0.8, 0.9, 0.7], [1, 1, 1], threshold=0.5).tolist() == [False, True, True]


def test_what_is_suppressed_suppresses_nothing():
    # 1 clashes with both, but is itself gone before its turn
    assert box_nms(BOXES, [0.9, 0.8, 0.7], [1, 1, 1], threshold=0.4)[2]


def test_other_classes_do_not_meet_and_ties_keep_the_earlier_row():
    assert box_nms(BOXES, [0.9, 0.8, 0.7], [1, 2, 1], threshold=0.2).tolist() == [True, True, False]
    assert box_nms([BOXES[0]] * 3, [0.5, 0.5, 0.5], [1, 1, 1], threshold=0.4).tolist() == [True, False, False]


def test_threshold_is_exclusive_and_nothing_is_fine():
    assert box_nms([[0, 0, 4, 1], [0, 0, 2, 1]], [1, 0.5], [1, 1], threshold=0.5).tolist() == [True, True]
    assert box_nms(np.zeros((0, 4)), [], [], threshold=0.4).tolist() == []


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 6)] * 2, st.integers(1, 2), st.integers(1, 4))))
def test_agrees_with_torchvision(rows):
    import torch
    from torchvision.ops import batched_nms

    rows = np.array(rows, np.float64).reshape(-1, 6)
    boxes, category, score = rows[:, :4], rows[:, 4].astype(int), rows[:, 5]
    score = score + np.linspace(0.5, 0, len(rows), endpoint=False)  # no ties: its order of them is its own affair
    corners = torch.tensor(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1))
    theirs = batched_nms(corners, torch.tensor(score), torch.tensor(category), 0.41)
    ours = np.flatnonzero(box_nms(boxes, score, category, threshold=0.41))
    assert sorted(theirs.tolist()) == ours.tolist()


PATHS = {name: f"photos/{name}.png" for name in "abcd"}


def shards(folder):
    """Five photos, two shards of two training photos each; the stores name the photos in index order."""
    names = ["a", "b", "c", "d", "v"]
    index = Index.build(
        folder, {1: "cat", 2: "dog"}, image_id=names, path=[f"photos/{n}.png" for n in names], size=[(12, 20)] * 5,
        tags=[(1,)] * 3 + [(2,), (1,)], train=[1, 1, 1, 1, 0], val=[0, 0, 0, 0, 1], shards=2,
    )  # fmt: skip
    index.save(folder / "index.zarr.zip")
    paths = []
    for k, photos in enumerate((["a", "b"], ["c", "d"])):
        builder = InstancesBuilder({})
        for name in photos:
            masks = np.zeros((3, 12, 20), bool)
            for mask, (x, y, w, h) in zip(masks, BOXES):
                mask[y : y + h, x : x + w] = True
            if name == "b":
                masks = masks[:0]
            builder.add(name, (12, 20), masks, category=1, score=[0.75, 0.5, 0.25][: len(masks)])
        builder.finish().save(folder / f"{k}.zarr.zip")
        paths.append(folder / f"{k}.zarr.zip")
    return SimpleNamespace(index=folder / "index.zarr.zip", instances=paths)


def test_shards_become_one_store_with_running_ids(tmp_path):
    job = Job()
    made = run(shards(tmp_path), Config(), job)
    labels = made["labels"]
    assert labels.image_id == ["a", "b", "c", "d"] and labels.first.tolist() == [0, 2, 2, 4, 6]
    assert labels.id.tolist() == [1, 2, 3, 4, 5, 6] and labels.score.tolist() == [0.75, 0.25] * 3
    assert labels.categories == {1: "cat", 2: "dog"}
    assert job.numbers["before_nms"] == 9 and job.numbers["photos_without"] == 1
    assert any("dog" in sentence for sentence in job.warnings)
    assert list(made["coco"]["images"])[3]["file_name"] == "photos/d.png"


def test_store_and_json_hold_the_same(tmp_path):
    made = run(shards(tmp_path), Config(box_nms=None), Job())
    assert len(made["labels"]) == 9  # null: never
    made["labels"].save(tmp_path / "labels.zarr")
    write_json(tmp_path / "labels.coco.json", made["coco"])
    whole = json.dumps(to_coco(made["labels"], file_names=PATHS), indent=1, sort_keys=True) + "\n"
    assert (tmp_path / "labels.coco.json").read_text() == whole  # written in parts, and at once
    again = from_coco(tmp_path / "labels.coco.json")
    stored = Instances.load(tmp_path / "labels.zarr")
    assert again.image_id == stored.image_id and again.categories == stored.categories
    for name, values in stored.arrays().items():
        if name != "image_id":
            np.testing.assert_array_equal(values, getattr(again, name), err_msg=name)


def test_one_store_for_all_shards(tmp_path):
    inputs = shards(tmp_path)
    whole = Instances.concat([Instances.load(path) for path in inputs.instances])
    whole.images_subset([3, 2, 1, 0]).save(tmp_path / "all.zarr.zip")  # another order: the index decides
    made = run(SimpleNamespace(index=inputs.index, instances=tmp_path / "all.zarr.zip"), Config(), Job())["labels"]
    assert made.image_id == ["a", "b", "c", "d"] and made.first.tolist() == [0, 2, 2, 4, 6]


def test_default_is_liids():
    assert Config().box_nms == 0.4
