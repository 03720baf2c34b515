"""Which tiles of nodes are compared: all pairs of nodes with a tag in common, a pair with several (nearly) once."""

import numpy as np


def tile_pairs(groups, total, *, tile, panel):
    """(nodes, (panel a, panel b), a, b) for every pair of tiles to compare, tag by tag, the largest tag first.

    groups : list of (n,) sorted int arrays, nodes below `total`. tile, panel : nodes per tile and per panel. nodes :
    (n,) int64, the nodes of one tag, those alike in the tags done before side by side; the rest are slices of it.
    Two tiles whose nodes all have one of those tags in common were compared there and are left out. Tiles meet
    themselves before they meet others, panels too.
    """
    order = sorted(range(len(groups)), key=lambda g: (-len(groups[g]), g))
    member = np.zeros((total, (len(groups) + 7) // 8), np.uint8)
    for place, g in enumerate(order):
        nodes = groups[g]
        if len(nodes) > 1:
            before = member[nodes][:, : place // 8 + 1]
            sorting = np.lexsort((nodes, *before.T[::-1]))
            nodes, before = np.asarray(nodes, np.int64)[sorting], before[sorting]
            yield from _within(nodes, before, tile=tile, panel=panel)
        member[groups[g], place // 8] |= np.uint8(128 >> place % 8)


def _within(nodes, before, *, tile, panel):
    """The pairs of tiles of one tag. before : (n, bytes) uint8, a bit for each tag done before, aligned with nodes."""
    panels = parts(slice(0, len(nodes)), panel)
    tiles = [parts(one, tile) for one in panels]
    shared = [[np.bitwise_and.reduce(before[t], axis=0) for t in own] for own in tiles]
    pairs = [(p, q) for p in range(len(panels)) for q in range(p, len(panels))]
    for p, q in sorted(pairs, key=lambda pair: pair[0] != pair[1]):
        meetings = [(s, t) for s in range(len(tiles[p])) for t in range(s if p == q else 0, len(tiles[q]))]
        for s, t in sorted(meetings, key=lambda meeting: p == q and meeting[0] != meeting[1]):
            if not (shared[p][s] & shared[q][t]).any():
                yield nodes, (panels[p], panels[q]), tiles[p][s], tiles[q][t]


def parts(whole, size):
    """The slice `whole` cut into slices of nearly equal length, at most `size`."""
    number = -(-(whole.stop - whole.start) // size)
    cuts = np.linspace(whole.start, whole.stop, number + 1).astype(int)
    return [slice(int(i), int(j)) for i, j in zip(cuts, cuts[1:])]
