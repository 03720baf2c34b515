"""Samples for the instance network: photo, semantic map, instances and points move together."""

import numpy as np
import pytest
import torch

from stages.bestie import data
from stages.bestie.config import Config
from stages.bestie.data import Marks

PLAIN = dict(size=64, scales=(1, 1), flip=0.0, jitter=0.0)


def box(y, x, size=(40, 60)):
    mask = np.zeros(size, bool)
    mask[slice(*y), slice(*x)] = True
    return mask


def made(*, seed=1, masks=None, column=(1,), points=None, **keys):
    """A sample of a photo of 40 x 60 pixels, dark with a bright box of class 1 (target 2) at rows 10 to 19, columns
    5 to 24, whose instance it is."""
    mask = box((10, 20), (5, 25))
    photo = np.where(mask, 200, 50).astype(np.uint8)[..., None].repeat(3, 2)
    return data.training_sample(
        photo, np.where(mask, 2, 0).astype(np.uint8), masks=mask[None] if masks is None else masks, column=column,
        config=Config(**{**PLAIN, **keys}), mean=(0.5,) * 3, rng=np.random.default_rng(seed), points=points,
    )  # fmt: skip


def test_numbers_of_overlapping_masks():
    # the large one below the small one; of two equal ones the earlier counts
    masks = np.array([box((0, 1), (0, 6)), box((0, 1), (2, 4)), box((0, 1), (8, 10)), box((0, 1), (9, 11))])
    assert data.numbered(masks)[0, :12].tolist() == [1, 1, 2, 2, 1, 1, 0, 0, 3, 3, 4, 0]
    assert not data.numbered(np.zeros((0, 4, 5), bool)).any()


def test_centroids_by_hand():
    # an L of three pixels (0, 0), (1, 0), (1, 1): 2 / 3, 1 / 3; two pixels below each other in column 3: 0.5, 3
    found = data.centroids(np.array([[1, 0, 0, 2], [1, 1, 0, 2]], np.int32))
    assert found == pytest.approx(np.array([[2 / 3, 1 / 3], [0.5, 3]])) and found.dtype == np.float64
    assert data.centroids(np.zeros((4, 5), np.int32)).shape == (0, 2)


def place_of(sample):
    """First row and column of the photo in the crop."""
    return np.flatnonzero(sample.photo.any(1))[0], np.flatnonzero(sample.photo.any(0))[0]


@pytest.mark.parametrize("flip, columns", [(0.0, (5, 25)), (1.0, (35, 55))])
def test_everything_moves_together(flip, columns):
    points = Marks(np.array([1]), np.array([[10.0, 5.0]]), np.ones(1, np.float32))
    sample = made(flip=flip, points=points)
    assert sample.crop.shape == (64, 64, 3) and sample.photo.sum() == 40 * 60
    y, x = place_of(sample)
    inside = np.zeros((64, 64), bool)
    inside[y + 10 : y + 20, x + columns[0] : x + columns[1]] = True
    assert ((sample.crop[..., 0] == 200) == inside).all() and ((sample.target == 2) == inside).all()
    assert ((sample.number == 1) == inside).all() and sample.column.tolist() == [1]
    # outside the photo: the mean colour, 255, no instance
    outside = ~sample.photo
    assert (sample.crop[outside] == 128).all() and ((sample.target == 255) == outside).all()
    # the centroid is that of the moved pixels; the mask's upper left corner is its upper right one when mirrored
    assert sample.center[0] == pytest.approx(np.argwhere(inside).mean(0))
    assert sample.points.yx[0].tolist() == [y + 10, x + (5 if flip == 0 else 54)]


def test_centres_scale_about_pixel_edges():
    # doubled to 80 x 120: (14.5 + 0.5) x 2 - 0.5 = 29.5, the centroid of rows 20 to 39 and columns 10 to 49; a point
    # in the box's middle moves to the same place
    points = Marks(np.array([1]), np.array([[14.5, 14.5]]), np.ones(1, np.float32))
    sample = made(scales=(2, 2), size=128, points=points)
    y, x = place_of(sample)
    assert sample.photo.sum() == 80 * 120 and sample.center[0].tolist() == [y + 29.5, x + 29.5]
    assert sample.points.yx[0].tolist() == [y + 29.5, x + 29.5]
    # halved to 20 x 30, pixel k shows pixel 2k + 1 of the photo: rows 10 to 19 are 5 to 9, columns 5 to 24 are 2 to 11
    sample = made(scales=(0.5, 0.5), points=points)
    y, x = place_of(sample)
    assert sample.photo.sum() == 20 * 30 and sample.center[0].tolist() == [y + 7, x + 6.5]
    assert np.flatnonzero((sample.number == 1).any(1)).tolist() == list(range(y + 5, y + 10))
    assert sample.points.yx[0].tolist() == [y + 7, x + 7]  # (14.5 + 0.5) / 2 - 0.5
    # `side` works before the scale: 60 to 30 pixels, then doubled
    sample = made(side=32, scales=(60 / 32, 60 / 32))
    y, x = place_of(sample)
    assert sample.photo.sum() == 40 * 60 and sample.center[0] == pytest.approx([y + 14.5, x + 14.5])


def test_a_centre_is_that_of_what_the_crop_shows():
    cut = 0
    points = Marks(np.array([1]), np.array([[14.5, 14.5]]), np.ones(1, np.float32))
    for seed in range(40):  # 80 x 120 pixels, of which the crop shows 64 x 64; the box is rows 20 to 39, columns 10-49
        sample = made(seed=seed, scales=(2, 2), points=points)
        middle, rest = sample.points.yx[0], sample.number == 1
        if not rest.any():  # the crop begins to the right of column 49
            assert middle[1] < 29.5 - 49 and sample.center.shape == (0, 2) and len(sample.column) == 0
            continue
        (y, x), width = np.nonzero(rest), rest.any(0).sum()
        assert sample.center[0].tolist() == [(y.min() + y.max()) / 2, (x.min() + x.max()) / 2]
        if width < 40:  # cut on the left: `width` columns from 0 on; the box's middle is 19.5 before its last column
            assert sample.center[0, 1] == (width - 1) / 2 and middle[1] == width - 1 - 19.5
        else:
            assert sample.center[0, 1] == middle[1]
        cut += middle[1] < 0 <= sample.center[0, 1]
    assert cut  # in some the middle of the whole box, where the point is, lies outside the crop


def test_instances_that_the_crop_does_not_show_are_left_out():
    masks = np.array([box((0, 40), (0, 10)), box((0, 40), (50, 60))])  # doubled: columns 0 to 19 and 100 to 119
    points, shown = Marks(np.array([1]), np.zeros((1, 2)), np.ones(1, np.float32)), []
    for seed in range(40):
        sample = made(seed=seed, masks=masks, column=[0, 1], scales=(2, 2), points=points)
        first = int(0.5 - sample.points.yx[0, 1])  # the crop's first column: the point, at (0, 0), moves to 0.5 - first
        columns = np.arange(first, first + 64)
        expected = [(k, columns[(columns >= a) & (columns <= b)] - first) for k, a, b in ((0, 0, 19), (1, 100, 119))]
        expected = [(k, seen.mean()) for k, seen in expected if len(seen)]  # never both: 64 columns hold 20 to 99 then
        assert sample.column.tolist() == [k for k, _ in expected] and sample.column.dtype == np.int64
        assert sample.center[:, 1].tolist() == [x for _, x in expected]
        assert set(np.unique(sample.number)) <= {0, *range(1, len(expected) + 1)} and sample.number.dtype == np.int32
        shown.append(tuple(k for k, _ in expected))
    assert set(shown) == {(), (0,), (1,)}


def test_instances_below_others_are_left_out_and_the_rest_renumbered():
    masks = np.array([box((10, 20), (5, 25)), box((10, 20), (5, 25)), box((0, 4), (0, 4))])
    sample = made(masks=masks, column=[0, 1, 1])  # of the two equal ones the first stays
    y, x = place_of(sample)
    assert sample.column.tolist() == [0, 1] and np.bincount(sample.number.ravel())[1:].tolist() == [200, 16]
    assert sample.center.tolist() == [[y + 14.5, x + 14.5], [y + 1.5, x + 1.5]]


def test_what_is_drawn_at_random_does_not_depend_on_the_labels():
    keys = dict(flip=0.5, jitter=0.3, scales=(0.5, 2))
    a, b = made(**keys), made(masks=np.zeros((0, 40, 60), bool), **keys)
    assert np.array_equal(a.crop, b.crop) and np.array_equal(a.target, b.target) and not b.number.any()
    assert not np.array_equal(a.crop, made(seed=2, **keys).crop)


def test_instances_of_a_batch_are_numbered_through():
    none = made(masks=np.zeros((0, 40, 60), bool), column=[])
    one = made()
    two = made(masks=np.array([box((10, 20), (5, 25)), box((0, 4), (0, 4))]), column=[1, 0])
    batch = data.collate([one, none, two])
    assert batch.crops.shape == (3, 64, 64, 3) and batch.target.dtype == torch.int64
    assert batch.labels.photo.tolist() == [0, 2, 2] and batch.labels.column.tolist() == [1, 1, 0]
    assert batch.labels.weight.tolist() == [1, 1, 1] and batch.labels.center.dtype == torch.float32
    assert [sorted(set(number.unique().tolist())) for number in batch.labels.number] == [[0, 1], [0], [0, 2, 3]]
    assert (batch.labels.number[2] == 2).sum() == 200 and (batch.labels.number[2] == 3).sum() == 16
    assert batch.points is None
    assert np.array_equal(batch.photo.numpy(), np.stack([s.photo for s in (one, none, two)]))
    empty = data.collate([none, none])
    assert len(empty.labels.photo) == 0 and empty.labels.center.shape == (0, 2)


def test_points_of_a_batch():
    points = Marks(np.array([1, 0]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.5, 1], np.float32))
    nothing = Marks(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0, np.float32))
    batch = data.collate([made(points=nothing), made(points=points)]).to("cpu")
    assert batch.points.photo.tolist() == [1, 1] and batch.points.column.tolist() == [1, 0]
    assert batch.points.score.tolist() == [0.5, 1] and batch.points.y.dtype == torch.float32
    # both points moved alike: the photo lies 24 rows and 4 columns short of the crop, somewhere in it
    assert (batch.points.y - batch.points.y[0]).tolist() == [0, 2]
