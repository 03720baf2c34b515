"""Regions: superpixels of both makers, their graph and their means, by hand."""

import numpy as np
import pytest
from scipy.ndimage import label

from tag2mask.data import regions


def noise(size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def two_tone(height=60, width=90):
    """A red square on green ground, and its mask."""
    photo = np.full((height, width, 3), (40, 160, 60), np.uint8)
    mask = np.zeros((height, width), bool)
    mask[14:46, 21:65] = True
    photo[mask] = (200, 40, 40)
    return photo, mask


def edges_of(photo):
    return regions.magnitude(regions.blur(regions.lab(photo), 1.0))


def test_adjacency_of_a_hand_worked_map():
    labels = np.array([[0, 0, 1], [2, 2, 1]])
    strength = np.array([[1, 2, 4], [3, 6, 8]], np.float32)
    edges, length, mean = regions.adjacency(labels, strength)
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert length.tolist() == [1, 2, 1]  # 0|1 once, 0|2 under both pixels, 1|2 once
    assert mean.tolist() == [3, 3, 7]  # (2+4)/2; ((1+3)/2 + (2+6)/2) / 2; (6+8)/2


def test_region_means_by_hand():
    labels = np.array([[0, 0, 1], [0, 2, 1]])
    assert regions.region_means(labels, np.array([[[1], [2], [4]], [[3], [9], [6]]]))[:, 0].tolist() == [2, 5, 9]


def test_superpixels_are_connected_numbered_and_few():
    labels = regions.superpixels(regions.lab(noise((40, 50))), sigma=1.0, count=20)
    assert sorted(np.unique(labels)) == list(range(20))
    assert all(label(labels == value)[1] == 1 for value in range(20))


def test_edge_strength_of_a_step_stays_and_of_texture_fades():
    step = np.zeros((64, 64, 3), np.float32)
    step[:, 32:, 0] = 10
    texture = np.zeros((64, 64, 3), np.float32)
    texture[:, ::2, 0] = 10
    fine, coarse = (regions.edge_strength(step, sigmas=(s,))[32, 32] for s in (1.0, 4.0))
    assert coarse == pytest.approx(10 / np.sqrt(2 * np.pi), rel=0.05)
    assert fine > 0.7 * coarse
    inner = slice(16, 48)
    assert regions.edge_strength(texture, sigmas=(4.0,))[inner, inner].max() < 0.05 * coarse


def test_superpixels_of_even_size_keep_to_the_edges_and_cover_the_photo():
    photo, mask = two_tone()
    gradient = edges_of(photo)
    labels = regions.grid_superpixels(gradient, count=60)
    count = labels.max() + 1
    assert labels.shape == mask.shape and 30 <= count <= 90 and set(np.unique(labels)) == set(range(count))
    share = regions.region_means(labels, mask[..., None].astype(float))[:, 0]
    mixed = (share > 0.05) & (share < 0.95)
    assert mixed.sum() <= 2 and gradient[30, 21] > 5 > gradient[30, 40]
    assert all(label(labels == value)[1] == 1 for value in range(count))


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (3, 4)])
def test_narrow_photos_have_superpixels_without_gaps(size):
    labels = regions.grid_superpixels(edges_of(np.zeros((*size, 3), np.uint8)), count=250)
    assert labels.shape == size and np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    if min(size) > 1:
        labels = regions.superpixels(regions.lab(noise(size)), sigma=1.0, count=7)
        assert labels.shape == size and np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
