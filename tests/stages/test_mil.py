"""p and f of proposals without training: box means of the CAM by hand, pooled features, the table."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from stages.common.errors import UserError
from stages.common.index import Index
from stages.common.instances import InstancesBuilder
from stages.common.job import Job
from stages.common.maps import MapsBuilder
from stages.mil import run
from stages.mil.config import Config
from stages.mil.features import entering, pooled
from stages.mil.scores import axis_means, box_means, relative_to_best, with_background


def test_box_means_by_hand():
    """A 1 x 2 map [0, 1] over 4 px: 0 up to the first centre (1 px), rising to 1 at the second (3 px)."""
    response, size = np.array([[0.0, 1.0]]), (4, 4)
    boxes = np.array([[0, 0, 4, 4], [0, 0, 1, 4], [3, 1, 1, 2], [1, 0, 2, 1], [0, 0, 2, 4], [1, 1, 1, 1]])
    # [1, 2] rises from 0 to 0.5: mean 0.25; [0, 2] is half of that
    assert box_means(response, boxes, size=size) == pytest.approx([0.5, 0, 1, 0.5, 0.125, 0.25])


def test_box_means_agree_with_a_fine_upsampling():
    rng = np.random.default_rng(0)
    response, (height, width), factor = rng.random((5, 7)).astype(np.float32), (40, 84), 16
    fine = cv2.resize(response, (width * factor, height * factor), interpolation=cv2.INTER_LINEAR)
    for _ in range(20):
        x, y = rng.integers(0, width * factor - 8), rng.integers(0, height * factor - 8)
        w, h = rng.integers(1, width * factor - x), rng.integers(1, height * factor - y)
        box = np.array([[x, y, w, h]]) / factor  # fractions of photo pixels
        expected = fine[y : y + h, x : x + w].mean()
        assert box_means(response, box, size=(height, width)) == pytest.approx(expected, abs=2e-4)


def test_boxes_that_leave_the_photo_or_have_no_area():
    response = np.array([[0.2, 0.8]])
    boxes = np.array([[-5, -5, 50, 50], [2, 2, 0, 0], [4, 4, 3, 3]])
    assert box_means(response, boxes, size=(4, 4)) == pytest.approx([0.5, 0.5, 0.8])
    assert box_means(np.array([[0.3]]), boxes, size=(4, 4)) == pytest.approx([0.3] * 3)
    assert axis_means([0.0], [10.0], length=10, cells=5) == pytest.approx(np.full((1, 5), 0.2))


def test_background_and_rows_by_hand():
    """Means 0.6 and 0.3: background 0.4, sum 1.3. No tag: background alone."""
    p = with_background(np.array([[0.6, 0.3], [0.0, 0.0], [1.0, 1.0]]), [1, 3], labels=5)
    assert p.dtype == np.float32
    assert p[0] == pytest.approx([0.4 / 1.3, 0.6 / 1.3, 0, 0.3 / 1.3, 0])
    assert p[1].tolist() == [1, 0, 0, 0, 0] and p[2].tolist() == [0, 0.5, 0, 0.5, 0]
    assert with_background(np.zeros((2, 0)), [], labels=3).tolist() == [[1, 0, 0]] * 2


def test_relative_scores_by_hand():
    means = np.array([[0.2, 0.0], [0.4, 0.0], [0.1, 0.0]])
    assert relative_to_best(means).tolist() == [[0.5, 0], [1, 0], [0.25, 0]]
    assert relative_to_best(np.zeros((0, 2))).shape == (0, 2)


def test_stage_with_relative_scores(inputs):
    table = run(inputs, CONFIG.model_copy(update={"relative": True}), Job())["mil"]
    # class 9 has 0.03125 left and 0.46875 right: relative to the best 1 / 15 and 1, class 5 likewise
    assert table["p"][0] == pytest.approx(np.array([0, 1, 0, 1 / 15]) / (16 / 15), abs=1e-6)
    assert table["p"][1] == pytest.approx(np.array([0, 1 / 15, 0, 1]) / (16 / 15), abs=1e-6)


def test_pooled_features_tell_halves_apart():
    """Left half (1, 0), right half (0, 1): boxes inside one half have its direction, one over both the diagonal."""
    features = torch.zeros(1, 2, 8, 8)
    features[0, 0, :, :4] = 3
    features[0, 1, :, 4:] = 3
    boxes = np.array([[0, 0, 30, 80], [50, 0, 30, 80], [0, 0, 80, 80], [16, 16, 48, 16]])
    f = pooled(features, boxes, size=(80, 80), bins=4).numpy()
    assert f == pytest.approx(np.array([[1, 0], [0, 1], [0.5**0.5] * 2, [0.5**0.5] * 2]), abs=1e-6)
    assert pooled(features * 0, boxes, size=(80, 80), bins=4).abs().max() == 0


def test_photos_enter_at_one_area():
    assert entering(np.zeros((100, 400, 3), np.uint8), 100).shape == (50, 200, 3)
    assert entering(np.zeros((1, 1, 3), np.uint8), 64).shape == (64, 64, 3)
    assert entering(np.zeros((1, 900, 3), np.uint8), 64).shape[0] == 32


@pytest.fixture
def inputs(tmp_path):
    """Photos a (tags 5, 9; three proposals) and b (no tag, no proposal), 32 x 48 px."""
    rng = np.random.default_rng(0)
    categories = {5: "cat", 7: "cow", 9: "dog"}
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (32, 48, 3), np.uint8))
    Index.build(
        tmp_path, categories, image_id=["a", "b"], path=["a.png", "b.png"], size=[[32, 48]] * 2,
        tags=[(5, 9), ()], train=[True] * 2,
    ).save(tmp_path / "index.zarr.zip")  # fmt: skip
    masks = np.zeros((3, 32, 48), bool)
    masks[0, :, :24], masks[1, :, 24:], masks[2, 8:16, 8:16] = True, True, True
    proposals = InstancesBuilder(categories)
    proposals.add("a", (32, 48), masks, category=0, score=[1.0, 0.8, 0.6])
    proposals.add("b", (32, 48), masks[:0], category=0)
    proposals.finish().save(tmp_path / "proposals.zarr.zip")
    maps = [(5, np.array([[1.0, 1.0, 0.0, 0.0]])), (9, np.array([[0.0, 0.0, 0.5, 0.5]]))]
    cam = MapsBuilder(np.float16)
    cam.add("a", (32, 48), maps)
    cam.add("b", (32, 48), [])
    cam.finish().save(tmp_path / "cam.zarr.zip")
    return SimpleNamespace(**{name: tmp_path / f"{name}.zarr.zip" for name in ("index", "proposals", "cam")})


CONFIG = Config(keep=2, size=64, weights="none")


def test_stage(inputs):
    torch.manual_seed(0)
    job = Job()
    table = run(inputs, CONFIG, job)["mil"]
    assert table.meta["labels"] == [0, 5, 7, 9]
    assert table["first"].tolist() == [0, 2, 2] and table["row"].tolist() == [0, 1]  # the third is beyond `keep`
    # left half: 24 px = 2 cells of 1 but for the slope 1 to 0.5 over half a cell: (1.5 + 0.375) / 2 of class 5
    left = np.array([0.9375, 0, 0.5 * 0.0625])
    assert table["p"][0] == pytest.approx([0.0625 / (1 + 0.03125), *left / (1 + 0.03125)], abs=1e-6)
    assert table["p"].sum(1) == pytest.approx([1, 1], abs=1e-6)
    assert table["p"][:, 2].tolist() == [0, 0]  # cow is no tag
    assert table["f"].dtype == np.float16 and np.linalg.norm(table["f"].astype(float), axis=1) == pytest.approx(
        [1, 1], abs=2e-3
    )
    assert job.numbers == {"images": 2, "proposals": 2, "without_proposals": 1}


def test_stage_gives_the_same_bytes_twice(inputs):
    config = Config(size=64)
    first, second = (run(inputs, config, Job())["mil"] for _ in range(2))
    assert all(first[name].tobytes() == second[name].tobytes() for name in ("p", "f", "row"))


def test_stage_refuses_maps_of_other_photos_or_classes(inputs):
    cam = MapsBuilder(np.float16)
    cam.add("a", (32, 48), [(5, np.zeros((1, 4)))])
    cam.add("b", (32, 48), [])
    inputs.cam = inputs.cam.with_name("cam_short.zarr.zip")
    cam.finish().save(inputs.cam)
    with pytest.raises(UserError, match=r"no map of class 9 for the photo a"):
        run(inputs, CONFIG, Job())
    cam = MapsBuilder(np.float16)
    cam.add("c", (32, 48), [])
    inputs.cam = inputs.cam.with_name("cam_other.zarr.zip")
    cam.finish().save(inputs.cam)
    with pytest.raises(UserError, match=r"not of the same photos"):
        run(inputs, CONFIG, Job())
