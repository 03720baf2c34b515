"""p and f of proposals: means and maxima of the CAM by hand, pooled and cropped features, the table."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torchvision

from stages.mil import run
from stages.mil.config import Config
from stages.mil.features import crop_features, crops, entering, pooled, unit
from stages.mil.scores import (
    axis_means,
    box_maxima,
    box_means,
    box_statistics,
    mask_statistics,
    relative_to_best,
    relevance,
    with_background,
)
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.errors import UserError
from tag2mask.learn.crops import corners, mirrored
from tag2mask.run.job import Job


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


def test_box_maxima_by_hand():
    """A 1 x 3 map [0, 1, 0] over 6 px: a tent with its top at 3 px, 0 from 1 px leftwards and 5 px rightwards."""
    response, size = np.array([[0.0, 1.0, 0.0]]), (2, 6)
    boxes = np.array([[0, 0, 6, 2], [0, 0, 1, 2], [0, 0, 2, 1], [4, 0, 2, 2], [3.5, 0, 0, 0], [9, 9, 3, 3]])
    # the top is inside; left of the slope; up to half of it; from its half down; a point at 3/4; outside: the corner
    assert box_maxima(response, boxes, size=size) == pytest.approx([1, 0, 0.5, 0.5, 0.75, 0])


def test_box_maxima_agree_with_a_fine_upsampling():
    rng = np.random.default_rng(1)
    response, (height, width), factor = rng.random((5, 7)).astype(np.float32), (40, 84), 16
    fine = cv2.resize(response, (width * factor, height * factor), interpolation=cv2.INTER_LINEAR)
    for _ in range(20):
        x, y = rng.integers(0, width * factor - 8), rng.integers(0, height * factor - 8)
        w, h = rng.integers(1, width * factor - x), rng.integers(1, height * factor - y)
        box = np.array([[x, y, w, h]]) / factor
        assert box_maxima(response, box, size=(height, width)) == pytest.approx(
            fine[y : y + h, x : x + w].max(), abs=5e-3
        )


def test_mask_statistics_by_hand():
    """A 1 x 2 map [0, 1] over 4 px columns: pixel centres 0.5 to 3.5 px have 0, 0.25, 0.75, 1."""
    masks = np.zeros((4, 2, 4), bool)
    masks[0, 0, :2], masks[1, 1, 2:], masks[2, :, 1] = True, True, True  # the last mask is empty
    mean, top = mask_statistics(np.array([[0.0, 1.0]]), masks)
    assert mean == pytest.approx([0.125, 0.875, 0.25, 0]) and top == pytest.approx([0.25, 1, 0.25, 0])


def test_relevance_by_hand():
    """R of Eq. 3 for two classes: mean + max, or either (Table 3)."""
    statistics = [(np.array([0.5, 0.1]), np.array([1.0, 0.3])), (np.array([0.2, 0.4]), np.array([0.6, 0.9]))]
    assert relevance(statistics, "both") == pytest.approx(np.array([[1.5, 0.8], [0.4, 1.3]]))
    assert relevance(statistics, "mean") == pytest.approx(np.array([[0.5, 0.2], [0.1, 0.4]]))
    assert relevance(statistics, "max") == pytest.approx(np.array([[1.0, 0.6], [0.3, 0.9]]))


def test_r_of_a_mirrored_photo_is_that_of_the_photo():
    rng = np.random.default_rng(2)
    response, size = rng.random((4, 6)), (32, 48)
    boxes = np.array([[3, 2, 20, 11], [0, 0, 48, 32], [30.5, 7, 9.25, 25]])
    x0, y0, x1, y1 = (mirrored(corners(boxes, size)) * [48, 32, 48, 32]).T
    other = np.stack([x0, y0, x1 - x0, y1 - y0], 1)
    for one, two in zip(
        box_statistics(response, boxes, size=size), box_statistics(response[:, ::-1], other, size=size)
    ):
        assert one == pytest.approx(two, abs=1e-5)


def test_independent_means_are_left_as_they_are():
    """Fan, Eq. 2: sigmoid means 0.9 and 0.8 stay, the background is 1 - 0.9."""
    p = with_background(np.array([[0.9, 0.8]]), [1, 2], labels=4, normalise=False)
    assert p[0] == pytest.approx([0.1, 0.9, 0.8, 0], abs=1e-6)


@pytest.mark.parametrize("kind", ["pool", "align"])
def test_pooled_features_tell_halves_apart(kind):
    """Left half (1, 0), right half (0, 1): boxes inside one half have its direction, one over both the diagonal."""
    features = torch.zeros(1, 2, 8, 8)
    features[0, 0, :, :4] = 3
    features[0, 1, :, 4:] = 3
    boxes = corners([[0, 0, 30, 80], [50, 0, 30, 80], [0, 0, 80, 80], [16, 16, 48, 16]], (80, 80))
    f = unit(pooled(features, [torch.from_numpy(boxes)], bins=4, kind=kind)).numpy()
    assert f == pytest.approx(np.array([[1, 0], [0, 1], [0.5**0.5] * 2, [0.5**0.5] * 2]), abs=1e-6)
    assert unit(features[:, :, 0, 0] * 0).abs().max() == 0


def test_roi_pooling_by_hand():
    """Map 0..15 in 4 x 4 cells. Edges go to the nearest border of cells, a bin is its largest cell."""
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    shares = torch.tensor([[0, 0, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9], [0.25, 0, 1, 0.25], [1, 1, 1, 1], [0, 0, 1, 1]])
    f = pooled(features, [shares], bins=1, kind="pool")[:, 0]
    # columns and rows 0..1: 5; 2.4 to 3.6 is 2..3: 15; row 0, columns 1..3: 3; a point at the corner: 15; all: 15
    assert f.tolist() == [5, 15, 3, 15, 15]
    # two bins a side of the first: cells 0, 1, 4, 5; of the whole map: 5, 7, 13, 15
    two = pooled(features, [shares], bins=2, kind="pool")[:, 0]
    assert two[0] == 2.5 and two[4] == 10


def test_align_equals_torchvision_s_roi_align_averaged():
    g = torch.Generator().manual_seed(0)
    features = torch.randn(2, 5, 6, 9, generator=g)
    shares = [torch.rand(7, 4, generator=g).sort(1).values[:, [0, 1, 2, 3]] for _ in range(2)]
    cells = [one * torch.tensor([9, 6, 9, 6]) for one in shares]
    wanted = torchvision.ops.roi_align(features, cells, 3, sampling_ratio=2, aligned=True).mean((2, 3))
    assert torch.allclose(pooled(features, shares, bins=3, kind="align"), wanted, atol=1e-5)


def test_mirroring_photo_and_boxes_mirrors_nothing_of_f():
    g = torch.Generator().manual_seed(0)
    features = torch.randn(1, 5, 6, 8, generator=g)
    shares = corners([[8, 0, 40, 32], [0, 8, 64, 40], [24, 16, 8, 8]], (48, 64))  # whole cells: no edge is rounded
    for kind in ("pool", "align"):
        one = pooled(features, [torch.from_numpy(shares)], bins=4, kind=kind)
        two = pooled(features.flip(3), [torch.from_numpy(mirrored(shares))], bins=4, kind=kind)
        assert torch.allclose(one, two, atol=1e-5)


def test_photos_enter_at_one_area():
    assert entering(np.zeros((100, 400, 3), np.uint8), 100).shape == (50, 200, 3)
    assert entering(np.zeros((1, 1, 3), np.uint8), 64).shape == (64, 64, 3)
    assert entering(np.zeros((1, 900, 3), np.uint8), 64).shape[0] == 32
    assert entering(np.zeros((375, 500, 3), np.uint8), 448, stride=16).shape == (384, 512, 3)  # 388 and 517 px
    assert entering(np.zeros((1, 900, 3), np.uint8), 64, stride=16).shape[0] == 32


def test_crops_show_the_boxes():
    photo = np.zeros((20, 30, 3), np.uint8)
    photo[4:8, 10:20] = 200
    shown = crops(photo, [[10, 4, 10, 4], [9.5, 4, 1, 1], [-5, -5, 9, 9], [29.9, 19.9, 5, 5], [5, 5, 0, 0]], 8)
    assert shown.shape == (5, 8, 8, 3)
    assert (shown[0] == 200).all() and (shown[2:] == 0).all()
    assert 0 < shown[1].mean() < 200  # columns 9 and 10, the first one black
    assert crops(photo, np.zeros((0, 4)), 8).shape == (0, 8, 8, 3)


def test_crop_features_are_means_of_the_crops_maps():
    class Net:  # the map is the crop itself
        channels = (3,)

        def normalise(self, photos):
            return torch.from_numpy(photos).permute(0, 3, 1, 2).float()

        def __call__(self, x, *, placed):
            return [x]

    photo = np.zeros((8, 8, 3), np.uint8)
    photo[:, :4] = [10, 20, 30]
    f = crop_features(Net(), photo, [[0, 0, 4, 8], [0, 0, 8, 8], [4, 0, 4, 8]], size=4, batch=2)
    assert f.tolist() == [[10, 20, 30], [5, 10, 15], [0, 0, 0]]
    assert crop_features(Net(), photo, np.zeros((0, 4)), size=4).shape == (0, 3)


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


CONFIG = Config(scores="cam", keep=2, size=64, weights="none")


def test_stage(inputs):
    torch.manual_seed(0)
    job = Job()
    table = run(inputs, CONFIG, job)["mil"]
    assert table.meta == {"labels": [0, 5, 7, 9], "scores": "cam"}
    assert table["first"].tolist() == [0, 2, 2] and table["row"].tolist() == [0, 1]  # the third is beyond `keep`
    # left half: 24 px = 2 cells of 1 but for the slope 1 to 0.5 over half a cell: (1.5 + 0.375) / 2 of class 5
    left = np.array([0.9375, 0, 0.5 * 0.0625])
    assert table["p"][0] == pytest.approx([0.0625 / (1 + 0.03125), *left / (1 + 0.03125)], abs=1e-6)
    assert table["p"].sum(1) == pytest.approx([1, 1], abs=1e-6)
    assert table["p"][:, 2].tolist() == [0, 0]  # cow is no tag
    assert table["f"].dtype == np.float16 and np.linalg.norm(table["f"].astype(float), axis=1) == pytest.approx(
        [1, 1], abs=2e-3
    )
    assert job.numbers == {"images": 2, "nodes": 2, "without_nodes": 1}


def test_stage_gives_the_same_bytes_twice(inputs):
    config = Config(scores="cam", size=64)
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


@pytest.mark.parametrize("way", ["roi", "crop"])
def test_attention_wiring(inputs, way):
    """Means 0.9375 and 0.03125 of the left half stay as they are (see `test_stage`), the background is 0.0625."""
    torch.manual_seed(0)
    config = CONFIG.model_copy(update={"scores": "attention", "features": way})
    table = run(inputs, config, Job())["mil"]
    assert table.meta["scores"] == "attention"
    assert table["p"][0] == pytest.approx([0.0625, 0.9375, 0, 0.03125], abs=1e-6)
    assert np.linalg.norm(table["f"].astype(float), axis=1) == pytest.approx([1, 1], abs=3e-3)
