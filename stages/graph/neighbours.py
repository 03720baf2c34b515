"""Exact k nearest neighbours by |cosine| among proposals whose images share a tag, tile by tile.

The memory is two tiles of features and one of similarities, whatever the number of proposals. Tiles are compared in
float32; the k + 13 best of a node are compared again in float64 on a grid of 2^-30, together with their numbers, so
that equal ones are ordered by number and the answer does not depend on tiles and the order of sums.
Source: LIID, Sec. 5.2 and 5.3 (three largest edge weights); the authors' code compares only proposals whose images
share a tag (design/peers.md).
"""

import numpy as np
import torch

GRID = 2**30
SPARE = 13  # candidates beyond k: more ties than that at the k-th place are not all looked at
NONE = -1  # key of "no neighbour"


def nearest(features, groups, *, k, tile=2048, device="cpu", progress=None):
    """(N, k) int64: for every node its k nearest among the nodes of its groups, nearest first; -1 where there are less.

    features : (N, D) float array (or memory map), rows read in tiles, lengths are divided out, a row of zeros is
    similar to nothing (cosine 0). groups : list of (n_g,) sorted int arrays, the nodes of one tag each; a node may
    stand in several and a neighbour found in several counts once. Nearest: largest |cosine|, of equals the smallest
    number. progress : wraps the list of row tiles.
    """
    total = len(features)
    best = torch.full((total, k), NONE, dtype=torch.int64)
    tiles = [(group, group[at : at + tile]) for group in groups if len(group) > 1 for at in range(0, len(group), tile)]
    for group, rows in progress(tiles) if progress else tiles:
        found = exact_keys(features, rows, candidates(features, rows, group, k=k, tile=tile, device=device))
        mine = torch.from_numpy(rows)
        best[mine] = merged(best[mine], found, total=total, k=k)
    best = best.numpy()
    return np.where(best == NONE, -1, total - 1 - best % max(total, 1))


def candidates(features, rows, group, *, k, tile, device):
    """(n, <= k + SPARE) int64 tensor: the nodes of `group` with the largest |cosine| to each of `rows`, in float32."""
    mine, row_numbers = unit_rows(features, rows, device), torch.from_numpy(rows).to(device)
    value = torch.empty((len(rows), 0), device=device)
    number = torch.empty((len(rows), 0), dtype=torch.int64, device=device)
    for at in range(0, len(group), tile):
        columns = torch.from_numpy(group[at : at + tile]).to(device)
        cosine = (mine @ unit_rows(features, group[at : at + tile], device).T).abs_()
        cosine[row_numbers[:, None] == columns] = -1.0
        top, place = cosine.topk(min(k + SPARE, len(columns)), dim=1)
        value, number = torch.cat([value, top], 1), torch.cat([number, columns[place]], 1)
        value, place = value.topk(min(k + SPARE, value.shape[1]), dim=1)
        number = number.gather(1, place)
    return number.cpu()


def exact_keys(features, rows, number):
    """(n, c) int64 keys, larger is nearer: |cosine| in float64 on the grid, then the smaller number; itself NONE."""
    total, keys = len(features), torch.empty_like(number)
    for at in range(0, len(rows), 256):
        part = number[at : at + 256]
        mine = unit_rows(features, rows[at : at + 256], "cpu", torch.float64)
        other = unit_rows(features, part.reshape(-1).numpy(), "cpu", torch.float64).view(*part.shape, -1)
        cosine = torch.einsum("nd,ncd->nc", mine, other).abs_()
        keys[at : at + 256] = (cosine * GRID).round_().long() * total + (total - 1 - part)
    return keys.masked_fill_(number == torch.from_numpy(rows)[:, None], NONE)


def merged(keys, found, *, total, k):
    """(n, k) int64: the k largest of two sets of keys per row, a neighbour that stands in both once."""
    both = torch.cat([keys, found], 1).sort(dim=1, descending=True).values
    node = both % total
    # A pair's key could differ in its last place between two calls, so neighbours are compared, not keys.
    same = (node[:, :, None] == node[:, None, :]).tril(-1) & (both[:, None, :] != NONE)
    return both.masked_fill_(same.any(2), NONE).topk(k, dim=1).values


def unit_rows(features, rows, device, dtype=torch.float32):
    """(n, D) tensor: rows of `features` at unit length, rows of zeros unchanged."""
    values = torch.from_numpy(np.asarray(features[rows])).to(device, dtype)
    return values / values.norm(dim=1, keepdim=True).clamp_min(1e-12)


def edges_of(neighbour, *, mutual):
    """(M, 2) int64 edges i < j, sorted, each once, of the (N, k) neighbour lists of `nearest`.

    mutual : both ends name each other; else one is enough.
    """
    n, k = neighbour.shape
    source, target = np.repeat(np.arange(n), k), neighbour.ravel()
    source, target = source[target >= 0], target[target >= 0]
    low, high = np.minimum(source, target), np.maximum(source, target)
    key, times = np.unique(low * max(n, 1) + high, return_counts=True)
    key = key[times == 2] if mutual else key
    return np.stack([key // max(n, 1), key % max(n, 1)], 1).astype(np.int64)


def cosines(features, edges, *, chunk=65536):
    """(M,) float32 in [-1, 1]: the cosine of the features at the two ends of every edge."""
    result = np.zeros(len(edges), np.float32)
    for at in range(0, len(edges), chunk):
        a, b = (np.asarray(features[edges[at : at + chunk, side]], np.float64) for side in (0, 1))
        length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        result[at : at + chunk] = np.clip((a * b).sum(1) / np.maximum(length, 1e-24), -1, 1)
    return result
