"""A validation split by names: what belongs together stays on one side; shards that a small folder needs."""

from images_files import folder, write

from stages.images.config import Config
from stages.images.count import settled
from stages.images.split import held_out, series


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
