"""Masks that are hard to write down: holes, islands in holes, parts, corners that touch; on three photos."""

import numpy as np

SIZE = (60, 80)  # height, width
PHOTOS = {"a": "a.png", "sub/b": "sub/b.jpg", "val/c": "val/c.png"}  # the second has no instance, the third is held out


def disc(y, x, radius):
    down, across = np.mgrid[: SIZE[0], : SIZE[1]]
    return (down - y) ** 2 + (across - x) ** 2 <= radius**2


def masks():
    """Photo -> [(category, score, mask)]; areas are counted from the masks."""
    ring = disc(25, 25, 20) & ~disc(25, 25, 12) | disc(25, 25, 5)  # with an island in its hole
    two = disc(15, 60, 8) | disc(45, 60, 8)
    stairs = np.eye(*SIZE, dtype=bool)  # pixels that touch at corners alone
    return {
        "a": [(2, 0.75, ring), (7, 0.5, two)],
        "sub/b": [],
        "val/c": [(7, 0.25, disc(30, 40, 15)), (2, 1.0, stairs), (2, 0.0625, np.ones(SIZE, bool))],
    }
