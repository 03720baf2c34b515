"""Point supervision: both forms of the file, every mistake in one sentence, the key of the dataset, the command."""

from types import SimpleNamespace

import numpy as np
import pytest
from images_files import folder, photo, voc, write

from stages import images
from stages.images import count as counting
from stages.images.config import Config
from stages.images.lists import list_files
from tag2mask.cli import main
from tag2mask.data import points
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.run.job import Job
from tag2mask.run.registry import stages

CATEGORIES = {3: "cat", 7: "dining table", 9: "3"}  # a class may be called like another's id


def index(**more):
    """Photos a (12 x 20 pixels) and sub/b of training, c without points, v held out; bad was left out."""
    keys = {
        "image_id": ["a", "c", "sub/b", "v"], "path": ["a", "c", "b", "v"], "size": [(12, 20)] * 4,
        "tags": [(3, 7), (3,), (3, 9), ()], "train": [1, 1, 1, 0], "val": [0, 0, 0, 1], "skipped": [("bad", "why")],
    }  # fmt: skip
    return Index.build("", CATEGORIES, **keys | more)


def table(path, **more):
    job = Job()
    return points.table(points.read(path, CATEGORIES), index(**more), job=job), job


def text(tmp_path, content, name="a"):
    write(tmp_path / f"points/{name}.txt", content)
    return tmp_path / "points"


def sheet(tmp_path, *lines, head="image_id,x,y,class,score"):
    write(tmp_path / "points.csv", "\n".join([head, *lines]) + "\n")
    return tmp_path / "points.csv"


def test_a_folder_of_text_files_by_hand(tmp_path):
    """Names and ids; the strongest of a class first; 4.4 and 4.5 lie in pixels 4 and 5, -0.5 still in pixel 0."""
    text(tmp_path, "4.4 4.5 cat 0.25\n\n  19 11 dining table 0.5 \n1 2 cat\n0 -0.5 7 1e0\n")
    found, job = table(text(tmp_path, "5 6 3 0.125\r\n7 8 cat 1\r\n", "sub/b"))
    assert found.schema == "peaks/1" and found["image_id"].tolist() == ["a", "c", "sub/b"]
    assert found["first"].tolist() == [0, 4, 4, 6]
    assert found["category"].tolist() == [3, 3, 7, 7, 3, 9]  # "5 6 3" is the class called 3, not the cat
    assert found["yx"].tolist() == [[2, 1], [5, 4], [0, 0], [11, 19], [8, 7], [6, 5]]
    assert found["score"].tolist() == [1, 0.25, 1, 0.5, 1, 0.125]
    kinds = {name: found[name].dtype for name in ("first", "category", "yx", "score")}
    assert kinds == {"first": np.int64, "category": np.int16, "yx": np.int32, "score": np.float32}
    assert job.numbers == {"points": 6, "photos_without_points": 1, "tags_without_points": 0, "unused_points": 0}
    assert not job.warnings


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_with_and_without_scores(tmp_path, separator):
    rows = ["a,4,5,cat,0.5", "", "sub/b,1,2,3,", '"a",6,7,"dining  table",1', ",,,,"]
    path = sheet(tmp_path, *(row.replace(",", separator) for row in rows),
                 head="\ufeffimage_id,x,y,class,score".replace(",", separator))  # fmt: skip
    found, job = table(path)
    assert found["category"].tolist() == [3, 7, 9] and found["yx"].tolist() == [[5, 4], [7, 6], [2, 1]]
    assert found["score"].tolist() == [0.5, 1, 1]
    # the cat of sub/b has no point
    assert job.warnings == ["1 tags of photos with points have no point, the first is sub/b, cat."]
    assert job.numbers["tags_without_points"] == 1
    assert table(sheet(tmp_path, "a,4,5,cat", head="image_id,x,y,class"))[0]["score"].tolist() == [1]


def test_points_of_held_out_and_left_out_photos_are_counted_and_left_out(tmp_path):
    found, job = table(sheet(tmp_path, "v,1,1,cat,1", "bad,900,1,cat,1", "c,1,2,cat,1"))
    assert found["yx"].tolist() == [[2, 1]] and found["first"].tolist() == [0, 0, 1, 1]
    assert job.numbers["unused_points"] == 2 and job.numbers["photos_without_points"] == 2


def test_no_point_at_all(tmp_path):
    found, job = table(sheet(tmp_path))
    assert found["yx"].shape == (0, 2) and found["first"].tolist() == [0, 0, 0, 0]
    assert job.numbers["points"] == 0 and not job.warnings


WRONG = {
    "1 2 lion 0.5": "'lion' is neither a class nor a category id",
    "1 2 lion king": "'lion king' is neither",
    "1 2 1": "'1' is neither",
    "1 2": "`x y class score` is needed",
    "one 2 cat": "x is 'one', not a number",
    "1 nan cat": "y is 'nan', not a number",
    "inf 2 cat": "x is 'inf', not a number",
    "1 2 cat nan": "the score is 'nan', not a number",
    "1 2 cat 1.5": "the score 1.5 is not between 0 and 1",
    "1 2 cat -0.1": "the score -0.1 is not between",
    "19.5 2 cat": "the point x 19.5, y 2 lies outside its photo of 20x12 pixels",
    "1 12 cat": "lies outside",
    "-0.6 2 cat": "lies outside",
    "1 2 9": "3 is not among the tags of a; add the tag",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_one_sentence_with_file_and_line(tmp_path, line):
    with pytest.raises(UserError) as error:
        table(text(tmp_path, f"1 1 cat\n{line}\n"))
    assert str(error.value).startswith(f"{tmp_path}/points/a.txt, line 2: ") and WRONG[line] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_row_is_one_sentence_with_file_and_line(tmp_path):
    rows = {
        "z,1,1,cat,1": "line 3: the dataset has no photo 'z'",
        "a,1,1,cat": "line 3: 5 columns are needed",
        "a,1,1,cat,1,1": "line 3: 5 columns",
        "a,1,,cat,1": "line 3: y is ''",
        "a,1,1,,1": "line 3: '' is neither",
    }
    for row, sentence in rows.items():
        with pytest.raises(UserError, match=sentence):
            table(sheet(tmp_path, "a,1,1,cat,1", row))
    for head in ("image_id,x,y", "file,x,y,class", "image_id.x.y.class", "", "image_id,y,x,class"):
        with pytest.raises(UserError, match="line 1: image_id,x,y,class or"):
            table(sheet(tmp_path, "a,1,1,cat,1", head=head))


def test_a_file_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("none.csv", "empty"):
        with pytest.raises(UserError, match=f"{name} is no CSV and no folder of text files"):
            table(tmp_path / name)
    (tmp_path / "photo.csv").write_bytes(b"\x89PNG\r\n\x1a\nimage_id,x,y,class\n")
    with pytest.raises(UserError, match="photo.csv is not a text file in UTF-8"):
        table(tmp_path / "photo.csv")
    with pytest.raises(UserError, match="the dataset has no photo 'readme'"):
        table(text(tmp_path, "1 1 cat\n", "readme"))


def run(out, **keys):
    config = Config(**{"shards": 1} | keys)
    return images.run(SimpleNamespace(), config, Job(folder=out / "out"))


def test_the_key_of_the_dataset(tmp_path):
    """Relative to root or absolute; a third output with the key alone; a rerun when a file of points changes."""
    root = folder(tmp_path / "data")
    assert set(run(tmp_path, kind="folder", root=str(root))) == {"index", "truth"}
    write(root / "own/sub/b.txt", "3 4 cat 0.5\n")
    write(root / "points.csv", "image_id,x,y,class\nsub/b,3,4,cat\na,0,0,dog\n")
    for given, count in (("own", 1), (str(root / "points.csv"), 2)):
        made = run(tmp_path, kind="folder", root=str(root), points=given)
        found = made["points"]
        assert found["image_id"].tolist() == made["index"].image_id == ["a", "sub/b"]
        assert len(found["yx"]) == count and found["yx"][-1].tolist() == [4, 3]
    listed = list_files(Config(kind="folder", root=str(root), points="own").model_dump())
    assert listed == [str(root / "own/sub/b.txt"), str(root / "tags.csv")]
    with pytest.raises(UserError, match="no CSV and no folder"):
        run(tmp_path, kind="folder", root=str(root), points="else")


def test_a_wrong_point_is_said_before_the_photos_are_decoded(tmp_path):
    root = folder(tmp_path / "data")
    write(root / "sub/b.png", "no photo")
    write(root / "points.csv", "image_id,x,y,class\na,0,0,lion\n")
    with pytest.raises(UserError, match="points.csv, line 2: 'lion'"):
        run(tmp_path, kind="folder", root=str(root), points="points.csv")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a,0,0,lion", "points.csv, line 3: 'lion' is neither a class"),
        ("z,0,0,cat", "points.csv, line 3: the dataset has no photo 'z'"),
        ("a,zero,0,dog", "points.csv, line 3: x is 'zero'"),
        ("sub/b,3,4,dog", "points.csv, line 3: dog is not among the tags of sub/b"),
    ],
)
def test_a_dry_run_looks_at_points_and_reads_no_photo(tmp_path, row, sentence):
    root = folder(tmp_path / "data")
    write(root / "a.jpg", "no photo")
    keys = Config(kind="folder", root=str(root), points="points.csv").model_dump()
    write(root / "points.csv", "image_id,x,y,class\na,900,900,dog\n")
    stages()["images"].check(keys)
    write(root / "points.csv", f"image_id,x,y,class\na,0,0,dog\n{row}\n")
    with pytest.raises(UserError, match=sentence):
        stages()["images"].check(keys)


def test_a_dry_run_misses_files_of_points_of_scenes_and_of_long_json(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="none.csv is no CSV"):
        stages()["images"].check(Config(points=str(tmp_path / "none.csv")).model_dump())
    monkeypatch.setattr(counting, "LARGE", -1)
    for name in ("train.json", "val.json"):
        write(tmp_path / name, "{}")
    keys = {"kind": "coco", "root": str(tmp_path), "train_json": "train.json", "val_json": "val.json"}
    stages()["images"].check(Config(**keys).model_dump())
    with pytest.raises(UserError, match="none.csv is no CSV"):
        stages()["images"].check(Config(**keys, points="none.csv").model_dump())


@pytest.mark.parametrize("form", ["csv", "txt"])
def test_points_of_scenes_from_their_truth(tmp_path, form, capsys):
    """As the command writes them, so they are read: every object one point, inside its mask."""
    keys = {"kind": "scenes", "n_train": 3, "n_val": 1, "size": 64}
    made = run(tmp_path, **keys)
    made["truth"].save(tmp_path / "truth.zarr.zip")
    out = tmp_path / "made"
    assert main(["points", str(tmp_path / "truth.zarr.zip"), str(out), "--format", form]) == 0
    assert out.is_dir() == (form == "txt") and f"points in {out}" in capsys.readouterr().out
    assert str(out if form == "csv" else out / "train_000000.txt") in list_files(
        Config(**keys, points=str(out)).model_dump()
    )
    found = run(tmp_path, **keys, points=str(out))["points"]
    truth = made["truth"]
    assert len(found["yx"]) == sum(len(truth.masks(i)) for i, name in enumerate(truth.image_id) if "train" in name) > 3
    for i, name in enumerate(found["image_id"]):
        k = truth.image_id.index(str(name))
        rows = slice(*found["first"][i : i + 2])
        inside = truth.masks(k)[:, found["yx"][rows, 0], found["yx"][rows, 1]]  # objects x points
        right = truth.category[truth.rows(k)][:, None] == found["category"][rows]
        assert (inside & right).sum(0).tolist() == (inside & right).sum(1).tolist() == [1] * len(inside)


def test_text_files_of_ids_with_slashes_and_of_classes_with_spaces(tmp_path, capsys):
    source = voc(tmp_path / "data")
    names = {"kind": "voc", "root": str(source), "classes": ["house cat", "dog"], "train": "Main/train"}
    for file in (source / "Annotations").glob("*.xml"):
        file.write_text(file.read_text().replace("cat", "house cat"))
    truth = run(tmp_path, **names)["truth"]
    truth = truth.replaced(image_id=[f"sub/{name}" for name in truth.image_id])
    truth.save(tmp_path / "truth.zarr.zip")
    assert main(["points", str(tmp_path / "truth.zarr.zip"), str(tmp_path / "out"), "--format", "txt"]) == 0
    assert (tmp_path / "out/sub/a.txt").read_text().split(maxsplit=2)[2] == "house cat\n"
    read = points.read(tmp_path / "out", {1: "house cat", 2: "dog"})
    assert [(one.image_id, one.category) for one in read] == [("sub/a", 1), ("sub/b", 2), ("sub/b", 2), ("sub/d", 2)]
    assert main(["points", str(tmp_path / "truth.zarr.zip"), str(tmp_path / "out"), "--format", "txt"]) == 1
    assert "out is a folder with files in it" in capsys.readouterr().err
    bad = truth.replaced(image_id=[f"../{k}" for k in range(len(truth.image_id))])
    bad.save(tmp_path / "bad.zarr.zip")
    assert main(["points", str(tmp_path / "bad.zarr.zip"), str(tmp_path / "new"), "--format", "txt"]) == 1
    assert "leads out" in capsys.readouterr().err
    assert isinstance(Instances.load(tmp_path / "truth.zarr.zip"), Instances)


def test_the_table_is_a_store(tmp_path):
    found, _ = table(sheet(tmp_path, "a,4,5,cat,0.5"))
    found.save(tmp_path / "points.zarr.zip")
    again = Table.load(tmp_path / "points.zarr.zip", "peaks/1")
    assert again["yx"].tolist() == [[5, 4]] and again["image_id"].tolist() == ["a", "c", "sub/b"]
    photo(tmp_path / "unused.png")
