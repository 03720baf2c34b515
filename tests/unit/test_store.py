"""Stores: round trips, digests, atomic writes, one-sentence refusals."""

import json
import zipfile

import numpy as np
import pytest
import zarr

from tag2mask.data import rle
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.maps import Maps, MapsBuilder
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.store import store


def two_photos():
    builder = InstancesBuilder({1: "cat", 2: "dog"})
    masks = np.zeros((2, 5, 6), bool)
    masks[0, 1:3, 2:5] = True
    masks[1, 4, 0] = True
    builder.add("a", (5, 6), masks, category=[2, 1], score=[0.5, 0.25], void=np.eye(5, 6) > 0, ignore=[0, 1])
    builder.add("none", (3, 3), [], category=[])
    builder.add("b", (4, 4), np.eye(4)[None] > 0, category=1)
    return builder.finish()


def cams():
    builder = MapsBuilder(np.float16, {"stride": 16})
    builder.add("a", (5, 6), [(1, np.arange(6).reshape(2, 3) / 8), (2, np.ones((2, 3)))])
    builder.add("none", (3, 3), [])
    return builder.finish()


ARTIFACTS = {
    "instances": (two_photos, Instances.load),
    "maps": (cams, Maps.load),
    "table": (lambda: Table("mil/1", {"p": np.zeros((0, 3)), "n": np.array(["é", "b"])}, {"labels": [0]}),
              lambda path: Table.load(path, "mil/1")),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARTIFACTS)
@pytest.mark.parametrize("name", ["x.zarr.zip", "x.zarr"])
def test_round_trip_keeps_every_array(tmp_path, kind, name):
    make, load = ARTIFACTS[kind]
    made = make()
    made.save(tmp_path / name)
    read = load(tmp_path / name)
    assert store.digest(read.arrays()) == store.digest(made.arrays())
    assert read.attrs() == made.attrs()
    for key, values in made.arrays().items():
        assert read.arrays()[key].dtype.kind == values.dtype.kind
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("kind", ARTIFACTS)
def test_zip_has_no_entry_twice_and_equal_content_gives_an_equal_file(tmp_path, kind):
    make, _ = ARTIFACTS[kind]
    make().save(tmp_path / "a.zarr.zip")
    make().save(tmp_path / "b.zarr.zip")
    names = zipfile.ZipFile(tmp_path / "a.zarr.zip").namelist()
    assert len(names) == len(set(names))
    assert (tmp_path / "a.zarr.zip").read_bytes() == (tmp_path / "b.zarr.zip").read_bytes()


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


def test_unknown_schema_is_one_sentence(tmp_path):
    Table("instances/2", {"id": np.zeros(1)}).save(tmp_path / "x.zarr.zip")
    with pytest.raises(UserError, match=r"x\.zarr\.zip has schema 'instances/2'.*reads 'instances/1'"):
        Instances.load(tmp_path / "x.zarr.zip")


def test_a_broken_or_missing_store_is_one_sentence(tmp_path):
    (tmp_path / "x.zarr.zip").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="not a readable Zarr store"):
        Instances.load(tmp_path / "x.zarr.zip")
    with pytest.raises(UserError, match="does not exist"):
        Instances.load(tmp_path / "y.zarr.zip")


def test_a_store_that_is_not_its_manifests_is_refused(tmp_path):
    two_photos().save(tmp_path / "x.zarr.zip")
    (tmp_path / "x.json").write_text(json.dumps({"digests": {"x.zarr.zip": "0"}}))
    with pytest.raises(UserError, match="not the store that x.json"):
        Instances.load(tmp_path / "x.zarr.zip")


def test_what_a_killed_writer_left_is_swept_and_a_living_one_is_not(tmp_path):
    dead, alive = tmp_path / ".x.zarr.zip.999999999.part", tmp_path / ".x.zarr.zip.1.part"
    for part in (dead, alive):
        part.write_bytes(b"half")
    two_photos().save(tmp_path / "x.zarr.zip")
    assert not dead.exists() and alive.exists()


@pytest.mark.parametrize("name", ["x.zarr.zip", "x.zarr"])
def test_no_space_left_leaves_the_old_store_and_no_part(tmp_path, monkeypatch, name):
    """The disk is full at the first write, at the second, ...: what was there still is, nothing half-written is."""
    old, new = two_photos(), two_photos().select(np.array([True, False, False]))
    old.save(tmp_path / name)
    writes = {"left": 0}
    real_zip, real_file = zipfile.ZipFile.writestr, type(tmp_path).write_bytes

    def failing(real):
        def write(*args, **kwargs):
            if writes["left"] == 0:
                raise OSError(28, "No space left on device")
            writes["left"] -= 1
            return real(*args, **kwargs)

        return write

    monkeypatch.setattr(zipfile.ZipFile, "writestr", failing(real_zip))
    monkeypatch.setattr(type(tmp_path), "write_bytes", failing(real_file))
    for allowed in range(100):
        writes["left"] = allowed
        try:
            new.save(tmp_path / name)
            break
        except OSError:
            assert [path.name for path in tmp_path.iterdir()] == [name]
            assert len(Instances.load(tmp_path / name)) == 3
    assert allowed > 10
    assert len(Instances.load(tmp_path / name)) == 1
