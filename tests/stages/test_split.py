"""A validation split by names and looks: what belongs together stays on one side; shards that a small folder needs."""

import numpy as np
from images_files import folder, write
from PIL import Image

from stages.images import split
from stages.images.config import Config
from stages.images.count import settled
from stages.images.split import alike, held_out, look, series


def test_series_by_hand():
    assert series("cam1/frame_000012") == ("cam1/frame", 12)
    assert series("a") == series("a (1)") == series("a-edited") == series("a_copy 2") == ("a", -1)
    assert series("x_jpg.rf.0123abcd") == ("x_jpg", -1) and series("IMG_7 (2)") == ("img", 7)


def test_series_stay_on_one_side():
    names = [f"video{k}/frame_{n:03}" for k in "abcdefgh" for n in range(5)]
    chosen = held_out(dict.fromkeys(names, (1,)), 0.25)
    assert len(chosen) == 10 and {name.split("/")[0] for name in chosen} == {
        folder for folder in {name.split("/")[0] for name in names} if f"{folder}/frame_000" in chosen
    }
    copies = {name + end: (1,) for name in "abcdefghij" for end in ("", " (1)", "-edited")}
    chosen = held_out(copies, 0.3)
    assert len(chosen) == 9 and all(
        {name, name + " (1)", name + "-edited"} <= chosen for name in chosen & set("abcdefghij")
    )
    assert held_out(copies, 0.3) == chosen


def test_a_camera_that_numbers_all_photos_is_held_out_in_runs():
    chosen = sorted(held_out({f"DSC_{n:04}": (1,) for n in range(20)}, 0.2))
    first = int(chosen[0][4:])
    assert chosen == [f"DSC_{n:04}" for n in range(first, first + 4)]


def test_no_class_loses_its_last_photo():
    tags = {"a": (1,), "b": (1,), "c": (2,), "d": (1,)}
    assert all("c" not in held_out(tags, share) for share in (0.25, 0.5, 0.9))
    assert held_out({"a": (1,), "b": (2,)}, 0.5) == set()


def gradients(*up):
    """A photo 72 x 64 whose cells, 8 x 9, get brighter to the right where `up` says so."""
    levels = 100 + 10 * np.cumsum([[0, *(1 if n in up else -1 for n in range(8))]] * 8, 1)
    return np.repeat(np.kron(levels, np.ones((8, 8)))[..., None], 3, 2).astype(np.uint8)


def test_looks_by_hand():
    bits = np.unpackbits(np.array([look(gradients(0, 3))]).view(np.uint8)).reshape(8, 8)
    assert bits.tolist() == [[1, 0, 0, 1, 0, 0, 0, 0]] * 8
    assert look(gradients(*range(8))) == 2**64 - 1 and look(gradients()) == 0


def test_alike_looks_by_a_slower_way(monkeypatch):
    monkeypatch.setattr(split, "BLOCK", 7)
    rng = np.random.default_rng(0)
    looks = rng.integers(0, 2**64, 40, np.uint64)
    looks[[3, 30]] = looks[20] ^ np.uint64(0b11111), looks[20] ^ np.uint64(0b111111)
    looks[[8, 9]] = looks[9]
    slow = [(i, j) for i in range(40) for j in range(i + 1, 40) if (int(looks[i]) ^ int(looks[j])).bit_count() <= 5]
    assert sorted(map(tuple, alike(looks).tolist())) == slow == [(3, 20), (3, 30), (8, 9)]
    assert alike(looks[:0]).shape == (0, 2)


def test_what_looks_alike_stays_on_one_side():
    tags = {f"{name}{k}": (1,) for name in "abcdefgh" for k in "xyz"}  # 24 names that say nothing
    plain = held_out(tags, 0.25)
    pairs = [(f"{name}{a}", f"{name}{b}") for name in "abcdefgh" for a, b in ("xy", "zy")]
    chosen = held_out(tags, 0.25, pairs)
    assert len(plain) == len(chosen) == 6 and len({name[0] for name in plain}) > 2
    assert {name[0] for name in chosen} == {name[0] for name in chosen if {name[0] + k for k in "xyz"} <= chosen}
    names = sorted(tags)
    assert held_out(tags, 0.25, list(zip(names, names[1:]))) == plain  # a camera that does not move


def test_series_and_looks_join():
    """A frame that looks like `z` takes its whole video along."""
    tags = {name: (1,) for name in ("v_1", "v_2", "z", *"abcdefghij")}
    for share in (0.1, 0.3, 0.5):
        assert len(held_out(tags, share, [("z", "v_2")]) & {"v_1", "v_2", "z"}) in (0, 3)


def test_copies_under_other_names_stay_on_one_side(tmp_path):
    """16 photos in three files each: as it is, its bytes again, at half the size and a low quality."""
    from stages.images import run
    from tag2mask.run.job import Job

    rng, rows = np.random.default_rng(0), ["file,tags"]
    names = iter(rng.permutation([f"{a}{b}" for a in "bcdfghjk" for b in "aeiouy"]).tolist())
    of = {}
    for k in range(16):
        image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((160, 120), Image.Resampling.BICUBIC)
        for copy in range(3):
            name = next(names)
            size, quality = ((80, 60), 50) if copy == 2 else ((160, 120), 90)
            image.resize(size).save(tmp_path / f"{name}.jpg", quality=quality)
            rows.append(f"{name}.jpg,cat")
            of[name] = k
    write(tmp_path / "tags.csv", "\n".join(rows) + "\n")
    job = Job()
    index = run(None, Config(kind="folder", root=str(tmp_path), shards=1, val_share=0.25), job)["index"]
    held = [of[index.image_id[i]] for i in index.where("val")]
    assert len(held) == 12 and all(held.count(k) == 3 for k in held)
    assert job.numbers["near_duplicates"] == 48


def test_shards_of_a_small_folder(tmp_path):
    def shards(count, **keys):
        write(tmp_path / "tags.csv", "file,tags\n" + "".join(f"{k}.jpg,cat\n" for k in range(count)))
        return settled(Config(kind="folder", root=str(tmp_path), **keys).model_dump())["shards"]

    assert [shards(n) for n in (1, 199, 200, 201, 600, 601, 9999)] == [1, 1, 1, 2, 3, 4, 4]
    assert shards(250, val_share=0.2) == 1 and shards(500, shards=2) == 2
    voc = Config(kind="voc", root=str(tmp_path)).model_dump()
    assert settled(voc) == voc


def test_held_out_photos_of_a_folder(tmp_path):
    from stages.images import run
    from tag2mask.run.job import Job

    root = folder(tmp_path, "file,tags\na.jpg,cat\nsub/b.png,cat\n")
    index = run(None, Config(kind="folder", root=str(root), shards=1, val_share=0.5), Job())["index"]
    assert index.train.sum() == index.val.sum() == 1 and index.tags(int(index.where("val")[0])) == (1,)
