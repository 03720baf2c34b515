"""Large photos: what networks see is scaled down, what they find comes back at the photo's own size."""

import numpy as np
import pytest
from PIL import Image

from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.photo import decoded, read_bytes
from tag2mask.data.scale import LARGEST, scaled_down, size_within

SIZE = (4, 6)


def corner(size, rows, columns):
    mask = np.zeros(size, bool)
    mask[:rows, :columns] = True
    return mask


def test_masks_scale_by_nearest_pixels_and_those_of_the_size_stay():
    own, small = rle.encode(corner(SIZE, 2, 3)[None]) + rle.encode(corner((2, 3), 1, 2)[None])
    found = rle.scaled([own, small], SIZE)
    assert found[0] is own
    np.testing.assert_array_equal(rle.decode(found, SIZE)[1], corner(SIZE, 2, 4))
    assert rle.scaled([], SIZE) == []


def test_masks_of_a_map_of_numbers():
    numbers = np.array([[0, 1, 1], [3, 0, 1]], np.int32)
    assert (
        rle.area(rle.of_numbers(numbers, 3, (2, 3))).tolist() == [3, 0, 1] and rle.of_numbers(numbers, 0, (2, 3)) == []
    )
    larger = rle.of_numbers(numbers, 3, SIZE)
    np.testing.assert_array_equal(rle.decode(larger, SIZE)[0], (numbers == 1).repeat(2, 0).repeat(2, 1))


def test_masks_are_decoded_within_a_side():
    """6 pixels are 3 within 3, so 4 are 2."""
    codes = rle.encode(np.stack([corner(SIZE, 2, 4), corner(SIZE, 4, 6)]))
    found = rle.decode(codes, SIZE, within=3)
    assert found.shape == (2, 2, 3) and found.sum((1, 2)).tolist() == [2, 6]
    assert rle.decode([], SIZE, within=3).shape == (0, 2, 3) and rle.decode(codes, SIZE, within=6).shape == (2, *SIZE)


def test_a_table_gives_chosen_masks_within_a_side():
    builder = InstancesBuilder({1: "cat"})
    builder.add("a", SIZE, corner(SIZE, 1, 1)[None], category=1)
    builder.add("b", SIZE, np.stack([corner(SIZE, 4, 2), corner(SIZE, 2, 6)]), category=1, void=corner(SIZE, 2, 2))
    table = builder.finish()
    found = table.masks(1, np.array([2]), within=3)
    np.testing.assert_array_equal(found, corner((2, 3), 1, 3)[None])
    assert table.masks(1).shape == (2, *SIZE) and table.masks(1)[0].sum() == 8
    np.testing.assert_array_equal(table.void_mask(1, within=3), corner((2, 3), 1, 1))
    assert not table.void_mask(0, within=3).any() and table.void_mask(0).shape == SIZE


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_index_gives_large_photos_within_the_largest_side(tmp_path, suffix):
    size = (20, 3 * LARGEST)
    Image.new("RGB", size[::-1], (90, 90, 90)).save(tmp_path / f"wide.{suffix}")
    index = Index.build(
        tmp_path, {1: "cat"}, image_id=["wide"], path=[f"wide.{suffix}"], size=[size], tags=[(1,)], train=[True]
    )
    assert index.photo(0).shape == (*size_within(size, LARGEST), 3) == (7, LARGEST, 3)
    assert index.photo(0, within=None).shape == (*size, 3) and np.all(index.photo(0) == 90)
    photo, own = decoded(read_bytes(tmp_path / f"wide.{suffix}"), "wide", within=LARGEST)
    assert own == size and photo.shape == (7, LARGEST, 3)


def test_a_photo_that_has_the_size_is_not_copied():
    photo = np.zeros((4, 6, 3), np.uint8)
    assert scaled_down(photo, (4, 6)) is photo
