"""transfer: components with exactly one peak (BESTIE, Sec. 3.3), by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from stages.transfer import run
from stages.transfer.components import single_peak_components
from stages.transfer.config import Config
from tag2mask.data.index import Index
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.tables import Table
from tag2mask.run.job import Job


def pieces(rows):
    return np.array([[int(c) for c in row] for row in rows], np.uint8)


MAP = pieces(["11000022", "11000022", "00110000", "00110000", "00000011", "10000011"])


def cut(peaks, *, category=1, min_area=1, label_map=MAP):
    scores = np.linspace(0.9, 0.5, len(peaks)).astype(np.float32)
    return single_peak_components(label_map, category, peaks=peaks, scores=scores, min_area=min_area)


def test_one_peak_is_kept_with_its_score_and_diagonal_pixels_belong_together():
    kept = cut([(3, 2), (5, 7)])
    expected = np.zeros((2, *MAP.shape), bool)
    expected[0, :2, :2] = expected[0, 2:4, 2:4] = True  # touch at one corner
    expected[1, 4:, 6:] = True
    np.testing.assert_array_equal(kept.masks, expected)
    assert kept.score.tolist() == pytest.approx([0.9, 0.5])
    assert kept.counts["components"] == 3 and kept.counts["without_peak"] == 1


def test_two_peaks_or_none_give_nothing():
    kept = cut([(0, 0), (3, 3)])
    assert len(kept.masks) == 0 and kept.masks.shape == (0, *MAP.shape)
    assert kept.counts["several_peaks"] == 1 and kept.counts["without_peak"] == 2
    assert len(cut([]).masks) == 0
    assert len(cut([(0, 0), (0, 0)]).masks) == 0  # two cues in one pixel are two


def test_peaks_on_background_or_another_class_count_for_no_component():
    kept = cut([(0, 4), (0, 6), (5, 0)])
    assert kept.masks.sum() == 1 and kept.masks[0, 5, 0] and kept.counts["peaks_on_background"] == 2


def test_least_area_is_inclusive():
    assert len(cut([(0, 0), (4, 6)], min_area=4).masks) == 2
    kept = cut([(0, 0), (4, 6)], min_area=5)
    assert len(kept.masks) == 1 and kept.masks[0, 0, 0] and kept.counts["too_small"] == 1


def test_ignored_pixels_belong_to_no_component():
    label_map = MAP.copy()
    label_map[2, 2] = 255
    kept = cut([(0, 0), (3, 3)], label_map=label_map)
    assert [int(mask.sum()) for mask in kept.masks] == [4, 3]


def test_a_peak_outside_the_photo_is_an_error():
    with pytest.raises(ValueError, match="outside"):
        cut([(6, 0)])


def test_stage_uses_peaks_of_tagged_classes_only(tmp_path):
    index = Index.build(
        tmp_path, {1: "cat", 2: "dog"}, image_id=["a", "b", "v"], path=["a", "b", "v"],
        size=[MAP.shape, (3, 3), (3, 3)], tags=[(1, 2), (), (1,)], train=[True, True, False],
    )  # fmt: skip
    index.save(tmp_path / "index.zarr.zip")
    maps = MapsBuilder(np.uint8)
    maps.add("a", MAP.shape, [(0, MAP)])
    maps.add("b", (3, 3), [(0, np.ones((3, 3), np.uint8))])
    maps.finish().save(tmp_path / "semantic.zarr.zip")
    # class 1: one peak in the lower right; class 2: one peak on its own component, and one on class 1's
    peaks = {
        "image_id": np.array(["a", "b"]), "first": np.array([0, 3, 4]), "category": np.array([1, 2, 2, 1], np.int16),
        "yx": np.array([[4, 6], [1, 6], [0, 0], [1, 1]], np.int32),
        "score": np.array([0.5, 0.75, 0.25, 1], np.float32),
    }  # fmt: skip
    Table("peaks/1", peaks).save(tmp_path / "peaks.zarr.zip")
    inputs = SimpleNamespace(**{name: tmp_path / f"{name}.zarr.zip" for name in ("index", "semantic", "peaks")})
    job = Job(shard=0)
    made = run(inputs, Config(min_area=4), job)["instances"]
    assert made.image_id == ["a", "b"] and made.first.tolist() == [0, 2, 2]  # b has no tag
    assert made.category.tolist() == [1, 2] and made.score.tolist() == [0.5, 0.75]
    np.testing.assert_array_equal(made.mask(1), MAP == 2)
    assert made.bbox.tolist() == [[6, 4, 2, 2], [6, 0, 2, 2]]
    assert job.numbers["peaks_on_background"] == 1 and not job.warnings


def test_points_take_the_place_of_peaks(tmp_path):
    """BESTIE, Sec. 4.3: the left cat's component has one point, the right one two; peaks are not looked at."""
    label_map = pieces(["110011", "110011", "000000", "220000"])
    index = Index.build(
        tmp_path, {1: "cat", 2: "dog"}, image_id=["a", "b"], path=["a", "b"], size=[(4, 6)] * 2, tags=[(1, 2), (1,)],
        train=[True, True], shards=2,
    )  # fmt: skip
    index.save(tmp_path / "index.zarr.zip")
    maps = MapsBuilder(np.uint8)
    maps.add("a", (4, 6), [(0, label_map)])
    maps.finish().save(tmp_path / "semantic.zarr.zip")
    # one table holds the points of all shards
    points = {
        "image_id": np.array(["a", "b"]), "first": np.array([0, 3, 4]), "category": np.array([1, 1, 1, 1], np.int16),
        "yx": np.array([[1, 1], [0, 4], [0, 5], [0, 0]], np.int32), "score": np.array([0.5, 1, 1, 1], np.float32),
    }  # fmt: skip
    Table("peaks/1", points).save(tmp_path / "points.zarr.zip")
    inputs = SimpleNamespace(**{name: tmp_path / f"{name}.zarr.zip" for name in ("index", "semantic", "points")})
    job = Job(shard=0)
    made = run(inputs, Config(cues="points", min_area=1), job)["instances"]
    assert made.image_id == ["a"] and made.category.tolist() == [1] and made.score.tolist() == [0.5]
    assert made.bbox.tolist() == [[0, 0, 2, 2]]
    assert job.numbers["several_peaks"] == 1 and job.numbers["without_peak"] == 1  # the dog has no point
    # the first point falls below the floor; the two at 1 stay two in one component
    assert len(run(inputs, Config(cues="points", min_area=1, floor=0.6), job)["instances"]) == 0
    assert len(run(inputs, Config(cues="points", min_area=1, floor=0.5), job)["instances"]) == 1
    job.warnings.clear()
    run(inputs, Config(cues="points"), job)
    assert job.warnings[0].startswith("No component of any semantic map holds exactly one point")


def test_defaults_are_the_released_codes():
    assert Config().min_area == 50 and Config().cues == "peaks" and Config().floor == 0
