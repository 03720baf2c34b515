"""Photos as networks take them: random crops by the generator alone, and a frame that moves all of a photo alike."""

import numpy as np
import pytest

from tag2mask.data.scale import resized
from tag2mask.learn.crops import (
    Frame,
    augment,
    crop_box,
    frame,
    framed_area,
    framed_map,
    framed_photo,
    framed_places,
    jittered,
    network_size,
    pass_over,
    resize,
    window,
)  # fmt: skip


def test_crops_lie_inside_and_cover_the_share_asked_for():
    rng = np.random.default_rng(0)
    for _ in range(200):
        y, x, h, w = crop_box(rng, (60, 100), area=(0.5, 0.8), aspect=1.2)
        assert 0 <= y and y + h <= 60 and 0 <= x and x + w <= 100
        assert 0.45 < h * w / 6000 < 0.85 and 0.8 < (h / w) / 0.6 < 1.25
    assert crop_box(rng, (60, 100), area=(1, 1), aspect=1) == (0, 0, 60, 100)
    assert crop_box(rng, (1, 1), area=(0.5, 1), aspect=1.5) == (0, 0, 1, 1)


class Drawn:
    """A generator whose uniform numbers are given, and whose integers are the least."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def uniform(self, *bounds):
        return self.numbers.pop(0)

    def integers(self, low, high=None):
        return low if high else 0


@pytest.mark.parametrize(
    ("share", "power", "aspect", "box"),
    [
        (0.15, 0, 1.0, (30, 30)),  # a square of 0.15 x 60 x 100 = 900 pixels
        (0.6, 0, 1.0, (60, 60)),
        (1.0, 0, 1.0, (60, 60)),  # the largest square that fits
        (0.15, 1, 1.44, (36, 25)),  # 30 x 1.2 by 30 / 1.2
        (0.15, -1, 1.44, (25, 36)),
        (1.0, -1, 4.0, (25, 100)),  # 38.7 by 154.9, made smaller to fit
    ],
)
def test_crops_that_keep_proportions_by_hand(share, power, aspect, box):
    assert crop_box(Drawn(share, power), (60, 100), area=(0, 1), aspect=aspect, keep=True)[2:] == box


def test_a_square_of_the_photo_is_a_square_of_a_kept_crop():
    """As wide as high in a photo of 40 x 80, so too in a crop of 20 x 20; squashed it is half as wide."""
    photo = np.zeros((40, 80, 3), np.uint8)
    photo[10:30, 8:28] = 255
    same = {"size": 20, "area": (1, 1), "aspect": 1, "flip": False, "jitter": 0}
    kept = augment(photo, Drawn(1, 0, np.zeros(2)), **same, keep=True)[..., 0] > 127
    squashed = augment(photo, Drawn(1, 0, np.zeros(2)), **same)[..., 0] > 127
    assert (kept.any(0).sum(), kept.any(1).sum()) == (10, 10)
    assert (squashed.any(0).sum(), squashed.any(1).sum()) == (5, 10)


def test_augmentation_mirrors_and_changes_light_by_the_generator_alone():
    photo = np.zeros((8, 8, 3), np.uint8)
    photo[:, :4] = 200
    same = {"size": 8, "area": (1, 1), "aspect": 1, "jitter": 0}
    seen = {augment(photo, np.random.default_rng(k), flip=True, **same)[0, 0, 0] for k in range(20)}
    assert seen == {0, 200}
    assert all(np.array_equal(augment(photo, np.random.default_rng(k), flip=False, **same), photo) for k in range(5))
    grey = np.full((8, 8, 3), 100, np.uint8)
    light = [augment(grey, np.random.default_rng(k), flip=False, **same | {"jitter": 0.2})[0, 0, 0] for k in range(50)]
    assert 80 <= min(light) < 90 and 110 < max(light) <= 120
    again = [augment(grey, np.random.default_rng(k), flip=False, **same | {"jitter": 0.2})[0, 0, 0] for k in range(50)]
    assert light == again


def test_jitter_by_hand():
    class Fixed:
        def uniform(self, low, high, count):
            return np.array([0.5, -1.0])

    # contrast 1 + 0.2 * 0.5 = 1.1 about the mean 100, brightness 0.8: (50 - 100) 1.1 + 100 = 45, 36; 150 -> 155, 124
    photo = np.array([[[50] * 3, [150] * 3]], np.uint8)
    assert jittered(photo, 0.2, Fixed())[0, :, 0].tolist() == [36, 124]
    assert np.array_equal(jittered(photo, 0.0, Fixed()), photo)


def test_network_size_keeps_area_and_tiles_cells():
    assert network_size((375, 500), side=320, stride=16) == (272, 368)
    assert network_size((160, 160), side=160, stride=16) == (160, 160)
    assert network_size((1, 1), side=64, stride=32) == (64, 64)
    assert network_size((3, 4000), side=64, stride=32)[0] == 32
    assert resize(np.zeros((5, 7, 3), np.uint8), (16, 32)).shape == (16, 32, 3)


def test_every_window_of_a_crop_is_drawn():
    rng = np.random.default_rng(0)
    assert {window(5, 3, rng) for _ in range(100)} == {(0, 0, 3), (1, 0, 3), (2, 0, 3)}
    assert {window(3, 5, rng) for _ in range(100)} == {(0, 0, 3), (0, 1, 3), (0, 2, 3)}


def test_a_frame_by_hand():
    """A photo of 2 x 4 at twice its size, mirrored: rows 4 in a crop of 6 from row 1, columns 8 of which 2 to 7."""
    seen = Frame((2, 4), (4, 8), True, (0, 1, 4), (2, 0, 6), 6)
    label = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.uint8)  # mirrored and doubled: 44332211, 88776655
    rows = [[9] * 6, *[[3, 3, 2, 2, 1, 1]] * 2, *[[7, 7, 6, 6, 5, 5]] * 2, [9] * 6]
    assert framed_map(label, seen, outside=9).tolist() == rows
    assert np.array_equal(framed_area(seen), np.array(rows) != 9)
    photo = framed_photo(label[..., None].repeat(3, 2), seen, mean=(0.5, 0, 1))
    assert photo[0, 0].tolist() == photo[5, 5].tolist() == [128, 0, 255] and photo[1, 0, 0] == 3
    # the centre of pixel (0, 0) lies at 0.5, 0.5 of the doubled photo, at 6.5 from the left of the mirrored one
    assert framed_places([[0, 0], [1, 2.5]], seen).tolist() == [[1.5, 4.5], [3.5, -0.5]]


def test_a_frame_as_large_as_the_photo_changes_nothing():
    photo = np.random.default_rng(0).integers(0, 256, (5, 5, 3), np.uint8)
    seen = frame((5, 5), np.random.default_rng(0), scales=(1, 1), longest=None, flip=0.0, side=5)
    assert seen == Frame((5, 5), (5, 5), False, (0, 0, 5), (0, 0, 5), 5)
    assert np.array_equal(framed_photo(photo, seen, mean=(0,) * 3), photo)
    assert np.array_equal(framed_map(photo[..., 0], seen, outside=0), photo[..., 0])


def test_frames_scale_and_mirror_at_random_and_bound_the_longer_side():
    rng = np.random.default_rng(0)
    drawn = [frame((50, 100), rng, scales=(0.5, 2), longest=50, flip=0.25, side=32) for _ in range(400)]
    widths = [one.size[1] for one in drawn]
    assert 25 <= min(widths) < 28 and 97 < max(widths) <= 100 and np.mean(widths) == pytest.approx(62.5, abs=4)
    assert all(abs(one.size[0] - one.size[1] / 2) <= 1 for one in drawn)
    assert np.mean([one.mirrored for one in drawn]) == pytest.approx(0.25, abs=0.08)


def test_nearest_pixel_by_centres():
    assert resized(np.array([[1, 2, 3]], np.int32), (1, 2)).tolist() == [[1, 3]]  # at 0.25 and 1.75 of 3 pixels
    assert resized(np.array([[1, 2]], np.uint8), (2, 4)).tolist() == [[1, 1, 2, 2]] * 2


@pytest.mark.parametrize("keep", [False, True])
def test_passing_over_a_photo_draws_what_augmenting_it_draws(keep):
    """The next number is the same, also where a box as large as the photo leaves nothing to draw for its place."""
    for size, area in (((40, 31), (0.5, 1.0)), ((40, 31), (1.0, 1.0))):
        made, passed = (np.random.default_rng(4) for _ in range(2))
        box = {"area": area, "aspect": 1.33, "keep": keep}
        augment(np.zeros((*size, 3), np.uint8), made, size=16, flip=True, jitter=0.2, **box)
        pass_over(passed, size, **box)
        assert made.random() == passed.random()
