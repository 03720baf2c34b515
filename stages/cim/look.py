"""How `tag2mask inspect` shows a store mined/1: what each branch mined while the network learned."""

import numpy as np

from tag2mask.view.describe import ROWS, grid, named, rest


def lines(table, names):
    """By iteration and branch: seeds and mined ones a photo, mean class and integrity scores of the mined."""
    if not len(table["mined"]):
        return ["no snapshots of the training: set cim.snapshots"]
    rows, images = [], max(1, len(table["image_id"]))
    for iteration in np.unique(table["iteration"]):
        for branch in np.unique(table["branch"]):
            part = (table["iteration"] == iteration) & (table["branch"] == branch)
            mined = part & (table["mined"] > 0)
            means = [float(table[name][mined].mean()) if mined.any() else 0.0 for name in ("score", "integrity")]
            seeds = float(table["seed"][part].sum()) / images
            rows.append((int(iteration), int(branch), seeds, float(mined.sum()) / images, *means))
    heads = ("iteration", "branch", "seeds a photo", "mined a photo", "their score", "their integrity")
    count = f"{len(table['image_id'])} images, {len(table['mined']):,} scores; branch 0 is the anti-noise branch"
    return [count, "", *grid(heads, rows)]


def lines_of(table, i, names):
    """What was mined in image i, the last iteration first."""
    part = np.flatnonzero((table["image"] == i) & (table["mined"] > 0))
    part = part[np.lexsort((part, table["branch"][part], -table["iteration"][part]))]
    heads = ("iteration", "branch", "class", "proposal", "score", "integrity")
    rows = [
        (int(table["iteration"][n]), int(table["branch"][n]), named(names, int(table["category"][n])),
         int(table["proposal"][n]), float(table["score"][n]), float(table["integrity"][n]))
        for n in part
    ]  # fmt: skip
    return [f"{table['image_id'][i]}: {len(rows)} mined", "", *grid(heads, rows[:ROWS]), *rest(len(rows))]


def draw(table, i, *, names, title):
    """Bars of how many proposals each branch mined at the end, in the store or in image i: (H, W, 3) uint8."""
    from tag2mask.view import draw, picture

    last = (table["iteration"] == table["iteration"].max(initial=0)) & (table["mined"] > 0)
    if i is not None:
        last &= table["image"] == i
    palette = draw.Palette(range(1, 1 + len(np.unique(table["branch"]))))
    rows = [
        (f"branch {branch}", float((last & (table["branch"] == branch)).sum()), palette(int(branch) + 1))
        for branch in np.unique(table["branch"])
    ]
    return picture.bars(rows, title=f"{title}: mined at the end", unit="")
