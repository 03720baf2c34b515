"""Regions: the graph and means by hand, superpixels on noise, squares, plain and tiny photos; label maps moved."""

import numpy as np
import pytest
from scipy.ndimage import label

from tag2mask.data import regions
from tag2mask.data.scale import resized
from tag2mask.view import draw


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def squares():
    """A grey photo, 48 x 48, with a red and a blue square; the two masks."""
    photo, masks = np.full((48, 48, 3), 128, np.uint8), np.zeros((2, 48, 48), bool)
    masks[0, 6:18, 6:18] = masks[1, 26:42, 24:44] = True
    photo[masks[0]], photo[masks[1]] = (220, 30, 30), (30, 30, 220)
    return photo, masks


def connected(labels):
    return all(label(labels == value)[1] == 1 for value in range(labels.max() + 1))


def test_graph_of_a_hand_worked_map():
    labels = np.array([[0, 0, 1], [2, 2, 1]])
    strength = np.array([[1, 2, 4], [3, 6, 8]], np.float32)
    edges, length, mean = regions.graph(labels, strength)
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert length.tolist() == [1, 2, 1]  # 0|1 once, 0|2 under both pixels, 1|2 once
    assert mean.tolist() == [3, 3, 7]  # (2+4)/2; ((1+3)/2 + (2+6)/2) / 2; (6+8)/2


def test_graph_of_a_region_round_a_corner_and_of_one_region():
    edges, length, mean = regions.graph(np.array([[0, 0, 1], [0, 2, 1]]), np.array([[0, 3, 5], [1, 2, 0]], np.float32))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2]] and length.tolist() == [1, 2, 1]
    assert mean.tolist() == [4, 2, 1]  # (3+5)/2; ((1+2)/2 + (3+2)/2) / 2; (2+0)/2
    edges, length, mean = regions.graph(np.zeros((2, 3), int), np.ones((2, 3), np.float32))
    assert edges.shape == (0, 2) and length.shape == mean.shape == (0,)


def test_means_by_hand():
    labels = np.array([[0, 0, 1], [0, 2, 1]])
    maps = np.array([[[1, 0], [2, 0], [4, 1]], [[3, 6], [9, 5], [6, 0]]], np.float32)
    assert regions.means(labels, maps).tolist() == [[2, 2], [5, 0.5], [9, 5]]


def test_ward_merges_what_adds_least_to_the_squared_error():
    # a path of 0, 1, 3 of one pixel each: 0 and 1 add 1/2, 1 and 3 add 2; nodes 3 = (0, 1) and 4, the root
    parents = regions.ward(np.array([[0, 1], [1, 2]]), np.array([[0.0], [1], [3]]), np.ones(3))
    assert parents.tolist() == [3, 3, 4, 4, 4]


@pytest.mark.parametrize("compact", [0.0, regions.COMPACT])
def test_superpixels_are_connected_numbered_and_few(compact):
    labels = regions.superpixels(regions.lab(noise((40, 50))), count=20, compact=compact)
    assert labels.dtype == np.int32 and sorted(np.unique(labels)) == list(range(20)) and connected(labels)


def test_superpixels_keep_the_edges_of_squares():
    photo, masks = squares()
    labels = regions.superpixels(regions.lab(photo), count=500)
    for mask in masks:  # each superpixel lies inside or outside, but for a pixel along the edge
        share = regions.means(labels, mask[..., None])[:, 0]
        best = (share > 0.5)[labels]
        assert (best & mask).sum() / (best | mask).sum() > 0.8


def test_compact_superpixels_part_plain_areas_and_keep_to_edges():
    """One colour is one superpixel by colour alone, and about `count` of like size where they are compact."""
    photo, mask = np.full((60, 90, 3), 77, np.uint8), np.zeros((60, 90), bool)
    assert regions.superpixels(regions.lab(photo), count=60).max() == 0
    labels = regions.superpixels(regions.lab(photo), count=60, compact=regions.COMPACT)
    sizes = np.bincount(labels.ravel())
    assert 40 <= len(sizes) <= 60 and sizes.max() <= 4 * 90 and connected(labels)
    mask[14:46, 21:65] = True
    photo[mask] = (200, 40, 40)
    labels = regions.superpixels(regions.lab(photo), count=60, compact=regions.COMPACT)
    share = regions.means(labels, mask[..., None])[:, 0]
    assert 30 <= len(share) <= 60 and ((share > 0.05) & (share < 0.95)).sum() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (2, 900), (400, 2)])
@pytest.mark.parametrize("compact", [0.0, regions.COMPACT])
def test_superpixels_of_tiny_and_narrow_photos(size, compact):
    for photo in (noise(size), np.full((*size, 3), 77, np.uint8)):
        labels = regions.superpixels(regions.lab(photo), count=50, compact=compact)
        assert labels.shape == size and set(np.unique(labels)) == set(range(labels.max() + 1)) and labels.max() < 50


def test_label_maps_are_resized_by_the_pixels_centres():
    row = np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9]], np.uint8)
    assert resized(row, (1, 3)).tolist() == [[2, 5, 8]]  # centres 1.5, 4.5, 7.5
    assert resized(row[:, :2], (2, 4)).tolist() == [[1, 1, 2, 2]] * 2
    labels = np.random.default_rng(0).integers(0, 9, (21, 33), dtype=np.uint8)
    for size in ((7, 11), (42, 66), (63, 99), (35, 55)):  # no centre lies between two pixels
        for axis in (0, 1):
            assert (np.flip(resized(labels, size), axis) == resized(np.flip(labels, axis), size)).all()


def test_label_maps_are_drawn_alike_when_mirrored():
    photo, labels = np.full((21, 33, 3), 90, np.uint8), np.zeros((63, 99), np.uint8)
    labels[10:32, 20:61] = 3
    palette, empty = draw.Palette([3]), np.zeros_like(labels)

    def painted(photo, labels):
        return (draw.label_map(photo, labels, palette) != draw.label_map(photo, empty, palette)).any(-1)

    for axis in (0, 1):
        turned = painted(np.flip(photo, axis), np.flip(labels, axis))
        assert (np.flip(turned, axis) == painted(photo, labels)).all()
