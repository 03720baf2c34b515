"""Stores: values by hand, selections, run lengths, what a killed writer left. What all promise: tests/contracts."""

import json

import numpy as np
import pytest
import zarr

from tag2mask.data import rle
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.store.manifest import write_json


def two_photos():
    builder = InstancesBuilder({1: "cat", 2: "dog"})
    masks = np.zeros((2, 5, 6), bool)
    masks[0, 1:3, 2:5] = True
    masks[1, 4, 0] = True
    builder.add("a", (5, 6), masks, category=[2, 1], score=[0.5, 0.25], void=np.eye(5, 6) > 0, ignore=[0, 1])
    builder.add("none", (3, 3), [], category=[])
    builder.add("b", (4, 4), np.eye(4)[None] > 0, category=1)
    return builder.finish()


def test_a_published_directory_opens_with_plain_zarr(tmp_path):
    two_photos().save(tmp_path / "labels.zarr")
    group = zarr.open_group(tmp_path / "labels.zarr", mode="r")
    assert group.attrs["schema"] == "instances/1"
    assert group["category"][:].tolist() == [2, 1, 1]
    assert group["bbox"][0].tolist() == [2, 1, 3, 2]


def test_values_by_hand():
    table = two_photos()
    assert table.first.tolist() == [0, 2, 2, 3]
    assert table.area.tolist() == [6, 1, 4]
    assert table.void_mask(0).sum() == 5 and not table.void_mask(1).any()
    # column-major: two columns of 5 pixels above the mask's first, then its first row
    assert rle.to_counts(table.rles([0])[0]).tolist() == [11, 2, 3, 2, 3, 2, 7]
    assert table.rle[:7].tolist() == [11, 2, 3, 2, 3, 2, 7]


def test_select_subset_concat():
    table = two_photos()
    chosen = table.select(np.array([False, True, True]))
    assert chosen.first.tolist() == [0, 1, 1, 2] and chosen.category.tolist() == [1, 1]
    assert np.array_equal(chosen.mask(1), np.eye(4) > 0)
    turned = table.images_subset([2, 0])
    assert turned.image_id == ["b", "a"] and turned.first.tolist() == [0, 1, 3]
    assert np.array_equal(turned.masks(1), table.masks(0)) and np.array_equal(turned.void_mask(1), table.void_mask(0))
    both = Instances.concat([turned, table])
    assert both.first.tolist() == [0, 1, 3, 5, 5, 6]
    assert np.array_equal(both.mask(5), np.eye(4) > 0)
    with pytest.raises(ValueError, match="image order"):
        table.select(np.array([2, 0]))


def test_merged_rows_stand_with_their_image():
    """The photos have 2, 0 and 1 rows; 0, 1 and 1 more come behind those."""
    table, more = two_photos(), InstancesBuilder(two_photos().categories)
    new = [np.zeros((1, *size), bool) for size in table.size]
    for k, (name, mask) in enumerate(zip(table.image_id, new)):
        mask[0, 0, k] = True
        more.add(name, table.size[k], mask[: int(k > 0)], category=2, score=[0.5] * (k > 0))
    both = table.merged(more.finish())
    assert both.first.tolist() == [0, 2, 3, 5] and both.category.tolist() == [
        *table.category[:2],
        2,
        table.category[2],
        2,
    ]
    assert np.array_equal(both.masks(0), table.masks(0)) and np.array_equal(both.masks(1), new[1])
    assert np.array_equal(both.masks(2), np.concatenate([table.masks(2), new[2]]))
    assert np.array_equal(both.void_mask(0), table.void_mask(0)) and both.score.tolist()[2::2] == [0.5, 0.5]


def test_run_lengths_agree_with_decoding():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 40, 2)
        mask = rng.random((1, height, width)) < rng.random()
        encoded = rle.encode(mask)[0]
        flat = np.concatenate(([0], mask[0].ravel(order="F").astype(int)))
        changes = np.flatnonzero(np.diff(flat))
        expected = np.diff(np.concatenate(([0], changes, [height * width])))
        assert rle.to_counts(encoded).tolist() == expected.tolist()
        assert rle.from_counts(expected, (height, width))["counts"] == encoded["counts"]


def test_box_overlaps_by_hand():
    assert rle.box_iou([[0, 0, 2, 2]], [[1, 0, 2, 2], [5, 5, 1, 1], [0, 0, 0, 0]]).tolist() == [[1 / 3, 0, 0]]


def test_what_a_killed_writer_left_is_swept_and_a_living_one_is_not(tmp_path):
    dead, alive = tmp_path / ".x.zarr.zip.999999999.part", tmp_path / ".x.zarr.zip.1.part"
    for part in (dead, alive):
        part.write_bytes(b"half")
    two_photos().save(tmp_path / "x.zarr.zip")
    assert not dead.exists() and alive.exists()


def test_lists_that_are_iterators_are_written_as_lists(tmp_path):
    """A file in parts is the file at once; text with line ends, quotes and no ASCII, empty lists, nested dicts."""
    content = {
        "z": [], "b": [{"y": [1, {"x": None}], "a": "two\nlines, \"quoted\" é\u2028"}, 2.5, []], "a": [{}], "n": 1 / 3,
        "d": {"k": [{"deep": [1]}]},
    }  # fmt: skip
    parts = {key: iter(value) if isinstance(value, list) else value for key, value in content.items()}
    write_json(tmp_path / "parts.json", parts)
    write_json(tmp_path / "whole.json", content)
    assert (tmp_path / "parts.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert (tmp_path / "whole.json").read_text() == json.dumps(content, indent=1, sort_keys=True) + "\n"
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "parts.json", {"a": iter([float("nan")])})
    assert json.loads((tmp_path / "parts.json").read_text()) == content and len(list(tmp_path.iterdir())) == 2
