"""Binary partition trees over one superpixel graph, each by another cue; their nodes as sets of superpixels."""

import heapq

import higra as hg
import numpy as np
from scipy import sparse

from tag2mask.data.regions import ward


def scaled(features, edges):
    """`features` (S, C) divided so that the mean squared distance over the graph's edges is 1; zeros stay zeros."""
    step = features[edges[:, 0]] - features[edges[:, 1]]
    mean = float((step**2).sum(1).mean())
    return features / np.sqrt(mean) if mean > 0 else features


def boundary_tree(edges, length, strength, number):
    """Parents of the tree that merges across the weakest mean boundary first (mean Pb hierarchy).

    edges : (E, 2). length : (E,) pixels. strength : (E,) mean gradient. Returns as `ward` does.
    Source: Arbelaez et al., PAMI 2011, Sec. 4 (their contours are learned, these are colour differences).
    """
    graph = hg.UndirectedGraph(number)
    graph.add_edges(edges[:, 0], edges[:, 1])
    tree, _ = hg.binary_partition_tree_average_linkage(graph, strength, length)
    return np.asarray(tree.parents()).astype(np.int64)


def balanced_tree(edges, length, strength, sizes, *, power):
    """Parents of the tree that merges first where mean boundary times (smaller area)^power is least.

    As `boundary_tree`, which it is where `power` is 0; sizes : (S,) pixels. Without areas a large region swallows its
    small neighbours one by one, so that small objects are nodes of no tree; the higher the power, the longer large
    regions wait. Of equal pairs the lower numbers merge first. Ours.
    """
    leaves = len(sizes)
    if power == 0:
        return boundary_tree(edges, length, strength, leaves)
    size = np.asarray(sizes, np.float64).tolist()
    near = [{} for _ in range(leaves)]  # node -> {neighbour: (length, sum of the boundary)}, None once it is merged
    for (a, b), pixels, mean in zip(edges.tolist(), length.tolist(), strength.tolist()):
        near[a][b] = near[b][a] = (pixels, pixels * mean)
    queue = [(mean * min(size[a], size[b]) ** power, a, b) for (a, b), mean in zip(edges.tolist(), strength.tolist())]
    heapq.heapify(queue)
    parents = list(range(2 * leaves - 1))
    for new in range(leaves, 2 * leaves - 1):
        a = b = None
        while a is None or near[a] is None or near[b] is None:
            _, a, b = heapq.heappop(queue)
        few, many = sorted((near[a], near[b]), key=len)
        for node, (pixels, total) in few.items():
            more, sum_ = many.get(node, (0.0, 0.0))
            many[node] = (pixels + more, total + sum_)
        near[a] = near[b] = None
        parents[a] = parents[b] = new
        del many[a], many[b]
        near.append(many)
        size.append(size[a] + size[b])
        for node, (pixels, total) in many.items():
            near[node].pop(a, None)
            near[node].pop(b, None)
            near[node][new] = (pixels, total)
            heapq.heappush(queue, (total / pixels * min(size[node], size[new]) ** power, node, new))
    return np.array(parents, np.int64)


def grow(names, cue, *, edges, length, contours, sizes, powers=(0.0,)):
    """One tree per name: cues joined by "+" ("lab+place"), each cue scaled alike, or contours.

    cue : dict of (S, C). contours : dict of (E,) mean boundaries; "boundary" is one tree, others are one for each of
    `powers` of the smaller area. Returns a list of (2 S - 1,) int64 parents.
    """
    number = len(sizes)
    if number == 1:
        return [np.zeros(1, np.int64)]
    made = []
    for name in names:
        if name in contours:
            for power in (0.0,) if name == "boundary" else powers:
                made.append(balanced_tree(edges, length, contours[name], sizes, power=power))
            continue
        features = np.concatenate([scaled(cue[part], edges) for part in name.split("+")], 1)
        made.append(ward(edges, features, sizes))
    return made


def node_spans(parents):
    """The superpixels of every node as an interval of one permutation.

    parents : (2 S - 1,). Returns (order (S,) int64, first (2 S - 1,), last): node n holds order[first[n]:last[n]].
    """
    total = len(parents)
    leaves = (total + 1) // 2
    count = np.zeros(total, np.int64)
    count[:leaves] = 1
    up = parents.tolist()
    counts = count.tolist()
    for node in range(total - 1):
        counts[up[node]] += counts[node]
    first = [0] * total
    free = [0] * total  # where the next child of a node begins
    for node in range(total - 2, -1, -1):
        parent = up[node]
        first[node] = free[node] = free[parent]
        free[parent] += counts[node]
    first = np.array(first)
    order = np.empty(leaves, np.int64)
    order[first[:leaves]] = np.arange(leaves)
    return order, first, first + np.array(counts)


def accumulated(parents, leaf):
    """(2 S - 1,) float64: sums of `leaf` (S,), or of values of all nodes, over every node's subtree."""
    values = np.zeros(len(parents))
    values[: len(leaf)] = leaf
    values = values.tolist()
    for node, parent in enumerate(parents.tolist()[:-1]):
        values[parent] += values[node]
    return np.array(values)


def contour_sums(parents, edges, values, border):
    """(2 S - 1,) float64: sums over every node's contour of `values` (E,) of the edges and `border` (S,) of the photo.

    An edge is on the contours of the nodes below the one that joins its ends: each end adds it, the join takes
    both back.
    """
    leaves = len(border)
    total = np.zeros(len(parents))
    total[:leaves] = border
    if leaves > 1:
        np.add.at(total, edges[:, 0], values)
        np.add.at(total, edges[:, 1], values)
        joins = hg.Tree(parents).lowest_common_ancestor(edges[:, 0], edges[:, 1])
        total -= 2 * np.bincount(joins, weights=values, minlength=len(parents))
    return accumulated(parents, total)


def nodes(parents, names, *, sizes, edges, length, strength, border, min_area):
    """The nodes of one tree of at least `min_area` pixels and its root, as `candidates` joins them.

    names : (S,) uint64. Returns (membership (n, S) float32 CSR, area (n,), sum of the names (n,) uint64, logarithm of
    the parent's area over its own (n,), mean contrast of the contour (n,)).
    """
    order, first, last = node_spans(parents)
    area = interval_sums(sizes[order], first, last)
    key = interval_sums(names[order], first, last)
    contour = contour_sums(parents, edges, length, border)
    contrast = contour_sums(parents, edges, length * strength, np.zeros(len(sizes))) / np.maximum(contour, 1)
    stays = np.log(area[parents] / area)
    keep = np.flatnonzero((area >= min_area) | (np.arange(len(parents)) == len(parents) - 1))
    span = last[keep] - first[keep]
    inner = np.arange(span.sum()) - np.repeat(np.cumsum(span) - span, span) + np.repeat(first[keep], span)
    starts = np.concatenate(([0], np.cumsum(span)))
    membership = sparse.csr_matrix((np.ones(len(inner), np.float32), order[inner], starts), (len(keep), len(sizes)))
    return membership, area[keep], key[keep], stays[keep], np.maximum(contrast[keep], 0)


def sets(given, names, *, stays, sizes, edges, length, strength, border, min_area):
    """The same of sets (k, S) bool of superpixels that are nodes of no tree; stays : float, of all of them."""
    given = given[given @ sizes >= min_area]
    cut = (given[:, edges[:, 0]] != given[:, edges[:, 1]]).astype(np.float64)
    contrast = cut @ (length * strength) / np.maximum(cut @ length + given @ border, 1)
    key = np.where(given, names, np.uint64(0)).sum(1, dtype=np.uint64)
    return sparse.csr_matrix(given, dtype=np.float32), given @ sizes, key, np.full(len(given), stays), contrast


def candidates(parents, *, sizes, edges, length, strength, border, min_area, contour_power, given=()):
    """All nodes of all trees of at least `min_area` pixels, equal sets once, with their weight.

    parents : list of (2 S - 1,). sizes : (S,) pixels. edges : (E, 2), length : (E,) pixels, strength : (E,) contrast.
    border : (S,) pixels on the photo's border. given : (k, S) bool, more sets. Returns (membership (n, S) float32 CSR
    of 0 and 1, area (n,) float64, weight (n,) float64), larger first, ties by first appearance. The whole photo is
    always one of them.

    The weight before contours is the chance that a node is met when a pixel, a logarithm of area and a tree are drawn
    evenly: area(node) / area(photo) * ln(area(parent) / area(node)) / trees, summed over equal sets. So every octave
    of area weighs the same, and a region that stays as it is over a wide range of scales weighs more. It is then
    multiplied by the mean contrast of the contour, where the photo's border counts as contrast 0, to the power
    `contour_power`, and scaled so that every octave keeps its weight. A given set counts as one that stays as it is
    over an octave in every tree. Ours.
    """
    sizes = np.asarray(sizes, np.float64)
    # Sums of random numbers name the sets: integers, so that equal sets have equal sums whatever the order.
    names = np.random.default_rng(0).integers(1, 2**62, size=len(sizes), dtype=np.uint64)
    graph = dict(sizes=sizes, edges=edges, length=length, strength=strength, border=border, min_area=min_area)
    parts = [nodes(up, names, **graph) for up in parents]
    if len(given):
        parts.append(sets(given, names, stays=len(parents) * np.log(2), **graph))
    membership, *columns = zip(*parts)
    area, key, stays, contrast = (np.concatenate(column) for column in columns)
    chance = area / sizes.sum() * stays / len(parents)
    _, once, same = np.unique(key, return_index=True, return_inverse=True)
    chance = np.bincount(same, weights=chance, minlength=len(once))
    by_size = np.lexsort((once, -area[once]))
    rows = once[by_size]
    weight = weigh(chance[by_size], area[rows], contrast[rows], power=contour_power)
    return sparse.vstack(membership, format="csr")[rows], area[rows], weight


def interval_sums(values, first, last):
    """Sums of `values` (S,) over the intervals first..last (exclusive), in the values' own type."""
    running = np.concatenate((np.zeros(1, values.dtype), np.cumsum(values, dtype=values.dtype)))
    return running[last] - running[first]


def octaves(area):
    """floor(log2(area)) as int64; areas in pixels, at least 1."""
    return np.floor(np.log2(np.maximum(area, 1))).astype(np.int64)


def weigh(chance, area, contrast, *, power):
    """chance * contrast^power, scaled so that each octave of area keeps the sum of `chance`; all (n,) float64."""
    octave = octaves(area)
    raised = chance * contrast**power
    before, after = np.bincount(octave, weights=chance), np.bincount(octave, weights=raised)
    factor = np.divide(before, after, out=np.zeros_like(before), where=after > 0)
    return raised * factor[octave]
