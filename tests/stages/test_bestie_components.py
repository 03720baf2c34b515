"""Connected components of class maps: both implementations against a flood fill, by hand, and special maps."""

import numpy as np
import pytest
import torch

from stages.bestie.components import components, propagated, scanned

BOTH = pytest.mark.parametrize("label", [scanned, propagated])


def flooded(classes, connectivity):
    """`components` by flood fill, pixel after pixel in row order."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    if connectivity == 8:
        steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    number, count = np.zeros(classes.shape, np.int64), 0
    for seed in np.ndindex(classes.shape):
        if classes[seed] == 0 or number[seed]:
            continue
        count += 1
        number[seed], todo = count, [seed]
        while todo:
            b, y, x = todo.pop()
            for dy, dx in steps:
                near = (b, y + dy, x + dx)
                inside = 0 <= near[1] < classes.shape[1] and 0 <= near[2] < classes.shape[2]
                if inside and classes[near] == classes[seed] and not number[near]:
                    number[near] = count
                    todo.append(near)
    return number, count


@BOTH
@pytest.mark.parametrize("connectivity", [4, 8])
def test_random_maps_against_a_flood_fill(label, connectivity):
    rng = np.random.default_rng(3)
    for classes in (1, 2, 4):
        for empty in (0.2, 0.5, 0.8):
            map_ = rng.integers(1, classes + 1, (3, 17, 21)) * (rng.random((3, 17, 21)) > empty)
            found, count = label(torch.from_numpy(map_), connectivity=connectivity)
            expected, many = flooded(map_, connectivity)
            assert count == many >= 3 and found.dtype == torch.int64 and (found.numpy() == expected).all()


@BOTH
def test_by_hand_corners_classes_and_photos(label):
    map_ = torch.tensor([[[0, 1, 0, 2], [1, 0, 2, 0], [0, 0, 1, 1]], [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 3]]])
    # corners touch: the two 1s above are one, the two 2s another; the 1s below touch neither. The second photo goes on
    four, many = label(map_, connectivity=4)
    assert many == 7 and four[0].tolist() == [[0, 1, 0, 2], [3, 0, 4, 0], [0, 0, 5, 5]]
    eight, many = label(map_, connectivity=8)
    assert many == 5 and eight[0].tolist() == [[0, 1, 0, 2], [1, 0, 2, 0], [0, 0, 3, 3]]
    assert eight[1].tolist() == [[4, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 5]]


@BOTH
def test_a_winding_component_is_one_and_numbers_follow_its_first_pixel(label):
    comb = torch.zeros(1, 40, 41, dtype=torch.int64)
    comb[:, :, ::2] = 1  # 21 columns, joined at the bottom: all are known to be one only in the last row
    comb[:, -1] = 1
    assert label(comb, connectivity=4)[1] == 1
    snake = torch.zeros(1, 41, 40, dtype=torch.int64)
    snake[:, ::2] = 2  # 21 rows, joined at the right and at the left in turn
    snake[:, 1::4, -1] = snake[:, 3::4, 0] = 2
    number, count = label(snake, connectivity=4)
    assert count == 1 and torch.equal(number > 0, snake > 0)
    late = torch.tensor([[[0, 0, 1, 0, 1], [1, 1, 1, 0, 1]]])  # the first begins at (0, 2), left of it in the next row
    assert label(late, connectivity=4)[0].tolist() == [[[0, 0, 1, 0, 2], [1, 1, 1, 0, 2]]]


@BOTH
def test_nothing_and_everything(label):
    number, count = label(torch.zeros(2, 4, 5, dtype=torch.int64), connectivity=8)
    assert count == 0 and not number.any()
    number, count = label(torch.full((2, 4, 5), 7), connectivity=8)
    assert count == 2 and (number[0] == 1).all() and (number[1] == 2).all()
    number, count = label(torch.ones((1, 1, 1), dtype=torch.int64), connectivity=4)
    assert count == 1 and number.tolist() == [[[1]]]


def test_processor_way_is_taken_and_connectivity_is_checked():
    map_ = torch.ones(1, 2, 2, dtype=torch.int64)
    assert components(map_, connectivity=4)[1] == 1
    with pytest.raises(ValueError, match="4 or 8"):
        components(map_, connectivity=6)
