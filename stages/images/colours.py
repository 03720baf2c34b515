"""Colours and textures of generated scenes: one distribution for objects, clutter and ground. Ours."""

import cv2
import numpy as np

GROUND_CONTRAST = 30.0  # least distance (CIE 1976 delta E) between an object's colour and the ground's

_PALETTE = np.array(
    [
        (42, 127, 134), (217, 164, 65), (226, 114, 91), (240, 227, 200), (47, 62, 92), (143, 168, 118), (122, 75, 107),
        (143, 188, 212), (181, 87, 58), (66, 68, 76), (219, 161, 166), (118, 116, 58), (201, 174, 131), (169, 211, 191),
    ],
    np.float32,
)  # fmt: skip
_PALETTE_LAB = cv2.cvtColor(_PALETTE[None] / 255, cv2.COLOR_RGB2LAB)[0]


def colour(rng, away=()):
    """A colour of the palette with some variation, (3,) float32 Lab; `away`: pairs (colour, least distance)."""
    tries = _PALETTE_LAB[rng.integers(len(_PALETTE_LAB), size=24)]
    tries = tries + rng.normal(0, (4, 4, 4), (24, 3)).astype(np.float32)
    short = np.zeros(24)
    for other, least in away:
        # by how much the distance asked for is missed, in shares of it
        short += np.maximum(0, 1 - np.linalg.norm(tries - other, axis=1) / least) * (least >= GROUND_CONTRAST) * 10
        short += np.maximum(0, 1 - np.linalg.norm(tries - other, axis=1) / least)
    return tries[np.argmin(short)]  # the first that does, else the one that misses least


def rgb(lab):
    """(3,) float32 RGB, 0 to 255, of a Lab colour."""
    lab = np.asarray(lab, np.float32).reshape(1, 1, 3)
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0] * 255, 12, 246)


def texture(rng, height, width, scale):
    """(height, width) float32 around 1: plain, stripes, checks, dots or blotches, at any turn; one law for all."""
    kind = rng.integers(5)
    strength = rng.uniform(0.03, 0.1)
    period = rng.uniform(5, 14) * scale
    angle = rng.uniform(0, np.pi)
    phase = rng.uniform(0, 2 * np.pi, 2)
    cells = rng.standard_normal((16, 16), np.float32)
    if kind == 0:
        return np.ones((height, width), np.float32)
    if kind == 4:
        rows, columns = (min(16, max(2, round(n / period))) for n in (height, width))
        blotches = cv2.resize(cells[:rows, :columns], (width, height), interpolation=cv2.INTER_CUBIC)
        return 1 + strength * 0.6 * np.clip(blotches, -2, 2)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)
    # floats, not numpy's float64, so that the fields stay float32
    down, right = float(np.sin(angle)) * 2 * np.pi / period, float(np.cos(angle)) * 2 * np.pi / period
    waves = np.sin((y * down + float(phase[0])) + x * right)
    if kind >= 2:
        other = np.sin((y * right + float(phase[1])) - x * down)
        waves = waves * other if kind == 2 else 2 * (waves + other > 0.9).astype(np.float32) - 0.4
    return 1 + strength * np.clip(waves * 2, -1, 1)


def slope(towards, height, width):
    """(height, width) float32 that rises in the direction `towards` (y, x), from -1 to 1 along each axis."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return towards[0] * y + towards[1] * np.linspace(-1, 1, width, dtype=np.float32)
