"""Label maps: the numbers of classes. How instances merge stands in tests/stages/test_evaluate_segmentation.py."""

import pytest

from tag2mask.data.labelmaps import class_numbers
from tag2mask.errors import UserError


def test_class_numbers():
    number = class_numbers([3, 7])
    assert [number[c] for c in (0, 3, 7, 255, 5)] == [0, 1, 2, 255, 255]
    with pytest.raises(UserError, match="Category id 255 does not fit a semantic map: ids must be at most 254"):
        class_numbers([3, 255])
    assert class_numbers([254])[254] == 1
