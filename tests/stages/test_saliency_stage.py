"""saliency as a stage: U2-Netp's input and output, salient components, and maps made elsewhere, by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stages.saliency import packaged, predict, run, u2netp
from stages.saliency.components import salient_components
from stages.saliency.config import Config
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.data.saliency import saliency_map
from tag2mask.errors import UserError
from tag2mask.run.config import parse
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan
from tag2mask.run.registry import stages
from tag2mask.store.packaged import packaged_file

SIZE = (24, 40)
installed = pytest.mark.skipif(packaged.weights() is None, reason="needs Python below 3.13")


def found(values, size=None, *, threshold=0.5, least_area=0.0, keep=9):
    values = np.array(values)
    masks, score = salient_components(
        values, size or values.shape, threshold=threshold, least_area=least_area, keep=keep
    )
    return masks.astype(int).tolist(), score.tolist()


def test_components_by_hand():
    values = [[0.9, 0.0, 0.5, 0.0], [0.4, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    # 0.9, 0.5 and 0.5 touch at corners; 0.4 is below the threshold
    one = [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    other = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    masks, score = found(values)
    assert masks == [one, other] and score == pytest.approx([1.9 / 12, 1 / 12])
    assert found(values, keep=1)[0] == [one]
    assert found(values, threshold=0.6) == (
        [other, [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]],
        pytest.approx([1 / 12, 0.9 / 12]),
    )
    assert found(values, least_area=3 / 12)[0] == [one] and found(values, least_area=3.1 / 12)[0] == []


def test_small_components_take_no_place_of_large_ones():
    # 4 pixels of 0.5 make 2, 3 of 0.9 make 2.7: best first is not largest first
    values = np.zeros((4, 5))
    values[0, :4], values[3, :3], values[3, 4] = 0.5, 0.9, 1
    masks, score = found(values, least_area=2 / 20, keep=2)
    assert score == pytest.approx([2.7 / 20, 2 / 20]) and [np.sum(one) for one in masks] == [3, 4]
    assert found(values, least_area=4 / 20, keep=1)[1] == pytest.approx([2 / 20])


def test_of_equal_components_the_first_comes_first():
    values = np.zeros((5, 9))
    values[0, 8] = values[1, 0] = values[4, 4] = 0.75
    assert [np.argwhere(one).tolist() for one in found(values)[0]] == [[[0, 8]], [[1, 0]], [[4, 4]]]


def test_nothing_and_everything_stands_out():
    assert found(np.zeros((3, 4))) == ([], [])
    masks, score = found(np.ones((3, 4)), keep=2)
    assert np.all(masks) and np.shape(masks) == (1, 3, 4) and score == [1.0]


def test_cells_tile_the_photo():
    """A map of 1 x 2 cells over 2 x 8 pixels, bilinear between the middles at 1.5 and 5.5: 0, 1/8, 3/8, 5/8, ..."""
    masks, score = found([[0.0, 1.0]], (2, 8))
    assert masks == [[[0, 0, 0, 0, 1, 1, 1, 1]] * 2] and score == pytest.approx([2 * (5 / 8 + 7 / 8 + 2) / 16])


def test_a_photo_enters_over_its_largest_value_and_normalised():
    photo = np.full((4, 6, 3), (200, 100, 50), np.uint8)
    x = u2netp.entering(photo)
    assert x.shape == (1, 3, 320, 320) and x.dtype == np.float32
    wanted = [(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.25 - 0.406) / 0.225]
    assert np.allclose(x, np.reshape(wanted, (1, 3, 1, 1)))
    assert np.allclose(
        u2netp.entering(photo * 0), np.reshape([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], (3, 1, 1))
    )
    photo = np.zeros((640, 1280, 3), np.uint8)
    photo[:320, :, 1] = 255  # the upper half is green
    x = u2netp.entering(photo)[0]
    assert np.allclose(x[1, :160], (1 - 0.456) / 0.224) and np.allclose(x[1, 160:], -0.456 / 0.224)


def test_what_leaves_is_min_max_normalised():
    assert u2netp.unit(np.array([[2.0, 4], [6, 4]])).tolist() == [[0, 0.5], [1, 0.5]]
    assert u2netp.unit(np.full((2, 2), 0.7)).tolist() == [[0, 0], [0, 0]]


def test_the_first_output_is_the_map():
    class Network:
        def get_inputs(self):
            return [SimpleNamespace(name="x")]

        def get_outputs(self):
            return [SimpleNamespace(name=name) for name in ("fused", "side")]

        def run(self, names, given):
            assert names == ["fused"] and given["x"].shape == (1, 3, 320, 320)
            return [np.arange(4.0).reshape(1, 1, 2, 2)]

    assert np.allclose(u2netp.saliency(Network(), np.zeros((5, 5, 3), np.uint8)), [[0, 1 / 3], [2 / 3, 1]])


def photo_with_disc():
    """A red disc on a grey slope, and where it is."""
    y, x = np.mgrid[: SIZE[0] * 8, : SIZE[1] * 8]
    mask = (y - 90) ** 2 + (x - 120) ** 2 < 60**2
    photo = np.repeat((90 + x[..., None] / 8).astype(np.uint8), 3, 2)
    photo[mask] = (210, 40, 30)
    return photo, mask


@pytest.fixture
def index(tmp_path):
    """Two training photos in two shards and one for validation; the path of their index."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "abc":
        Image.fromarray(photo_with_disc()[0]).resize(SIZE[::-1]).save(photos / f"{name}.png")
    path = tmp_path / "index.zarr.zip"
    Index.build(
        photos, {1: "disc"}, image_id=list("abc"), path=[f"{name}.png" for name in "abc"], size=[SIZE] * 3,
        tags=[(1,)] * 3, train=[True, True, False], val=[False, False, True], shards=2,
    ).save(path)  # fmt: skip
    return SimpleNamespace(index=path)


def test_of_a_shard_and_of_held_out_photos(index):
    job = Job(shard=1, shards=2)
    made, held_out = run(index, Config(), job), predict(index, Config(), Job())
    assert made["saliency"].image_id == made["salient"].image_id == ["b"]
    assert held_out["held_out"].image_id == held_out["held_out_salient"].image_id == ["c"]
    photo = Index.load(index.index).photo(1)
    for maps in (made["saliency"], held_out["held_out"]):
        assert maps.data.dtype == np.float16 and maps.category.tolist() == [0]
        assert np.abs(maps.map(0) - saliency_map(photo)).max() < 0.51 / 255
    table = made["salient"]
    assert table.category.tolist() == [0] and job.numbers == {"photos": 1, "salient": 1, "photos_without": 0}
    assert (table.masks(0)[0] == (made["saliency"].map(0) >= 0.5)).all()
    assert table.score[0] == pytest.approx(made["saliency"].map(0)[table.masks(0)[0]].sum(dtype=float) / 960, rel=1e-3)
    assert run(index, Config(), Job())["saliency"].image_id == ["a", "b"]


@installed
def test_u2_netp_finds_a_disc(index):
    photo, mask = photo_with_disc()
    seen = u2netp.saliency(u2netp.session(threads=1), photo)
    assert seen.shape == (320, 320) and seen.min() == 0 and seen.max() == 1
    (best, *_), score = salient_components(seen, mask.shape, threshold=0.5, least_area=0.01, keep=2)
    assert (best & mask).sum() / (best | mask).sum() > 0.9 and 0 < score[0] < 1
    maps = run(index, Config(source="u2netp"), Job(shard=0))["saliency"]
    assert maps.map(0).shape == (320, 320) and maps.size.tolist() == [list(SIZE)]


def test_without_the_package_it_is_one_sentence(index, monkeypatch):
    monkeypatch.setattr(u2netp, "weights", lambda: None)
    u2netp.session.cache_clear()
    with pytest.raises(UserError, match=r"^saliency\.source u2netp needs the package rembg-aws-.*instances do"):
        run(index, Config(source="u2netp"), Job(shard=0))


def test_packages_and_files_that_are_not_there():
    assert packaged_file("no-such-package", ".onnx") is None and packaged_file("numpy", ".onnx") is None
    assert packaged_file("numpy", "version.py").is_file()


def folder_of(tmp_path, **pictures):
    (tmp_path / "maps").mkdir()
    for name, values in pictures.items():
        Image.fromarray(values).save(tmp_path / "maps" / f"{name}.png")
    return Config(source="folder", path=str(tmp_path / "maps"))


def test_maps_made_elsewhere(index, tmp_path):
    values = np.zeros(SIZE, np.uint8)
    values[:, :10], values[0, 20:], values[1, 30:] = 255, 127, 128
    deep = values.astype(np.uint16) * 257
    grey = np.repeat(values[..., None], 3, 2)  # as U2-Net's code writes it
    config, job = folder_of(tmp_path, a=values, b=deep, c=grey), Job()
    made = run(index, config, job)
    assert (made["saliency"].map(0) == (values / 255).astype(np.float16)).all()
    assert (made["saliency"].map(1) == made["saliency"].map(0)).all()
    assert (predict(index, config, Job())["held_out"].map(0) == made["saliency"].map(0)).all()
    # 10 columns of 1, and 10 pixels of 128 / 255 (127 / 255 is below 0.5)
    assert made["salient"].area.tolist() == [240, 10] * 2
    assert made["salient"].score[:2] == pytest.approx([0.25, 10 * 128 / 255 / 960], rel=1e-3)
    assert job.warnings == []
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: no size tells
    Image.open(tmp_path / "photos/a.png").save(tmp_path / "photos/a.png", exif=exif)
    run(index, config, job)
    assert len(job.warnings) == 1 and "1 photos are turned or mirrored" in job.warnings[0]


def test_instances_made_elsewhere_are_taken_as_they_are(index, tmp_path):
    """A COCO document, its second mask the better one: 240 and 12 of 960 pixels are enough of a photo, 9 are not."""
    masks = np.zeros((3, *SIZE), bool)
    masks[0, :, :10], masks[1, 2:5, 20:24], masks[2, 2:5, 30:33] = True, True, True
    entries = [
        {"image_id": 7, "score": score, "segmentation": {"size": list(SIZE), "counts": one["counts"].decode()}}
        for one, score in zip(rle.encode(masks), (0.3, 0.9, 0.8))
    ]
    images = [{"id": 7, "file_name": "photos/a.png"}, {"id": 8, "file_name": "b.png"}]  # none of b: it has none
    path = tmp_path / "s4net.json"
    path.write_text(json.dumps({"images": images, "annotations": entries}))
    job = Job()
    made = run(index, Config(source="instances", path=str(path)), job)
    table = made["salient"]
    assert table.first.tolist() == [0, 2, 2] and (table.masks(0) == masks[[1, 0]]).all()
    assert table.score == pytest.approx([12 / 960, 0.25]) and job.numbers["photos_without"] == 1
    assert (made["saliency"].map(0) == masks[:2].any(0)).all() and not made["saliency"].map(1).any()
    assert len(run(index, Config(source="instances", path=str(path), keep=1), Job())["salient"]) == 1
    path.write_text(json.dumps(entries))  # a list of photo 7 alone
    with pytest.raises(UserError, match=r"^saliency\.path, .*s4net\.json, has no entry of the photo a; add it"):
        run(index, Config(source="instances", path=str(path)), Job())
    path.write_text("{}")
    with pytest.raises(UserError, match=r"^The saliency file .*s4net\.json must hold a JSON list, or an object"):
        run(index, Config(source="instances", path=str(path)), Job())
    with pytest.raises(ValueError, match="source instances needs `path`, the JSON of salient instances"):
        Config(source="instances")


def test_held_out_photos_that_a_folder_lacks_have_none(index, tmp_path):
    config, job = folder_of(tmp_path, a=np.zeros(SIZE, np.uint8)), Job()
    made = predict(index, config, job)
    assert made["held_out"].image_id == made["held_out_salient"].image_id == ["c"]
    assert len(made["held_out"]) == len(made["held_out_salient"]) == 0
    assert len(job.warnings) == 1 and "1 of 1 validation photos have no map" in job.warnings[0]
    with pytest.raises(UserError, match=r"^saliency\.path, .*maps, has no b\.png; add it or drop the photo"):
        run(index, config, Job())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            np.zeros((24, 40, 3), np.uint8) + np.uint8([1, 2, 3]),
            r"a\.png is a RGB picture; a map of saliency\.path is grey",
        ),
        (np.zeros((24, 40, 4), np.uint8), r"a\.png is a RGBA picture"),
        (np.zeros((40, 24), np.uint8), r"a\.png is 24x40 pixels, its photo is 40x24; maps of saliency\.path have"),
    ],
)
def test_a_map_that_does_not_fit_is_one_sentence(index, tmp_path, values, sentence):
    with pytest.raises(UserError, match=sentence):
        run(index, folder_of(tmp_path, a=values), Job(shard=0))


def test_other_faults_of_a_folder_are_one_sentence(index, tmp_path):
    config = folder_of(tmp_path)
    (tmp_path / "maps" / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"a\.png is no readable PNG"):
        run(index, config, Job(shard=0))
    (tmp_path / "maps" / "a.png").unlink()
    (tmp_path / "maps" / "a.png").symlink_to(tmp_path / "photos" / "a.png")
    with pytest.raises(UserError, match=r"a: its map would lie outside .*maps \(saliency\.path\)"):
        run(index, config, Job(shard=0))
    with pytest.raises(UserError, match=r"folder .*nowhere does not exist; check saliency\.path"):
        run(index, Config(source="folder", path=str(tmp_path / "nowhere")), Job(shard=0))
    with pytest.raises(UserError, match="source folder needs `path`"):
        parse(Config, {"source": "folder"}, where="saliency")


def test_what_it_rests_on_is_said():
    variants = {"a": {}, "b": {"source": "u2netp"}, "c": {"source": "folder", "path": "x"}}
    plan = Plan.load({"variants": {"saliency": variants}, "recipes": {"r": {"reference": "default"}}, "show": ["r"]})
    assert [stages()["saliency"].extras(plan.view("saliency", name)) for name in variants] == [
        ["saliency of our own"],
        ["saliency of U2-Netp (trained on masks of DUTS)"],
        ["imported saliency"],
    ]
