"""From centre and offset maps to instances: centres, clustered centres, grouping (BESTIE, Sec. 3.2 and 3.5, Eq. 1).

Everything works on regions: a map of numbers, 0 where nothing is looked for, whose pixels share a number where they
compete for the same centres. All operations run on whole batches, on the device that the maps lie on.
"""

from typing import NamedTuple

import torch

from stages.bestie.components import components

TOGETHER = 1 << 22  # values gathered at a time: bounds the memory of the windows


class Centers(NamedTuple):
    """N centres, region by region, in a region the strongest first (clustered ones after found ones).

    region : (N,) int64 number of the region, from 1. rank : (N,) int64 place in its region, from 0. photo, y, x : (N,)
    int64, place in the batch and pixel. value : (N,) float32, the centre map there.
    """

    region: torch.Tensor
    rank: torch.Tensor
    photo: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor
    value: torch.Tensor


def find_centers(value, number, *, count, window, threshold, most):
    """The local maxima of a centre map, at most `most` of a region.

    value : (B, H, W) float32, at each pixel the centre map of its region's class. number : (B, H, W) int64, 0 or the
    region of the pixel, 1 to `count`. window : odd side. A pixel is a centre when its value is at least `threshold` and
    no pixel of its region in the window around it is larger, or as large and earlier in row order. Returns Centers.
    Sources: BESTIE, Sec. 3.2 (max pooling); window, threshold and most of its released code.
    """
    place = ((number > 0) & (value >= threshold)).flatten().nonzero()[:, 0]
    reach = window // 2
    for part in sorted({min(1, reach), min(5, reach), reach}):  # small windows first: few pixels are left for the large
        place = place[highest(value, number, place, reach=part)]
    return best_of_regions(value, number, place, count=count, most=most)


def highest(value, number, place, *, reach):
    """(n,) bool: whether the pixels `place` (flat, of (B, H, W)) come first in their (2 reach + 1)^2 window."""
    pad = (reach,) * 4
    values = torch.nn.functional.pad(value, pad)
    numbers = torch.nn.functional.pad(number, pad)  # 0 beyond the border: no pixel's region
    height, width = value.shape[1:]
    wide = width + 2 * reach
    photo, y, x = unravel(place, (height, width))
    middle = (photo * (height + 2 * reach) + y + reach) * wide + x + reach
    step = torch.arange(-reach, reach + 1, device=place.device)
    around = (step[:, None] * wide + step).flatten()
    values, numbers = values.flatten(), numbers.flatten()
    kept = []
    for part in middle.split(max(1, TOGETHER // len(around))):
        near = part[:, None] + around
        theirs, mine = values[near], values[part][:, None]
        before = (theirs > mine) | ((theirs == mine) & (around < 0))
        kept.append(~(before & (numbers[near] == numbers[part][:, None])).any(1))
    return torch.cat(kept)


def best_of_regions(value, number, place, *, count, most):
    """Centers at the pixels `place` (flat, in row order), the `most` strongest of each region; of equals the first."""
    order = value.flatten()[place].argsort(descending=True, stable=True)
    order = order[number.flatten()[place[order]].argsort(stable=True)]
    region = number.flatten()[place[order]]
    rank = ranks(region, count)
    kept = (rank < most).nonzero()[:, 0]
    place = place[order[kept]]
    return Centers(region[kept], rank[kept], *unravel(place, value.shape[1:]), value.flatten()[place])


def counted(numbers, count):
    """(count,) int64: how often each of 0..count - 1 is among `numbers`. torch.bincount makes a GPU tell its length."""
    return torch.zeros(count, dtype=torch.int64, device=numbers.device).index_add_(0, numbers, torch.ones_like(numbers))


def ranks(region, count):
    """(n,) int64: how many equal numbers stand before each of the sorted numbers `region`, at most `count`."""
    number = counted(region, count + 1)
    first = number.cumsum(0) - number
    return torch.arange(len(region), device=region.device) - first[region]


def unravel(place, size):
    """(photo, y, x) of flat pixels of a (B, H, W) array, `size` = (H, W)."""
    height, width = size
    return place // (height * width), place // width % height, place % width


def table(centers, *, count, width):
    """(count + 1, width, 2) float32: y, x of each region's centres by rank, infinite where there is none."""
    found = torch.full((count + 1, width, 2), torch.inf, device=centers.y.device)
    found[centers.region, centers.rank] = torch.stack([centers.y, centers.x], 1).float()
    return found


def clustered_centers(centers, value, offset, number, *, classes, count, most, length, area, threshold, distance):
    """`centers` and those that only the offset map shows: where the offsets around a point are about zero.

    value, number, count, most : as in `find_centers`. offset : (B, 2, H, W) float32, y then x, pixels. classes :
    (B, H, W) int64, one class a region. A cluster is a 4-connected set of pixels of one region whose offsets are
    shorter than `length`, of at least area[0] and at most area[1] pixels; its centre is its centroid's pixel. It
    counts when it lies in its region, the centre map is above `threshold` there, and no other centre of the region is
    nearer than `distance`: the strongest cluster first (of equals the one that begins first in row order), until the
    region has `most` centres. Sources: BESTIE, Sec. 3.5 (center clustering); numbers: its released code.
    """
    short = (offset[:, 0] ** 2 + offset[:, 1] ** 2 < length**2) & (number > 0)
    cluster, clusters = components(torch.where(short, classes, 0), connectivity=4)
    place = cluster.flatten().nonzero()[:, 0]
    photo, y, x = unravel(place, value.shape[1:])
    of = cluster.flatten()[place] - 1
    pixels = counted(of, clusters)
    # sums of whole numbers: exact in any order
    sums = torch.zeros((3, clusters), dtype=torch.int64, device=value.device)
    sums[:2].index_add_(1, of, torch.stack([y, x]))
    sums[2].index_add_(0, of, photo)
    fit = ((pixels >= area[0]) & (pixels <= area[1])).nonzero()[:, 0]
    sums, pixels = sums[:, fit], pixels[fit]
    y, x = (2 * sums[:2] + pixels) // (2 * pixels)  # rounded, halves up
    photo = sums[2] // pixels
    region = torch.zeros(clusters, dtype=torch.int64, device=value.device)
    region[of] = number.flatten()[place]  # all pixels of a cluster say the same
    region = region[fit]
    height, width = value.shape[1:]
    place = (photo * height + y) * width + x
    strength = value.flatten()[place]
    fit = (strength > threshold) & (number.flatten()[place] == region)
    order = fit.nonzero()[:, 0]
    order = order[strength[order].argsort(descending=True, stable=True)]
    order = order[region[order].argsort(stable=True)]
    return accepted(
        centers, Centers(region, region, photo, y, x, strength), order, count=count, most=most, distance=distance
    )


def accepted(centers, more, order, *, count, most, distance):
    """`centers`, then of `more` (Centers, in the order `order`: by region, strongest first) those that are at least
    `distance` from all centres before them, until a region has `most`."""
    if not len(order):
        return centers
    more = Centers(*(column[order] for column in more))
    places = table(centers, count=count, width=most)
    used = counted(centers.region, count + 1)
    point = torch.stack([more.y, more.x], 1).float()
    away = ((places[more.region] - point[:, None]) ** 2).sum(2).amin(1)
    row = torch.arange(len(order), device=order.device)
    none = torch.full((1, 2), torch.inf, device=order.device)
    rank = torch.full_like(row, -1)
    left = away >= distance**2
    for _ in range(most):  # each round takes the first that is left of every region that has room
        left &= used[more.region] < most
        first = torch.full((count + 1,), len(row), device=order.device)
        first.scatter_reduce_(0, more.region, torch.where(left, row, len(row)), "amin")
        taken = row == first[more.region]
        rank = torch.where(taken, used[more.region], rank)
        away = ((torch.cat([point, none])[first[more.region]] - point) ** 2).sum(1)
        left &= (away >= distance**2) & ~taken
        used = used + (first < len(row))
    kept = (rank >= 0).nonzero()[:, 0]
    more = Centers(*(column[kept] for column in more._replace(rank=rank)))
    return together(centers, more)


def together(centers, more):
    """Centers of both, region by region, in a region those of `centers` first."""
    both = Centers(*(torch.cat(pair) for pair in zip(centers, more)))
    order = both.region.argsort(stable=True)
    return Centers(*(column[order] for column in both))


def group(number, offset, centers, *, count):
    """Instances: every pixel of a region goes to the centre of its region that its offset points nearest to (Eq. 1).

    number : (B, H, W) int64, count : as in `find_centers`. offset : (B, 2, H, W) float32, y then x, pixels. Returns
    (B, H, W) int64, 0 in regions without a centre, else 1 + the row of `centers`; of equal distances the centre of
    lower rank. Source: BESTIE, Sec. 3.2, Eq. 1.
    """
    found = torch.zeros(number.numel(), dtype=torch.int64, device=number.device)
    if not len(centers.region):
        return found.view(number.shape)
    width = int(centers.rank.max()) + 1
    places = table(centers, count=count, width=width)
    used = counted(centers.region, count + 1)
    first = used.cumsum(0) - used  # row of a region's centre of rank 0
    region = number.flatten()
    found = torch.where(used[region] > 0, first[region] + 1, 0)
    pixel = (used[region] > 1).nonzero()[:, 0]  # where there is a choice
    region = region[pixel]
    photo, y, x = unravel(pixel, number.shape[1:])
    aim = torch.stack([offset[photo, 0, y, x] + y, offset[photo, 1, y, x] + x], 1)
    best = ((places[region, 0] - aim) ** 2).sum(1)
    choice = torch.zeros_like(region)
    for rank in range(1, width):
        away = ((places[region, rank] - aim) ** 2).sum(1)  # infinite where a region has fewer
        choice = torch.where(away < best, rank, choice)
        best = torch.minimum(best, away)
    found[pixel] += choice
    return found.view(number.shape)
