"""semantic: thresholds, the random walk, maps made elsewhere and true masks, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stages.semantic import label_map, run
from stages.semantic.config import Config
from stages.semantic.import_maps import read_label_png
from stages.semantic.label_map import from_cam, from_masks, mixed, over_maximum, threshold
from stages.semantic.random_walk import walk
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.errors import UserError
from tag2mask.run.job import Job


def test_thresholds_and_ignore_between():
    scores = np.array([[[0.3, 0.1], [0.29, 0.1], [0.05, 0.0], [0.04, 0.01], [0.5, 0.5], [0.2, 0.9]]])
    label = threshold(scores, [3, 7], foreground=0.3, background=0.05)
    assert label.dtype == np.uint8 and label.tolist() == [[3, 255, 255, 0, 3, 7]]
    label = threshold(scores, [3, 7], foreground=0.3, background=0.3)
    assert label.tolist() == [[3, 0, 0, 0, 3, 7]]  # equal thresholds leave nothing undecided


def test_walk_on_a_path_of_three():
    # 0 -(1)- 1 -(1)- 2 with prior 1, 0, 0 and restart 1: (L + I) x = (1, 0, 0), by hand x = (5, 2, 1) / 8
    x = walk(np.array([[1.0], [0], [0]]), [[0, 1], [1, 2]], [1.0, 1.0], restart=np.ones(3))
    np.testing.assert_allclose(x[:, 0], [5 / 8, 2 / 8, 1 / 8])
    # A cut edge stops the walker; a constant prior stays.
    x = walk(np.array([[1.0, 7], [0, 7], [0, 7]]), [[0, 1], [1, 2]], [1.0, 0.0], restart=np.ones(3))
    np.testing.assert_allclose(x, [[2 / 3, 7], [1 / 3, 7], [0, 7]])
    # A restart of ten holds its node ten times as firmly: 10 x0 + (x0 - x1) = 10, x1 + (x1 - x0) = 0
    x = walk(np.array([[1.0], [0]]), [[0, 1]], [1.0], restart=np.array([10.0, 1]))
    np.testing.assert_allclose(x[:, 0], [20 / 21, 10 / 21])


def two_tone(height=60, width=90):
    """A red square on green ground, and its mask."""
    photo = np.full((height, width, 3), (40, 160, 60), np.uint8)
    mask = np.zeros((height, width), bool)
    mask[14:46, 21:65] = True
    photo[mask] = (200, 40, 40)
    return photo, mask


def cam_of(mask, spot):
    """A coarse map, 1 in one cell of the object, and weakly over its surroundings."""
    cam = np.zeros((5, 7), np.float16)
    cam[1:4, 1:6] = 0.2
    cam[spot] = 1
    return cam


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_the_walk_fills_the_object_and_stops_at_its_edge():
    photo, mask = two_tone()
    cam = cam_of(mask, (2, 3))
    plain = from_cam(photo, [5], [cam], Config(refine="none"))
    refined = from_cam(photo, [5], [cam], Config(superpixels=60))
    assert plain.shape == refined.shape == mask.shape and set(np.unique(refined)) <= {0, 5, 255}
    assert iou(plain == 5, mask) < 0.5
    assert iou(refined == 5, mask) > 0.9


def test_larger_photos_are_walked_small_and_come_back_at_their_size():
    photo, mask = two_tone(240, 360)
    photo[...] = np.repeat(np.repeat(two_tone()[0], 4, 0), 4, 1)
    mask = np.repeat(np.repeat(two_tone()[1], 4, 0), 4, 1)
    refined = from_cam(photo, [5], [cam_of(mask, (2, 3))], Config(superpixels=60, side=90))
    assert refined.shape == (240, 360) and iou(refined == 5, mask) > 0.85


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (400, 2)])
def test_tiny_and_plain_photos(size):
    photo = np.full((*size, 3), 77, np.uint8)
    assert (from_cam(photo, [2], [np.ones((1, 1), np.float16)], Config()) == 2).all()
    assert (from_cam(photo, [2], [np.zeros((1, 1), np.float16)], Config()) == 0).all()
    assert (from_cam(photo, [], [], Config()) == 0).all()


def test_saliency_in_the_scores_by_hand():
    """Of 0.8 and 0.4 at saliency 0.5 the best gets all of it and the other half: 0.4 + 0.25 and 0.2 + 0.125."""
    scores = np.array([[[0.8, 0.4], [0.2, 0.1], [0.0, 0.6], [0.3, 0.3]]], np.float32)
    saliency = np.array([[0.5, 1.0, 0.0, 1.0]], np.float32)
    found = mixed(scores, saliency, share=0.5, floor=0.2)
    wanted = [[0.65, 0.325], [0.1, 0.05], [0.0, 0.3], [0.65, 0.65]]  # the second is not above the floor
    assert found.dtype == np.float32 and found[0] == pytest.approx(np.array(wanted))
    assert mixed(scores, saliency, share=0.25, floor=0.2)[0, 0] == pytest.approx([0.6 + 0.125, 0.3 + 0.0625])
    assert mixed(scores, saliency, share=0.5, floor=0.0)[0, 1] == pytest.approx([0.1 + 0.5, 0.05 + 0.25])
    assert over_maximum(found)[0] == pytest.approx(np.array(wanted) / 0.65)
    assert not over_maximum(np.zeros((2, 2, 1), np.float32)).any()


@pytest.mark.parametrize("refine", ["none", "random_walk"])
def test_saliency_fills_what_the_cam_marks_and_what_does_not_stand_out_is_no_object(refine):
    """A CAM that is 1 at one place of an object and 0.3 all around; the saliency, a quarter as fine as the photo, is 1
    on the object and on a second one where the CAM is 0.1."""
    mask = np.zeros((64, 96), bool)
    mask[16:48, 20:64] = True
    photo = np.where(mask[..., None], (200, 40, 40), (40, 160, 60)).astype(np.uint8)
    cam = np.full((64, 96), 0.3, np.float16)
    cam[28:36, 36:44], cam[:, 80:] = 1, 0.1
    saliency = mask[::4, ::4].astype(np.float16)
    saliency[4:12, 21:] = 1
    config = Config(refine=refine, superpixels=80, foreground=0.5, saliency_share=0.5)
    alone = from_cam(photo, [5], [cam], config)
    found = from_cam(photo, [5], [cam], config, saliency=saliency)
    assert iou(found == 5, mask) > 0.85 and iou(alone == 5, mask) < 0.7


def test_true_masks_small_over_large_crowds_and_void_ignored():
    masks = np.zeros((3, 4, 6), bool)
    masks[0, 0:2, 0:2] = True  # small
    masks[1, :, :4] = True  # large
    masks[2, :, 3:5] = True  # crowd: ignored where no object lies
    void = np.zeros((4, 6), bool)
    void[3, 0] = True
    label = from_masks(masks, np.array([9, 4, 4]), np.array([False, False, True]), void)
    assert label.tolist() == [[9, 9, 4, 4, 255, 0], [9, 9, 4, 4, 255, 0], [4, 4, 4, 4, 255, 0], [255, 4, 4, 4, 255, 0]]


def write_png(path, label, mode="P"):
    image = Image.fromarray(label)
    if mode == "P":
        image.putpalette([k % 256 for k in range(768)])
    image.save(path)


def test_label_pngs_palette_and_grey(tmp_path):
    label = np.array([[0, 3, 255], [3, 0, 0]], np.uint8)
    for mode in ("P", "L"):
        write_png(tmp_path / "a.png", label, mode)
        np.testing.assert_array_equal(read_label_png(tmp_path, "a", (2, 3), [3]), label)


def test_label_pngs_that_do_not_fit(tmp_path):
    label = np.array([[0, 3, 255], [3, 0, 0]], np.uint8)
    folder = tmp_path / "maps"
    folder.mkdir()
    write_png(folder / "a.png", label)
    write_png(tmp_path / "outside.png", label)
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(folder / "rgb.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "empty.png").write_bytes(b"")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    for name, size, sentence in (
        ("a", (3, 2), r"a\.png is 3x2 pixels, its photo is 2x3"),
        ("b", (2, 3), r"b\.png is missing"),
        ("rgb", (2, 3), "RGB picture"),
        ("cut", (2, 3), "no readable PNG"),
        ("empty", (2, 3), "no readable PNG"),
        ("../outside", (2, 3), "would lie outside"),
        ("link", (2, 3), "would lie outside"),
    ):
        with pytest.raises(UserError, match=sentence):
            read_label_png(folder, name, size, [3])
    with pytest.raises(UserError, match="holds the label 3, which is no category"):
        read_label_png(folder, "a", (2, 3), [1, 2])


@pytest.fixture
def inputs(tmp_path):
    """Two photos of one shard, the second without a tag; a third for validation."""
    photo, mask = two_tone()
    for name in "abv":
        Image.fromarray(photo).save(tmp_path / f"{name}.png")
    index = Index.build(
        tmp_path, {5: "box"}, image_id=["a", "b", "v"], path=["a.png", "b.png", "v.png"], size=[mask.shape] * 3,
        tags=[(5,), (), (5,)], train=[1, 1, 0], with_masks=[1, 0, 0], val=[0, 0, 1],
    )  # fmt: skip
    index.save(tmp_path / "index.zarr.zip")
    cam = MapsBuilder(np.float16)
    cam.add("a", mask.shape, [(5, cam_of(mask, (2, 3)))])
    cam.add("b", mask.shape, [])
    cam.finish().save(tmp_path / "cam.zarr.zip")
    truth = InstancesBuilder({5: "box"})
    for name in "abv":
        truth.add(name, mask.shape, mask[None], category=5)
    truth.finish().save(tmp_path / "truth.zarr.zip")
    return {name: tmp_path / f"{name}.zarr.zip" for name in ("index", "cam", "truth")}


def test_stage_from_cams(inputs):
    given = SimpleNamespace(index=inputs["index"], cam=inputs["cam"])
    job = Job(shard=0)
    made = run(given, Config(superpixels=60), job)["semantic"]
    assert made.image_id == ["a", "b"] and made.data.dtype == np.uint8 and len(made) == 2
    assert iou(made.map(0) == 5, two_tone()[1]) > 0.9 and not made.map(1).any()
    assert sum(job.numbers[name] for name in ("background", "ignore", "foreground")) == pytest.approx(1, abs=1e-3)
    again = run(given, Config(superpixels=60), Job(shard=0))["semantic"]
    np.testing.assert_array_equal(made.data, again.data)


def test_stage_from_cams_and_saliency(inputs, tmp_path):
    """A photo's own saliency is mixed in, found by name: it keeps the left half of the object, b's would keep all."""
    _, mask = two_tone()
    left = np.arange(90)[None] < 45 + np.zeros((60, 1))
    maps = MapsBuilder(np.float16)
    for name, values in (("b", np.ones((60, 90))), ("a", left)):
        maps.add(name, mask.shape, [(0, values.astype(np.float16))])
    maps.finish().save(tmp_path / "saliency.zarr.zip")
    cam = MapsBuilder(np.float16)
    cam.add("a", mask.shape, [(5, mask.astype(np.float16))])
    cam.add("b", mask.shape, [])
    cam.finish().save(tmp_path / "cam.zarr.zip")
    given = SimpleNamespace(
        index=inputs["index"], cam=tmp_path / "cam.zarr.zip", saliency=tmp_path / "saliency.zarr.zip"
    )
    config = Config(refine="none", foreground=0.6, saliency_share=0.5)
    made = run(given, config, Job(shard=0))["semantic"]
    np.testing.assert_array_equal(made.map(0) == 5, mask & left)
    assert not made.map(1).any()


def test_stage_from_truth_ignores_photos_without_masks(inputs):
    made = run(SimpleNamespace(index=inputs["index"], truth=inputs["truth"]), Config(source="truth"), Job(shard=0))
    np.testing.assert_array_equal(made["semantic"].map(0), np.where(two_tone()[1], 5, 0))
    assert (made["semantic"].map(1) == 255).all()


def test_stage_from_a_folder(inputs, tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    label = np.where(two_tone()[1], 5, 0).astype(np.uint8)
    for name in "ab":
        write_png(folder / f"{name}.png", label)
    config = Config(source="folder", path=str(folder))
    made = run(SimpleNamespace(index=inputs["index"]), config, Job(shard=0))["semantic"]
    np.testing.assert_array_equal(made.map(1), label)


def test_config_faults():
    with pytest.raises(ValueError, match="background must not be above"):
        Config(foreground=0.2, background=0.3)
    with pytest.raises(ValueError, match="needs `path`"):
        Config(source="folder")


def test_scores_of_a_huge_photo_are_enlarged_to_a_bounded_side_and_its_labels_to_its_own(monkeypatch):
    config = Config(side=16, superpixels=20)
    photo = np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)
    cam = np.zeros((4, 3), np.float16)
    cam[1, 1] = 1
    whole = label_map.from_cam(photo, np.array([2]), [cam], config)
    monkeypatch.setattr(label_map, "LARGEST", 32)
    bounded = label_map.from_cam(photo, np.array([2]), [cam], config)
    assert bounded.shape == whole.shape == (64, 48)
    assert (bounded == bounded[::2, ::2].repeat(2, 0).repeat(2, 1)).all() and (bounded == whole).mean() > 0.9
