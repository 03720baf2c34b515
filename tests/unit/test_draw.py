"""Drawing: what is painted, and that nothing is modified."""

import numpy as np

from tag2mask.view import draw


def test_labelled_masks_are_painted_inside_and_the_rest_is_only_dimmed():
    photo, masks = np.full((60, 80, 3), 100, np.uint8), np.zeros((1, 60, 80), bool)
    masks[0, 30:50, 20:40] = True
    palette = draw.Palette({1: "cat", 2: "dog"})
    picture = draw.labelled(photo, masks, draw.shades([1], palette), ["cat 0.90"])
    rest = draw.dimmed(photo, keep=0.45, light=0.9)
    assert (picture[33:47, 23:37] != rest[33:47, 23:37]).any(-1).all()
    assert (picture[:10] == rest[:10]).all() and (picture[:, 70:] == rest[:, 70:]).all()
    assert (photo == 100).all()


def test_instances_of_a_class_have_colours_of_their_own():
    palette = draw.Palette({1: "cat", 2: "dog"})
    colours = draw.shades([1, 1, 2, 1], palette)
    assert len({tuple(colour) for colour in colours.tolist()}) == 4


def test_a_map_of_no_class_is_amber():
    """Red above green above blue, so that it is seen on a grey photo; where it is 0 the photo stays grey."""
    values = np.zeros((10, 20), np.float32)
    values[:, 10:] = 1
    picture = draw.heat(np.full((10, 20, 3), 90, np.uint8), [0], [values], draw.Palette([1, 2])).astype(int)
    assert (np.diff(picture[:, :8]) == 0).all() and (np.diff(picture[:, 12:]) < -20).all()
