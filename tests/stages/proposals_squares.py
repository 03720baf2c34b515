"""A photo of two squares and a configuration for its size, for the tests of `proposals`."""

import numpy as np

from stages.proposals.config import Config

SMALL = Config(min_area=4, superpixel_area=4, count=50)


def two_squares(size=48):
    """A grey photo with a red and a blue square; returns (photo, the two masks)."""
    photo = np.full((size, size, 3), 128, np.uint8)
    masks = np.zeros((2, size, size), bool)
    masks[0, 6:18, 6:18] = masks[1, 26:42, 24:44] = True
    photo[masks[0]], photo[masks[1]] = (220, 30, 30), (30, 30, 220)
    return photo, masks
