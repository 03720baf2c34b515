"""The objects of the generated scenes: five classes told apart by outline and parts alone.

A class is a function of a random generator that answers a list of parts; colour, texture, size and turn are given
later, by `stages.images.scenes`, from one distribution for all classes. Lengths here are in units of about one body
width, x to the right, y down. Proportions vary, so that no two mugs are the same mug.
"""

import itertools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """A piece of an object: one outline, further outlines are holes in it (even-odd rule).

    outlines : list of (n, 2) float64, rows (x, y). `detail`: a mark painted on the object (an eye, a door); it adds
    nothing to the object's mask.
    """

    outlines: list
    detail: bool = False


def _arc(x, y, rx, ry, *, start=0.0, end=360.0, points=28):
    """(points, 2) rows (x, y) on an ellipse, degrees; with y down, 0 is to the right and 90 is below."""
    t = np.deg2rad(np.linspace(start, end, points))
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], 1)


def _box(x0, y0, x1, y1):
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def mug(rng):
    """A body, a handle with a hole, an open rim; a band around the body."""
    w, h = rng.uniform(0.5, 0.6), rng.uniform(0.5, 0.66)
    foot = w * rng.uniform(0.82, 1.0)
    reach, thick = rng.uniform(0.4, 0.5), rng.uniform(0.15, 0.19)
    tall = h * rng.uniform(0.6, 0.72)
    handle = Part(
        [_arc(w * 0.92, 0.02, reach, tall), _arc(w * 0.92, 0.02, reach - thick, tall - thick)[::-1]],
    )
    body = Part(
        [
            np.concatenate(
                [
                    _arc(0, -h, w, 0.16, start=180, end=360),
                    _arc(foot - 0.14, h - 0.14, 0.14, 0.14, start=0, end=90, points=6),
                    _arc(0.14 - foot, h - 0.14, 0.14, 0.14, start=90, end=180, points=6),
                ]
            )
        ]
    )
    rim = Part([_arc(0, -h + 0.01, w * 0.86, 0.1)], detail=True)
    at = rng.uniform(0.0, 0.3) * h
    band = Part([_box(-foot * 0.95, at, foot * 0.95, at + 0.16)], detail=True)
    return [handle, body, rim, band]


def key(rng):
    """A bow with a hole, a shaft, two teeth at its end; a collar and a mark on the bow."""
    r, hole = rng.uniform(0.52, 0.6), rng.uniform(0.2, 0.26)
    length, thick = rng.uniform(1.2, 1.5), rng.uniform(0.13, 0.16)
    deep = rng.uniform(0.28, 0.36)
    end = r + length
    bow = Part([_arc(0, 0, r, r * rng.uniform(0.9, 1.1)), _arc(-r * 0.25, 0, hole, hole)[::-1]])
    shaft = Part([_box(r * 0.8, -thick, end, thick)])
    teeth = [
        Part([_box(end - 0.24, 0, end, thick + deep)]),
        Part([_box(end - 0.68, 0, end - 0.44, thick + deep * rng.uniform(0.6, 1.0))]),
    ]
    collar = Part([_box(r * 1.02, -thick, r * 1.02 + 0.14, thick)], detail=True)
    mark = Part([_arc(r * 0.5, 0, 0.13, 0.2)], detail=True)
    return [*teeth, shaft, bow, collar, mark]


def umbrella(rng):
    """A scalloped canopy, a stick with a hook, a tip; two panels of the canopy in another tone."""
    rx, ry = rng.uniform(0.95, 1.1), rng.uniform(0.72, 0.9)
    lobes = 4
    edge = np.linspace(rx, -rx, lobes + 1)
    scallops = [
        _arc((a + b) / 2, 0, (a - b) / 2, 0.17, start=0, end=-180, points=10) for a, b in itertools.pairwise(edge)
    ]
    canopy = Part([np.concatenate([_arc(0, 0, rx, ry, start=180, end=360), *scallops])])
    thick, down, hook = 0.085, rng.uniform(0.85, 1.05), rng.uniform(0.2, 0.26)
    side = rng.choice([-1, 1])
    crook = np.concatenate(
        [
            _arc(hook, down, hook + thick, hook + thick, start=180, end=0, points=16),
            _arc(hook, down, hook - thick, hook - thick, start=0, end=180, points=16),
        ]
    )
    stick = Part([_box(-thick, -0.3, thick, down + 0.02)])
    tip = Part([_box(-thick * 0.8, -ry - 0.16, thick * 0.8, -ry + 0.1)])
    top = np.array([[0.0, -ry * 0.97]])
    panels = [
        Part([np.concatenate([top, [(a * 0.97, -0.1), ((a + b) / 2, -0.2), (b * 0.97, -0.1)]])], detail=True)
        for a, b in ((edge[0], edge[1]), (edge[2], edge[3]))
    ]
    return [stick, Part([crook * (side, 1)]), tip, canopy, *panels]


def fish(rng):
    """A body, a forked tail, a back fin; an eye and a gill."""
    rx, ry = rng.uniform(0.78, 0.92), rng.uniform(0.42, 0.54)
    spread, fork = rng.uniform(0.42, 0.55), rng.uniform(0.1, 0.22)
    tail = Part([np.array([(0.6 * rx, 0), (rx + 0.5, -spread), (rx + 0.5 - fork, 0), (rx + 0.5, spread)], float)])
    fin = Part([np.array([(-0.35, -ry * 0.8), (0.1, -ry - rng.uniform(0.22, 0.34)), (0.42, -ry * 0.7)], float)])
    body = Part([_arc(0, 0, rx, ry, points=36)])
    eye = Part([_arc(-rx * 0.62, -ry * 0.18, 0.1, 0.1, points=14)], detail=True)
    gill = Part(
        [
            np.concatenate(
                [
                    _arc(-rx * 0.42, 0, 0.2, ry * 0.62, start=-80, end=80, points=12),
                    _arc(-rx * 0.42, 0, 0.06, ry * 0.62, start=80, end=-80, points=12),
                ]
            )
        ],
        detail=True,
    )
    return [tail, fin, body, eye, gill]


def house(rng):
    """Walls, a gable roof that overhangs, a chimney; a door and a window."""
    w, h = rng.uniform(0.55, 0.66), rng.uniform(0.4, 0.52)
    eaves, ridge = w + rng.uniform(0.14, 0.22), rng.uniform(0.55, 0.72)
    walls = Part([_box(-w, -h, w, h)])
    roof = Part([np.array([(-eaves, -h + 0.04), (0, -h - ridge), (eaves, -h + 0.04)], float)])
    at = w * rng.uniform(0.42, 0.6)
    chimney = Part([_box(at, -h - ridge * 0.95, at + 0.2, -h)])
    door = Part([_box(-w * 0.6, 0.0, -w * 0.15, h)], detail=True)
    window = Part([_box(w * 0.2, -h * 0.45, w * 0.68, h * 0.2)], detail=True)
    return [chimney, walls, roof, door, window]


SHAPES = {1: mug, 2: key, 3: umbrella, 4: fish, 5: house}
CLASSES: dict[int, str] = {category: shape.__name__ for category, shape in SHAPES.items()}
