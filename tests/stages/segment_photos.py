"""Photos of one disc or box each with labels and truth, and a tiny training, for the tests of `segment`."""

import numpy as np
from shape_photos import written

TINY = dict(
    backbone="test_efficientnet", weights="none", output_stride=16, atrous_rates=[1, 2], batch=2,
    iterations=4, crop=64, scales=(0.8, 1.2), checkpoint_every=2,
)  # fmt: skip


def photo_with(category, *, size=(96, 96), at=(20, 16), side=48, seed=0):
    """A grey photo with a red disc (3) or a blue box (7); returns photo and mask (1, H, W)."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(60, 100, (*size, 3)).astype(np.uint8)
    y, x = np.ogrid[: size[0], : size[1]]
    if category == 3:
        mask = (y - at[0] - side / 2) ** 2 + (x - at[1] - side / 2) ** 2 < (side / 2) ** 2
    else:
        mask = (y >= at[0]) & (y < at[0] + side) & (x >= at[1]) & (x < at[1] + side)
    photo[mask] = (230, 40, 40) if category == 3 else (40, 60, 230)
    return photo, mask[None]


def dataset(folder, count=8):
    """Index, label store and ground truth of `count` photos, the last two for validation; paths."""
    photos = [photo_with(3 if k % 2 == 0 else 7, at=(6 + 4 * k, 42 - 4 * k), seed=k) for k in range(count)]
    return written(folder, photos)
