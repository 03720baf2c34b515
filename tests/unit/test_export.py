"""tag2mask export: COCO JSON and directory stores, whole or not at all; one sentence for what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tag2mask.cli import main
from tag2mask.data.coco import from_coco
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.photo import photos_in
from tag2mask.store import store
from tag2mask.view.prediction import write_instances


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run with an index of two photos, instances of them, proposals and maps; the working folder."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.jpeg"):
        Image.new("RGB", (12, 8)).save(photos / name)
    folder = tmp_path / "run"
    Index.build(
        photos, {1: "cat", 4: "dog"}, image_id=["a", "sub/b"], path=["a.png", "sub/b.jpeg"], size=[(8, 12)] * 2,
        tags=[(1,), (4,)], train=[True, True],
    ).save(folder / "images" / "default" / "index.zarr.zip")  # fmt: skip
    left = np.zeros((8, 12), bool)
    left[:, :6] = True
    builder = InstancesBuilder({1: "cat", 4: "dog"})
    builder.add("a", (8, 12), np.stack([left, ~left]), category=[1, 4], score=[0.75, 0.5], ignore=[0, 2], void=left)
    builder.add("sub/b", (8, 12), left[None], category=4)
    table = builder.finish()
    table.save(folder / "labels" / "table.zarr.zip")
    table.save(folder / "labels" / "folder.zarr")
    table.replaced(id=np.ones(3, np.int64)).save(folder / "labels" / "twice.zarr.zip")
    builder = InstancesBuilder({})
    builder.add("a", (8, 12), left[None], category=0)
    builder.finish().save(folder / "labels" / "proposals.zarr.zip")
    maps = MapsBuilder(np.uint8)
    maps.add("a", (8, 12), [(0, left)])
    maps.finish().save(folder / "labels" / "maps.zarr.zip")
    return folder / "labels"


def same(a, b):
    return store.digest(a.arrays()) == store.digest(b.arrays()) and a.categories == b.categories


def test_coco_json_names_the_photos_as_the_index_does(run, capsys):
    for name in ("table.zarr.zip", "folder.zarr"):
        assert main(["export", str(run / name), f"{name}.json"]) == 0
        said = f"{name}.json: 3 instances of 2 photos, named relative to {run.parents[1] / 'photos'}\n"
        assert capsys.readouterr().out == said
        content = json.loads(Path(f"{name}.json").read_text())
        assert [image["file_name"] for image in content["images"]] == ["a.png", "sub/b.jpeg"]
        assert same(from_coco(f"{name}.json"), Instances.load(run / name))


def names_in(path):
    return [image["file_name"] for image in json.loads(Path(path).read_text())["images"]]


def test_coco_json_without_an_index(run, capsys):
    """An id that is a file name is one; others are looked for in the root, or taken for JPEG, which is said."""
    table = Instances.load(run / "table.zarr.zip")
    table.replaced(image_id=["sub/a.PNG", "b"]).save("away.zarr.zip")
    assert main(["export", "away.zarr.zip", "away.json"]) == 0
    assert names_in("away.json") == ["sub/a.PNG", "b.jpg"]
    said = capsys.readouterr().err
    assert said.startswith("1 photos are taken for JPEGs, the first for b.jpg: away.zarr.zip lies in no run; ")
    table.save("plain.zarr.zip")
    assert main(["export", "plain.zarr.zip", "plain.json", "--root", "photos"]) == 0
    assert names_in("plain.json") == ["a.png", "sub/b.jpeg"] and not capsys.readouterr().err
    (Path("photos") / "a.png").unlink()
    assert main(["export", "plain.zarr.zip", "lost.json", "--root", "photos"]) == 1
    assert "--root: photos holds no photo a, or several; name their folder." in capsys.readouterr().err


def test_predictions_say_which_files_their_photos_are(run, capsys):
    """As `tag2mask predict` writes them, also inside the folder of a run that knows other photos."""
    table, root = Instances.load(run / "table.zarr.zip"), Path("photos")
    (root / "a.jpg").write_bytes((root / "a.png").read_bytes())  # a.png is then an id with its ending
    table, files = table.replaced(image_id=["a.png", "sub/b"]), photos_in(root)
    for out in (Path("predicted"), run.parent / "predicted"):
        write_instances(table, files, root=root, out=out, least=0.6)
        assert names_in(out / "predictions.json") == ["a.png", "sub/b.jpeg"]
        assert main(["export", str(out / "predictions.zarr.zip"), str(out / "one.json"), "--min-score", "0.6"]) == 0
        assert names_in(out / "one.json") == ["a.png", "sub/b.jpeg"]
        assert f"2 instances of 2 photos, named relative to {root.absolute()}" in capsys.readouterr().out
    assert main(["review", "predicted/predictions.zarr.zip", "page.html"]) == 0


def test_proposals_have_a_category_that_coco_lists(run, capsys):
    assert main(["export", str(run / "proposals.zarr.zip"), "proposals.json"]) == 0
    assert from_coco("proposals.json").categories == {0: "proposal"}
    capsys.readouterr()
    assert main(["evaluate", str(run / "table.zarr.zip"), "proposals.json"]) == 0
    assert "recall70" in capsys.readouterr().out


def test_a_directory_store(run):
    assert main(["export", str(run / "table.zarr.zip"), "plain.zarr"]) == 0
    assert Path("plain.zarr/zarr.json").is_file()
    assert same(Instances.load("plain.zarr"), Instances.load(run / "table.zarr.zip"))
    assert main(["export", str(run / "maps.zarr.zip"), "deep/maps.zarr"]) == 0
    assert store.open("deep/maps.zarr").attrs["schema"] == "maps/1"


@pytest.mark.parametrize(
    ("name", "out", "sentence"),
    [
        ("table.zarr.zip", "there.json", "there.json exists; name one that does not."),
        ("table.zarr.zip", "there.zarr", "there.zarr exists; name one that does not."),
        ("folder.zarr", "x.zarr", "folder.zarr is a directory store already; copy it."),
        (
            "maps.zarr.zip",
            "x.json",
            "maps.zarr.zip holds maps/1, and formats of instances are for instances/1 alone; name",
        ),
        ("twice.zarr.zip", "x.json", "twice.zarr.zip cannot be COCO JSON: instance ids must be unique over the table"),
        ("table.zarr.zip", "x", "x ends neither in .json (COCO JSON) nor in .zarr (directory store)"),
        ("table.zarr.zip", "x.zarr.zip", "x.zarr.zip ends neither in .json"),
        ("none.zarr.zip", "x.json", "none.zarr.zip does not exist"),
        ("none.zarr.zip", "x.zarr", "none.zarr.zip does not exist"),
        ("text.zarr.zip", "x.zarr", "text.zarr.zip is not a readable Zarr store"),
    ],
)
def test_what_cannot_be_is_one_sentence(run, name, out, sentence, capsys):
    Path("there.json").write_text("older")
    Path("there.zarr").mkdir()
    (run / "text.zarr.zip").write_text("no store")
    before = sorted(Path().rglob("*"))
    assert main(["export", str(run / name), out]) == 1
    shown = capsys.readouterr().err
    assert sentence in shown and shown.count("\n") == 1 and shown.endswith(".\n")
    assert sorted(Path().rglob("*")) == before and Path("there.json").read_text() == "older"


@pytest.mark.parametrize("out", ["x.json", "x.zarr"])
def test_a_full_disk_leaves_nothing(run, out, monkeypatch, capsys):
    def full(part, path):
        raise OSError(28, "No space left on device", str(path))

    before = sorted(Path().rglob("*"))
    monkeypatch.setattr(store, "replace", full)
    assert main(["export", str(run / "table.zarr.zip"), out]) == 1
    assert f"{out} cannot be written (No space left on device)" in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before
