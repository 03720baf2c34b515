"""Label maps: the numbers of classes. How instances merge stands in tests/stages/test_evaluate_segmentation.py."""

import numpy as np
import pytest

from tag2mask.data.labelmaps import LabelMaps, class_numbers
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.scale import resized
from tag2mask.errors import UserError


def test_class_numbers():
    number = class_numbers([3, 7])
    assert [number[c] for c in (0, 3, 7, 255, 5)] == [0, 1, 2, 255, 255]
    with pytest.raises(UserError, match="Category id 255 does not fit a semantic map: ids must be at most 254"):
        class_numbers([3, 255])
    assert class_numbers([254])[254] == 1


@pytest.mark.parametrize("size", [(7, 9), (23, 17), (30, 42)])
def test_scaling_and_mirroring_commute(size):
    """Nearest by the pixels' middles; cv2's INTER_NEAREST takes upper left pixels and fails here."""
    labels = np.random.default_rng(0).integers(0, 9, (11, 15)).astype(np.uint8)
    assert np.array_equal(resized(labels, size)[:, ::-1], resized(np.ascontiguousarray(labels[:, ::-1]), size))
    assert np.array_equal(resized(labels, size)[::-1], resized(np.ascontiguousarray(labels[::-1]), size))


def test_a_drawn_label_map_is_not_shifted():
    """Twice as large and back, a map is itself; three pixels made one show the middle one."""
    labels = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert resized(labels, (1, 1)).tolist() == [[4]]
    assert np.array_equal(resized(resized(labels, (9, 9)), (3, 3)), labels)


def test_semantic_maps_come_back_as_they_were():
    maps = [np.random.default_rng(k).integers(0, 256, (5 + k, 7), np.uint8) for k in range(3)]
    stores = []
    for part in (maps[:2], maps[2:]):
        builder = MapsBuilder(np.uint8)
        for one in part:
            builder.add(f"p{len(one)}", one.shape, [(0, one)])
        stores.append(builder.finish())
    found = LabelMaps(stores)
    assert all(np.array_equal(found[f"p{len(one)}"], one) for one in maps)
    assert "p5" in found and "p9" not in found
