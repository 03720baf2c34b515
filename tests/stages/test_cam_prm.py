"""PRM's peaks: median rule, floor in logits, plateaus, places in photo pixels, scores; the stage on a tiny index."""

import numpy as np
import pytest
import torch
from test_cam import written
from test_classifier import META

from stages import cam
from stages.cam.config import Config
from stages.cam.maps import class_maps, responses
from stages.cam.peaks import photo_pixels, response_peaks
from stages.classifier.model import build, restore
from tag2mask.data.index import Index
from tag2mask.data.scores import bounded
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build(META).eval()


@pytest.fixture
def inputs(tmp_path, model, monkeypatch):
    """Of `written`; the weights need no manifest."""
    monkeypatch.setattr("tag2mask.store.store.verify", lambda *_: None)
    return written(tmp_path, model)


def stimulated(values, size, **options):
    """PRM's peaks of one map of responses: [(y, x, score), ...]."""
    keys = {"enlarge": 1, "floor": -np.inf, "most": 25} | options
    number, yx, score = response_peaks(np.array([values], np.float32), size, **keys)
    assert not number.any() and yx.dtype == np.int32 and score.dtype == np.float32
    return [(y, x, float(s)) for (y, x), s in zip(yx.tolist(), score)]


def test_prm_s_peaks_are_above_the_median_of_their_map():
    assert stimulated([[6, 5, 1, 2, 1, 5, 8]], (1, 7), floor=-9) == [
        (0, 6, pytest.approx(0.5 + 8 / 18)), (0, 0, pytest.approx(0.5 + 6 / 14)),
    ]  # fmt: skip
    assert len(stimulated([[6, 5, 1, 5, 1, 5, 8]], (1, 7))) == 2  # the 5 between the 1s equals the median
    assert [x for _, x, _ in stimulated([[-4, -5, -9, -8, -9, -5, -2]], (1, 7))] == [6, 0]  # any sign
    assert [x for _, x, _ in stimulated([[6, 5, 1, 2, 1, 5, 8]], (1, 7), most=1)] == [6]


def test_prm_s_floor_is_in_logits_and_not_included():
    row = [[12, 0, 0, 10, 0, 0, 10.5]]
    assert [x for _, x, _ in stimulated(row, (1, 7), floor=10)] == [0, 6]
    assert [x for _, x, _ in stimulated(row, (1, 7), floor=30)] == []
    assert Config().peak_floor == 10 and Config().peaks == "window"


def test_prm_s_plateaus_give_one_peak_and_constant_maps_none():
    assert [x for _, x, _ in stimulated([[4, 4, 0, 0, 0, 2]], (1, 6))] == [0, 5]
    slanted = np.zeros((4, 4))
    slanted[0, 2] = slanted[1, 1] = 6
    assert [(y, x) for y, x, _ in stimulated(slanted, (4, 4))] == [(0, 2)]
    assert stimulated(np.full((8, 8), 40), (20, 20)) == []
    number, yx, score = response_peaks(np.zeros((0, 1, 1)), (9, 9), enlarge=8, floor=0, most=25)
    assert number.shape == (0,) and yx.shape == (0, 2) and score.shape == (0,)


def test_places_of_enlarged_maps_in_photo_pixels_by_hand():
    """4 x 6 cells on 64 x 96 pixels, enlarged to 32 x 48. Pixel (10, 38) lies at cell (10 x 3/31, 38 x 5/47) =
    (0.968, 4.043), so at (1.468 x 16, 4.543 x 16) = (23.5, 72.7); corners at the middles of the corner cells."""
    yx = photo_pixels([(10, 38), (0, 0), (31, 47)], (4, 6), (64, 96), enlarge=8)
    assert yx.tolist() == [[23, 72], [8, 8], [56, 88]] and yx.dtype == np.int32
    assert photo_pixels([(0, 7)], (1, 1), (50, 70), enlarge=8).tolist() == [[25, 35]]
    assert photo_pixels(np.zeros((0, 2), int), (4, 6), (64, 96), enlarge=8).shape == (0, 2)


@pytest.mark.parametrize(("cells", "size"), [((4, 6), (64, 96)), ((3, 5), (50, 70)), ((14, 14), (333, 500))])
def test_a_cell_that_answers_alone_has_its_peak_in_its_own_square(cells, size, model):
    middles = (np.indices(cells).reshape(2, -1).T + 0.5) * np.divide(size, cells)
    maps = np.eye(len(middles), dtype=np.float32).reshape(-1, *cells)
    large = model.enlarged(torch.from_numpy(maps)[None])[0].numpy()
    number, yx, _ = response_peaks(large, size, enlarge=8, floor=0.5, most=25)
    assert number.tolist() == list(range(len(middles)))
    away = (yx + 0.5 - middles) / np.divide(size, cells)
    assert np.abs(away).max() < 0.5 and np.abs(away.mean(0)).max() < 0.02  # in the square, and not to one side


def test_scores_of_responses_keep_their_order():
    assert bounded([0, 1, -1, 9]) == pytest.approx([0.5, 0.75, 0.25, 0.95])
    assert (np.diff(bounded(np.arange(-100, 100, 0.25))) > 0).all()
    assert bounded([]).shape == (0,) and bounded([1e30, -1e30]).tolist() == [1, 0]


def test_responses_are_the_enlarged_maps_with_the_biases(model):
    maps = np.array([[[0, 15], [30, 45]], [[1, 1], [1, 1]]], np.float32)
    changed = build(META).eval()
    changed.start_at([0.5, 0.5, 0.25])
    large = responses(changed, maps, [2, 0])
    y, x = np.indices((16, 16))
    assert large[0] == pytest.approx(2 * y + x - np.log(3), abs=1e-4)
    assert large[1] == pytest.approx(1) and large.dtype == np.float32


def test_prm_s_peaks_of_tagged_classes_beside_unchanged_maps(inputs):
    """Photo by photo what `response_peaks` finds on the responses of the tags alone; another floor leaves others."""
    config = Config(peaks="median", peak_floor=-0.05, scales=(1.0, 2.0))
    made, plain = (cam.run(inputs, keys, Job()) for keys in (config, Config(scales=(1.0, 2.0))))
    assert np.array_equal(made["cam"].data, plain["cam"].data)
    index, table = Index.load(inputs.index), made["peaks"]
    model, first, seen = restore(Weights.load(inputs.weights)), table["first"], 0
    assert first[2] == first[3]  # the photo without tags has no peaks
    for i in range(4):
        columns = [[2, 5, 9].index(c) for c in index.tags(i)]
        rows = slice(*first[i : i + 2])
        if columns:
            signed = class_maps(model, [index.photo(i)], [columns], side=64, scales=(1.0, 2.0))[0][1]
            large = responses(model, signed, columns)
            number, yx, score = response_peaks(large, (50, 70), enlarge=8, floor=-0.05, most=25)
            assert table["category"][rows].tolist() == [index.tags(i)[k] for k in number]
            assert np.array_equal(table["yx"][rows], yx) and np.array_equal(table["score"][rows], score)
            seen += len(yx)
    assert seen == len(table["score"]) > 0 and (table["score"] > bounded(-0.05)).all()
    assert len(cam.run(inputs, Config(peaks="median"), Job())["peaks"]["score"]) == 0  # no logit is above 10


def test_maps_of_the_head_prm_say_so(inputs):
    weights = Weights.load(inputs.weights)
    Weights(weights.meta | {"head": "prm"}, weights.tensors).save(inputs.weights)
    made = cam.run(inputs, Config(peaks="median", peak_floor=-100, flip=False), Job(shard=0))
    assert made["cam"].meta["title"] == "class responses" and len(made["peaks"]["score"]) > 0
