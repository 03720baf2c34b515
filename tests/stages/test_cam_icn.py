"""ICN's peaks (Eq. 1): by hand, one a region, at the border, of constant maps; the stage on a tiny index."""

import numpy as np
import pytest
import torch
from test_cam import written
from test_classifier import META

from stages import cam
from stages.cam.config import Config
from stages.cam.peaks import rising, rising_peaks
from stages.classifier.model import build
from tag2mask.data.index import Index
from tag2mask.run.job import Job


def peaks(values, size=None, *, sigma=1.0, most=25):
    values = np.array(values, np.float32)
    number, yx, score = rising_peaks(values[None], size or values.shape, sigma=sigma, most=most)
    assert not number.any() and yx.dtype == np.int32 and score.dtype == np.float32
    return [(y, x, pytest.approx(float(s))) for (y, x), s in zip(yx.tolist(), score)]


def test_eq_1_by_hand():
    """One cell of 1 in 9 x 9: G is the Gaussian's own weights, E = 1 / 81."""
    values = np.zeros((9, 9), np.float32)
    values[4, 4] = 1
    kernel = np.exp(-np.square(np.arange(-4, 5)) / 2)  # OpenCV's window reaches 4 sigma
    kernel /= kernel.sum()
    expected = np.maximum(values - np.outer(kernel, kernel) - 1 / 81, 0)
    np.testing.assert_allclose(rising(values, sigma=1.0), expected, atol=1e-6)
    assert rising(values, sigma=1.0).nonzero() == (np.array([4]), np.array([4]))
    assert peaks(values) == [(4, 4, 1.0)]


def test_a_region_gives_its_maximum_and_greater_rises_come_first():
    values = np.zeros((20, 20), np.float32)
    values[3:5, 3:6] = 0.7
    values[4, 5] = 0.8  # of the same region
    values[15, 15] = 1
    assert peaks(values, sigma=3.0) == [(15, 15, 1.0), (4, 5, 0.8)]
    assert peaks(values, sigma=3.0, most=1) == [(15, 15, 1.0)]


def test_of_equal_places_the_first_in_row_order():
    row = np.zeros((1, 41), np.float32)
    row[0, 19] = row[0, 21] = 0.9
    row[0, 20] = 0.8  # between them, in the same region, by symmetry they rise alike
    assert [found[:2] for found in peaks(row, sigma=9.0)] == [(0, 19)]


def test_peaks_at_the_border_and_maps_without_peaks():
    values = np.zeros((7, 9), np.float32)
    values[0, 0] = values[6, 8] = 1
    assert sorted(found[:2] for found in peaks(values, (70, 90), sigma=3.0)) == [(5, 5), (65, 85)]
    assert peaks(np.full((6, 5), 0.4)) == [] and peaks(np.zeros((6, 5))) == []
    assert peaks([[0.5]]) == []
    number, yx, score = rising_peaks(np.zeros((0, 1, 1)), (9, 9), sigma=2.0, most=25)
    assert number.shape == (0,) and yx.shape == (0, 2) and score.shape == (0,)


def test_the_stage_finds_them_on_the_maps_that_it_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("tag2mask.store.store.verify", lambda *_: None)
    torch.manual_seed(0)
    inputs = written(tmp_path, build(META).eval())
    made = cam.run(inputs, Config(peaks="gaussian", sigma=24), Job())
    index, table, seen = Index.load(inputs.index), made["peaks"], 0
    for i in range(4):
        categories, maps = made["cam"].of(i)
        rows = slice(*table["first"][i : i + 2])
        # the store holds the maps as float16
        number, yx, score = rising_peaks(np.array(maps), index.size[i], sigma=24 / 16, most=25)
        assert table["category"][rows].tolist() == categories[number].tolist()
        assert np.array_equal(table["yx"][rows], yx) and table["score"][rows] == pytest.approx(score, abs=1e-3)
        seen += len(yx)
    assert seen > 0 and Config().sigma == 48
