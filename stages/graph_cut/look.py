"""How `tag2mask inspect` shows a store labels/1: the labels of the proposals of all images."""

import numpy as np

from tag2mask.view.describe import grid, named

lines_of = None  # there are no single images in it


def lines(table, names):
    """How good the cut is, and how many nodes have which label."""
    label = table["label"]
    meta = [f"{key}: {one}" for key, one in table.meta.items()]
    rows = [
        (int(c), named(names, c), int((label == c).sum()), 100 * float((label == c).mean())) for c in np.unique(label)
    ]
    return [f"{len(label)} nodes; " + ", ".join(meta), "", *grid(("category", "name", "nodes", "per cent"), rows)]


def draw(table, i, *, names, title):
    """Bars of how many nodes have which label: (H, W, 3) uint8."""
    from tag2mask.view import draw, picture

    palette, label = draw.Palette([c for c in names if c > 0]), table["label"]
    rows = [(named(names, c), int((label == c).sum()), palette(c)) for c in np.unique(label)]
    return picture.bars(rows, title=f"{title}: label of the nodes", unit="nodes")
