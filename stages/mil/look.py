"""How `tag2mask inspect` shows a store mil/1: class probabilities of every image's proposals."""

import numpy as np

from tag2mask.view.describe import ROWS, grid, named, rest


def lines(table, names):
    """Of every class its mean probability, and of how many proposals it is the most probable."""
    p, labels = table["p"], table.meta["labels"]
    top = p.argmax(1) if len(p) else np.zeros(0, int)
    rows = [
        (int(c), named(names, c), float(p[:, k].mean()) if len(p) else 0.0, int((top == k).sum()))
        for k, c in enumerate(labels)
    ]
    heads = ("category", "name", "mean p", "most probable of")
    count = f"{len(table['image_id'])} images, {len(p)} proposals, feature of {table['f'].shape[1]} numbers"
    return [count, "", *grid(heads, rows)]


def lines_of(table, i, names):
    """The proposals of image i, with p of the classes that occur."""
    part = slice(*table["first"][i : i + 2])
    p = table["p"][part]
    used = np.flatnonzero(p.any(0)) if len(p) else []
    heads = ("proposal", *(named(names, table.meta["labels"][k]) for k in used))
    rows = [(int(n), *map(float, one[used])) for n, one in zip(table["row"][part], p)]
    return [f"{table['image_id'][i]}: {len(rows)} proposals; p of the classes that occur", "",
            *grid(heads, rows[:ROWS]), *rest(len(rows))]  # fmt: skip


def draw(table, i, *, names, title):
    """Bars of the classes' mean probability, in the store or in image i: (H, W, 3) uint8."""
    from tag2mask.view import draw, picture

    palette = draw.Palette([c for c in names if c > 0])
    p = table["p"][slice(None) if i is None else slice(*table["first"][i : i + 2])]
    rows = [
        (named(names, c), float(p[:, k].mean()) if len(p) else 0.0, palette(c))
        for k, c in enumerate(table.meta["labels"])
    ]
    return picture.bars(rows, title=f"{title}: mean class probability of {len(p)} proposals", unit="")
