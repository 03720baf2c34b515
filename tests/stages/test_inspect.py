"""inspect: every kind of store as a table and as a picture; one sentence for what is not there."""

import numpy as np
import pytest
from PIL import Image

from tag2mask import cli
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.tables import Table

NAMES = {1: "cat", 2: "dog"}
IDS = np.array(["a", "b"])


def main(arguments):
    return cli.main(["inspect", *arguments])


@pytest.fixture
def run(tmp_path):
    """A run folder with one store of every kind; photo a is red, b is missing."""
    folder = tmp_path / "run"
    photos = folder / "images" / "default" / "photos"
    photos.mkdir(parents=True)
    Image.new("RGB", (60, 40), (200, 30, 30)).save(photos / "a.png")
    index = Index.build(
        photos, NAMES, image_id=["a", "b"], path=["a.png", "b.png"], size=[(40, 60), (30, 30)],
        tags=[(1,), (1, 2)], train=[True, True], shards=1,
    )  # fmt: skip
    index.save(folder / "images" / "default" / "index.zarr.zip")
    left = np.zeros((40, 60), bool)
    left[:, :30] = True
    builder = InstancesBuilder(NAMES)
    builder.add("a", (40, 60), np.stack([left, ~left]), category=[1, 2], score=[0.9, 0.25], ignore=[0, 1], void=left)
    builder.add("b", (30, 30), [], category=0)
    builder.finish().save(folder / "instances.zarr.zip")
    builder = InstancesBuilder(NAMES)
    builder.add("a", (40, 60), np.stack([left, ~left]), category=0, score=[0.9, 0.25])
    builder.finish().save(folder / "proposals.zarr")
    builder = MapsBuilder(np.float16, {"stride": 8})
    builder.add("a", (40, 60), [(1, np.eye(5, 8)), (2, np.full((5, 8), 0.5))])
    builder.finish().save(folder / "cam.zarr.zip")
    builder = MapsBuilder(np.uint8, {"background": 0, "ignore": 255})
    builder.add("a", (40, 60), [(0, np.where(left, 1, 255))])
    builder.finish().save(folder / "semantic.zarr.zip")
    builder = MapsBuilder(np.float16, {"title": "saliency"})
    builder.add("a", (40, 60), [(0, np.where(left, 0.25, 1))])
    builder.finish().save(folder / "saliency.zarr.zip")
    tables = {
        "peaks": ({"image_id": IDS, "first": np.array([0, 1, 1]), "category": np.array([2], np.int16),
                   "yx": np.array([[20, 11]], np.int32), "score": np.array([0.75], np.float32)}, {}),
        "mil": ({"image_id": IDS, "first": np.array([0, 2, 2]), "row": np.arange(2), "f": np.zeros((2, 7), np.float16),
                 "p": np.array([[0.25, 0.75, 0], [1, 0, 0]], np.float32)}, {"labels": [0, 1, 2]}),
        "graph": ({"edge": np.array([[0, 1]]), "cosine": np.array([0.5], np.float32)}, {"nodes": 3}),
        "labels": ({"label": np.array([0, 1, 1], np.int16)}, {"status": "optimal"}),
    }  # fmt: skip
    for name, (arrays, meta) in tables.items():
        Table(f"{name}/1", arrays, meta).save(folder / f"{name}.zarr.zip")
    return folder


WHOLE = {
    "images/default/index.zarr.zip": ["2 photos", "cat", "training photos"],
    "instances.zarr.zip": ["2 images, 2 instances, 0 to 2 an image", "1 crowds", "rle", "uint32", "dog"],
    "proposals.zarr": ["1 images, 2 instances", "proposal"],
    "cam.zarr.zip": ["2 maps of float16 (stride 8)", "cat"],
    "semantic.zarr.zip": ["1 maps of uint8", "label map"],
    "saliency.zarr.zip": ["1 maps of float16 (title saliency)", "0  saliency"],
    "peaks.zarr.zip": ["2 images, 1 peaks", "dog", "0.750"],
    "mil.zarr.zip": ["feature of 7 numbers", "background", "0.625"],
    "graph.zarr.zip": ["3 nodes, 1 edges, 1 nodes without one", "0.500"],
    "labels.zarr.zip": ["3 nodes; status: optimal", "66.667"],
}
ONE = {
    "images/default/index.zarr.zip": ["tags: cat", "40 x 60", "splits: train; shard: 0"],
    "instances.zarr.zip": ["1200 void pixels", "0.900", "crowd", "30 0 30 40"],
    "proposals.zarr": ["proposal", "1200"],
    "cam.zarr.zip": ["a: 2 maps", "5x8", "0.500"],
    "semantic.zarr.zip": ["ignore", "50.000"],
    "saliency.zarr.zip": ["saliency", "40x60", "0.625"],
    "peaks.zarr.zip": ["dog", "20  11  0.750"],
    "mil.zarr.zip": ["a: 2 proposals", "0.750"],
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_store_as_table_and_picture(run, name, capsys):
    png = run / "out.png"
    assert main([str(run / name), "--png", str(png)]) == 0
    text = capsys.readouterr().out
    for wanted in WHOLE[name]:
        assert wanted in text
    picture = np.asarray(Image.open(png))
    assert picture.ndim == 3 and min(picture.shape[:2]) > 60 and len(np.unique(picture)) > 20


@pytest.mark.parametrize("name", ONE)
def test_one_image_as_table_and_picture(run, name, capsys):
    assert main([str(run / name), "a", "--png", str(run / "out.png")]) == 0
    text = capsys.readouterr().out
    for wanted in ONE[name]:
        assert wanted in text
    assert np.asarray(Image.open(run / "out.png")).std() > 5


def test_photos_by_index_by_folder_or_grey(run, tmp_path):
    def middle(*more):
        assert main([str(run / "images" / "default" / "index.zarr.zip"), "a", "--png", str(run / "o.png"), *more]) == 0
        picture = np.asarray(Image.open(run / "o.png"))
        return picture[picture.shape[0] // 2, picture.shape[1] // 2].tolist()

    assert middle() == [200, 30, 30]
    other = tmp_path / "other"
    other.mkdir()
    assert middle("--photos", str(other)) == [128, 128, 128]  # no photo of that name
    Image.new("RGB", (60, 40), (10, 200, 10)).save(other / "a.png")
    assert middle("--photos", str(other)) == [10, 200, 10]


def test_instances_lie_where_their_masks_are(run):
    """On the grey or red ground the two halves differ: one is filled, the crowd only outlined."""
    assert main([str(run / "instances.zarr.zip"), "a", "--png", str(run / "o.png")]) == 0
    picture = np.asarray(Image.open(run / "o.png")).astype(int)
    y = picture.shape[0] // 3
    left, right = picture[y, 100:300].mean(0), picture[y, 480:700].mean(0)
    assert np.abs(left - right).max() > 40
    assert right.argmax() == 0 and right[1] == right[2]  # nothing painted over the photo's red, dimmed as it may be
    assert left.argmin() != right.argmin() or abs(left[1] - left[2]) > 10


def test_one_sentence_for_what_is_not_there(run, capsys):
    Table("peaks/2", {"x": np.zeros(1)}).save(run / "newer.zarr.zip")
    Table("soup/1", {"x": np.zeros(1)}).save(run / "soup.zarr.zip")
    (run / "file.zarr.zip").write_text("no store")
    for arguments, sentence in (
        (["none.zarr.zip"], "none.zarr.zip does not exist"),
        (["file.zarr.zip"], "is not a readable Zarr store"),
        (["soup.zarr.zip"], "has schema 'soup/1', which inspect does not know; it knows instances/1, maps/1"),
        (["newer.zarr.zip"], "this version of tag2mask reads peaks/1"),
        (["instances.zarr.zip", "z"], "has no image 'z' among its 2 images, for example a, b."),
        (["graph.zarr.zip", "a"], "holds what it has of all images as one; leave out a."),
        (["instances.zarr.zip", "--png", str(run / "no" / "x.png")], "cannot write the picture"),
        (["instances.zarr.zip", "--png", str(run / "x.soup")], "cannot write the picture"),
        (["cam.zarr.zip", "--png", "x.png", "--photos", str(run / "no")], "is no folder"),
    ):
        assert main([str(run / arguments[0]), *arguments[1:]]) == 1
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1


def test_a_photo_of_another_size_is_refused(run, tmp_path, capsys):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    png = str(tmp_path / "o.png")
    assert main([str(run / "instances.zarr.zip"), "a", "--png", png, "--photos", str(tmp_path)]) == 1
    assert "the photo of a is (9, 9) pixels (height, width), the store says (40, 60)" in capsys.readouterr().err
