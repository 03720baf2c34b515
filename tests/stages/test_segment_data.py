"""What DeepLab is trained on: instances merged by class, scaled, flipped and cropped samples."""

import numpy as np
from segment_photos import TINY
from shape_photos import CATEGORIES

from stages.segment.config import Config
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.labelmaps import class_numbers


def strip(first, last, size=(2, 12)):
    mask = np.zeros(size, bool)
    mask[:, first:last] = True
    return mask


def test_instances_are_merged_by_class():
    from stages.segment.data import class_map

    table = InstancesBuilder(CATEGORIES)
    masks = np.array([strip(0, 4), strip(2, 6), strip(3, 5), strip(8, 9), strip(9, 11), strip(4, 5)])
    table.add(
        "a", (2, 12), masks, category=[3, 3, 7, 7, 7, 0], score=[0.9, 0.4, 0.5, 1, 1, 1], ignore=[0, 0, 0, 0, 1, 0],
        void=strip(11, 12),
    )  # fmt: skip
    # disc 0-4 (0.9) goes before box 3-5 (0.5), that before disc 2-6 (0.4): one class of two discs, 1 at 0-4 and 5;
    # box 8; the crowd 9-11 and the void column 11 are 255; the row without a class is nothing
    wanted = [[1, 1, 1, 1, 2, 1, 0, 0, 2, 255, 255, 255]] * 2
    assert class_map(table.finish(), 0, class_numbers([3, 7])).tolist() == wanted


def test_equal_scores_the_smaller_mask_wins_then_the_earlier_row():
    from stages.segment.data import class_map

    table = InstancesBuilder(CATEGORIES)
    masks = np.array([strip(0, 6), strip(2, 4), strip(8, 10), strip(9, 11)])
    table.add("a", (2, 12), masks, category=[3, 7, 7, 3])
    assert class_map(table.finish(), 0, class_numbers([3, 7]))[0].tolist() == [1, 1, 2, 2, 1, 1, 0, 0, 2, 2, 1, 0]


# ---- samples


def test_entering_size_by_hand():
    from stages.segment.data import entering

    assert entering((375, 500), scale=1.0, max_side=640, stride=8) == (376, 496)  # 46.9, 62.5 cells: 47, 62
    assert entering((300, 600), scale=1.0, max_side=300, stride=16) == (144, 304)  # 150 and 300 pixels: 9.4, 18.75
    assert entering((100, 100), scale=0.5, max_side=640, stride=16) == (48, 48)
    assert entering((3, 3), scale=1.0, max_side=640, stride=16) == (16, 16)


def test_sample_moves_photo_and_labels_together():
    from stages.segment.data import training_sample

    label = np.zeros((40, 60), np.uint8)
    label[10:20, 5:25] = 2
    photo = np.where(label == 2, 200, 50).astype(np.uint8)[..., None].repeat(3, 2)
    same = Config(**{**TINY, "scales": (1, 1)})
    for flip, columns in ((0.0, (5, 25)), (1.0, (35, 55))):
        config = same.model_copy(update={"flip": flip})
        crop, target = training_sample(photo, label, config=config, mean=(0.5,) * 3, rng=np.random.default_rng(1))
        assert crop.shape == (64, 64, 3) and target.shape == (64, 64)
        assert ((crop[..., 0] == 200) == (target == 2)).all() and ((crop == 128).all(2) == (target == 255)).all()
        inside = target != 255
        y, x = np.flatnonzero(inside.any(1))[0], np.flatnonzero(inside.any(0))[0]
        part = target[y : y + 40, x : x + 60]
        assert inside.sum() == 40 * 60 and (part[10:20, slice(*columns)] == 2).all() and (part == 2).sum() == 200
    large = Config(**{**TINY, "scales": (3, 3)})  # 120 x 180: the crop lies inside and has no border
    crop, target = training_sample(photo, label, config=large, mean=(0.5,) * 3, rng=np.random.default_rng(1))
    assert set(np.unique(target)) <= {0, 2} and np.mean((crop[..., 0] > 125) == (target == 2)) > 0.97
    small = Config(**{**TINY, "scales": (1, 1), "max_side": 30})  # 20 x 30
    _, target = training_sample(photo, label, config=small, mean=(0.5,) * 3, rng=np.random.default_rng(1))
    assert (target != 255).sum() == 600
