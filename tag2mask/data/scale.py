"""Sizes at which photos and masks are worked on: large ones are scaled down, what is found is enlarged again."""

from collections.abc import Sequence

import cv2
import numpy as np

# Longer side in pixels to which maps are enlarged and that networks see of a larger photo. 48 megapixels would need
# 137 MB as bytes, 550 MB a map.
LARGEST = 2048


def size_within(size: Sequence[int], most: float) -> tuple[int, int]:
    """(h, w) of a photo of `size` (H, W), scaled down where a side has more than `most` pixels, aspect kept."""
    scale = min(1.0, most / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def scaled_down(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`photo` (H, W, 3) uint8 at `size` (h, w), not larger than it is, by area averaging; itself where it has it."""
    return photo if size == photo.shape[:2] else cv2.resize(photo, size[::-1], interpolation=cv2.INTER_AREA)


def resized(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) labels of the nearest pixels of `labels` (H, W), any integer type; size : (h, w).

    Nearest by the pixels' middles, so that a mirrored map scales to the mirrored scaled map. cv2's INTER_NEAREST takes
    upper left ones.
    """
    if tuple(labels.shape) == tuple(size):
        return labels
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def nearest(size: Sequence[int] | np.ndarray, grid: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """[(h,) rows, (w,) columns] int of `size` (H, W) that are nearest to the middles of the pixels of `grid` (h, w)."""
    return [((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(grid, size)]
