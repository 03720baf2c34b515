"""How `tag2mask inspect` shows a store graph/1: the edges between the proposals of all images."""

import numpy as np

from tag2mask.view.describe import ROWS, grid

lines_of = None  # there are no single images in it


def lines(table, names):
    """Nodes, edges, cosines, and how many nodes have how many edges."""
    nodes, edges = table.meta["nodes"], table["edge"]
    degree = np.bincount(edges.ravel(), minlength=nodes)
    count = f"{nodes} nodes, {len(edges)} edges, {int((degree == 0).sum())} nodes without one"
    if not len(edges):
        return [count, ""]
    parts = np.percentile(table["cosine"], (0, 25, 50, 75, 100))
    rows = [(d, int((degree == d).sum())) for d in np.unique(degree)[:ROWS].tolist()]
    return [count, "", "cosine, quartiles: " + ", ".join(f"{one:.3f}" for one in parts), "",
            *grid(("edges of a node", "nodes"), rows)]  # fmt: skip


def draw(table, i, *, names, title):
    """Bars of how many edges have which cosine: (H, W, 3) uint8."""
    from tag2mask.view import picture

    counts, edges = np.histogram(table["cosine"], bins=20)
    rows = [(f"{a:.2f} to {b:.2f}", int(n), None) for n, a, b in zip(counts, edges, edges[1:])]
    return picture.bars(rows, title=f"{title}: cosine of the edges", unit="edges")
