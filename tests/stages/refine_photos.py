"""Photos of one disc or box each with labels, and a tiny training, for the tests of `refine`."""

import cv2
import numpy as np
from shape_photos import written

TINY = dict(
    fpn_channels=16, fpn_levels=[3, 4], anchor_sizes=[16, 32], box_channels=32, mask_layers=1, mask_channels=16,
    rpn_batch=32, rpn_pre_nms=(50, 50), rpn_post_nms=(20, 20), roi_batch=16, batch=2, rate_batch=2, iterations=4,
    optimiser="adamw", learning_rate=1e-3, schedule="one_cycle", short_side=[64, 80], test_short_side=64, max_side=96,
    score_threshold=0.0, checkpoint_every=2, weights="none", backbone="test_efficientnet",
)  # fmt: skip
PACKAGED = dict(backbone="efficientnet_lite0", weights="imagenet")


def photo_with(category, *, size=(64, 64), at=(20, 16), side=24, seed=0):
    """A grey photo with one bright shape; returns photo and mask (1, H, W)."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(60, 100, (*size, 3)).astype(np.uint8)
    mask = np.zeros(size, np.uint8)
    y, x = at
    if category == 3:
        cv2.circle(mask, (x + side // 2, y + side // 2), side // 2, 1, -1)
    else:
        mask[y : y + side, x : x + side] = 1
    photo[mask > 0] = (230, 40, 40) if category == 3 else (40, 60, 230)
    return photo, mask[None].astype(bool)


def dataset(folder, count=6, *, ignore=()):
    """Index and label store of `count` photos, the last two for validation; paths."""
    photos = [photo_with(3 if k % 2 == 0 else 7, at=(8 + 4 * k, 30 - 3 * k), seed=k) for k in range(count)]
    return written(folder, photos, ignore=ignore)
