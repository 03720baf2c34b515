"""Ragged arrays on the disk against the same in memory, and tables that were opened against loaded ones."""

import json
import multiprocessing
import zipfile

import numpy as np
import pytest

from tag2mask.data import ragged
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.maps import Maps, MapsBuilder
from tag2mask.data.ragged import Unpacked, joined, starts, take_ragged
from tag2mask.errors import UserError
from tag2mask.store import store
from tag2mask.store.store import digest


class Slow:
    """A flat array that gives slices alone, as one on the disk."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, part):
        assert isinstance(part, slice)
        return self.values[part]


def some(rng, count):
    """(flat, first) of `count` ragged parts, some of them empty."""
    first = starts(rng.integers(0, 5, count) * rng.integers(0, 2, count))
    return rng.integers(0, 1000, first[-1]).astype(np.uint32), first


def taken_slowly(flat, first, parts):
    return np.concatenate([np.zeros(0, np.uint32), *(flat[first[p] : first[p + 1]] for p in parts)])


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_what_is_taken_and_joined_is_the_same_in_memory_and_on_the_disk(monkeypatch, block):
    monkeypatch.setattr(ragged, "BLOCK", block)
    rng = np.random.default_rng(0)
    for _ in range(60):
        (one, first), (two, second) = some(rng, rng.integers(0, 9)), some(rng, rng.integers(0, 9))
        both, starting = np.concatenate([one, two]), starts(np.concatenate([np.diff(first), np.diff(second)]))
        lazy = joined([Slow(one), two])
        for _ in range(2):  # the second time of what was taken already
            count = len(starting) - 1
            parts = rng.integers(0, count, rng.integers(0, 12)) if count else np.zeros(0, np.int64)
            expected = taken_slowly(both, starting, parts)
            values, new = take_ragged(both, starting, parts)
            slow, again = take_ragged(lazy, starting, parts)
            assert values.tolist() == expected.tolist() == slow[:].tolist() and new.tolist() == again.tolist()
            assert len(slow) == len(expected) and slow.dtype == values.dtype == np.uint32
            for low, high in rng.integers(0, len(slow) + 3, (6, 2)):
                assert slow[low:high].tolist() == expected[low:high].tolist()
            both, lazy, starting = values, slow, new


def test_parts_that_go_on_are_one():
    """Rows 1, 2 and 3 lie one after another, so what is on the disk is read in one go."""
    lazy, _ = take_ragged(Slow(np.arange(10, dtype=np.uint32)), np.array([0, 2, 4, 4, 7, 10]), [1, 2, 3, 0])
    assert lazy.begin.tolist() == [2, 0] and lazy.first.tolist() == [0, 5, 7]


def table(seed, photos=7, prefix=""):
    rng = np.random.default_rng(seed)
    builder = InstancesBuilder({1: "cat", 2: "dog"})
    for k in range(photos):
        count = rng.integers(0, 4)
        masks = rng.random((count, 6, 5)) < 0.5
        void = rng.random((6, 5)) < 0.1 if k % 2 else None
        builder.add(
            f"{prefix}{k}", (6, 5), masks, category=rng.integers(1, 3, count), score=rng.random(count), void=void
        )
    return builder.finish()


def same(a, b):
    """That two tables hold the same, masks looked at photo by photo."""
    assert digest(a.arrays()) == digest(b.arrays()) and a.categories == b.categories
    for i in range(a.images):
        assert np.array_equal(a.masks(i), b.masks(i)) and np.array_equal(a.void_mask(i), b.void_mask(i))


@pytest.mark.parametrize("name", ["x.zarr.zip", "x.zarr"])
def test_an_opened_table_does_what_a_loaded_one_does(tmp_path, monkeypatch, name):
    """With chunks of 16 and parts of 32 run lengths, so that masks reach over several."""
    monkeypatch.setattr(store, "CHUNK", 16)
    monkeypatch.setattr(store, "PARTS", 2)
    for k in range(2):
        table(k, prefix=f"{k}/").save(tmp_path / str(k) / name)
    loaded, opened = (
        [read(tmp_path / str(k) / name) for k in range(2)] for read in (Instances.load, Instances.open)
    )  # fmt: skip
    for one, other in zip(loaded, opened):
        same(one, other.unpacked())
    rng = np.random.default_rng(1)
    assert len(opened[0].rle) > 64 and not isinstance(opened[0].rle, np.ndarray)
    same(loaded[0], opened[0])
    keep = rng.random(len(loaded[0])) < 0.5
    more = table(5, prefix="0/")
    done = [
        (one.select(keep), one.select([0, 2]), one.select([]), one.images_subset([6, 1, 1, 3]), one.images_subset([]),
         Instances.concat([one, other, one]), one.merged(more), more.merged(one),
         Instances.concat([other, one]).images_subset([9, 2]).select([0]))
        for one, other in (loaded, opened)
    ]  # fmt: skip
    for a, b in zip(*done):
        same(a, b)
    written = tmp_path / "written" / name
    done[1][5].save(written)
    same(Instances.load(written), done[0][5])
    done[0][5].save(tmp_path / "whole" / name)
    if name.endswith("zip"):
        assert written.read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_is_unpacked_is_read_in_any_order_by_several_processes_and_no_longer_from_the_store(tmp_path):
    """Four forked processes read the photos of one file in four orders, after the store has gone."""
    path, made = tmp_path / "x.zarr.zip", table(0, photos=40)
    made.save(path)
    opened = Instances.open(path).unpacked()
    path.unlink()

    def read(seed):
        order = np.random.default_rng(seed).permutation(made.images)
        assert all(np.array_equal(opened.masks(i), made.masks(i)) for i in order for _ in range(20))

    processes = [multiprocessing.get_context("fork").Process(target=read, args=(seed,)) for seed in range(4)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    assert [one.exitcode for one in processes] == [0, 0, 0, 0]
    assert made.unpacked() is made  # in memory: nothing to unpack


@pytest.mark.parametrize("count", [0, 1, 6, 7, 20])
def test_slices_of_what_is_unpacked(monkeypatch, count):
    monkeypatch.setattr(ragged, "BLOCK", 7)
    values = np.arange(count, dtype=np.uint32) * 1000
    own = Unpacked(Slow(values))
    assert len(own) == count and own.dtype == np.uint32 and own[:].tolist() == values.tolist()
    for low, high in np.random.default_rng(0).integers(0, count + 3, (20, 2)):
        assert own[low:high].tolist() == values[low:high].tolist()


def test_a_chunk_that_is_damaged_after_opening_is_one_sentence(tmp_path):
    path = tmp_path / "x.zarr.zip"
    table(0).save(path)
    opened, data = Instances.open(path), bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.getinfo("rle/c/0").header_offset + 60] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.zarr\.zip is not a readable Zarr store"):
        opened.masks(0)


def test_opening_looks_at_the_manifest(tmp_path):
    table(0).save(tmp_path / "x.zarr")
    manifest = {"digests": {"x.zarr": digest(table(0).arrays())}}
    (tmp_path / "x.json").write_text(json.dumps(manifest))
    Instances.open(tmp_path / "x.zarr")
    table(1).save(tmp_path / "x.zarr")
    with pytest.raises(UserError, match=r"is not the store that x\.json"):
        Instances.open(tmp_path / "x.zarr")


def test_opened_maps_are_the_loaded_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "CHUNK", 7)
    builder = MapsBuilder("u1", {"title": "t"})
    for k in range(3):
        builder.add(str(k), (9, 9), [(c, np.full((2 + k, 3), 10 * k + c)) for c in range(k)])
    builder.finish().save(tmp_path / "x.zarr.zip")
    loaded, opened = Maps.load(tmp_path / "x.zarr.zip"), Maps.open(tmp_path / "x.zarr.zip")
    assert digest(loaded.arrays()) == digest(opened.arrays()) and opened.meta == {"title": "t"}
    assert not isinstance(opened.data, np.ndarray) and opened.data.dtype == np.uint8
    for i in range(3):
        assert [one.tolist() for one in opened.of(i)[1]] == [one.tolist() for one in loaded.of(i)[1]]
