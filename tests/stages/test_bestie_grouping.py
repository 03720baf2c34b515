"""Centres, clustered centres and grouping: against slow versions that follow the definitions, and by hand."""

from math import floor

import numpy as np
import pytest
import torch
from test_bestie_components import flooded

from stages.bestie.components import components
from stages.bestie.grouping import Centers, clustered_centers, find_centers, group

PLAIN = dict(length=2.5, area=(18, 24), threshold=0.05, distance=100.0, most=5)


# ---- slow versions: lists of (region, photo, y, x, value), pixel by pixel, centre by centre


def slow_centers(value, number, *, window, threshold, most):
    reach, found = window // 2, []
    for b, y, x in np.ndindex(value.shape):
        if not number[b, y, x] or value[b, y, x] < threshold:
            continue
        beaten = False
        for v in range(max(0, y - reach), min(value.shape[1], y + reach + 1)):
            for u in range(max(0, x - reach), min(value.shape[2], x + reach + 1)):
                if number[b, v, u] == number[b, y, x]:
                    beaten |= (-value[b, v, u], v, u) < (-value[b, y, x], y, x)
        if not beaten:
            found.append((number[b, y, x], b, y, x, value[b, y, x]))
    return strongest(found, most)


def strongest(found, most):
    kept = []
    for one in sorted(found, key=lambda c: (c[0], -c[4], c[1:4])):
        if sum(c[0] == one[0] for c in kept) < most:
            kept.append(one)
    return kept


def slow_clusters(centers, value, offset, number, classes, *, most, length, area, threshold, distance):
    short = (offset[:, 0] ** 2 + offset[:, 1] ** 2 < length**2) & (number > 0)
    cluster, many = flooded(np.where(short, classes, 0), 4)
    candidates = []
    for k in range(1, many + 1):
        pixels = np.argwhere(cluster == k).tolist()
        if not area[0] <= len(pixels) <= area[1]:
            continue
        b = pixels[0][0]
        y, x = (floor(sum(p[side] for p in pixels) / len(pixels) + 0.5) for side in (1, 2))
        region = number[tuple(pixels[0])]
        if value[b, y, x] > threshold and number[b, y, x] == region:
            candidates.append((region, k, b, y, x, value[b, y, x]))
    kept = list(centers)
    for region, _, *one in sorted(candidates, key=lambda c: (c[0], -c[5], c[1])):
        mine = [c for c in kept if c[0] == region]
        far = all((c[2] - one[1]) ** 2 + (c[3] - one[2]) ** 2 >= distance**2 for c in mine)
        if len(mine) < most and far:
            kept.append((region, *one))
    return sorted(kept, key=lambda c: c[0])  # stable: in a region those found go before


def slow_group(number, offset, centers):
    found = np.zeros(number.shape, np.int64)
    for b, y, x in np.ndindex(number.shape):
        best = None
        for row, (region, _, v, u, _) in enumerate(centers, 1):
            if region == number[b, y, x]:
                away = (v - (y + offset[b, 0, y, x])) ** 2 + (u - (x + offset[b, 1, y, x])) ** 2
                if best is None or away < best:
                    best, found[b, y, x] = away, row
    return found


def listed(centers):
    rows = zip(*(column.tolist() for column in (centers.region, centers.photo, centers.y, centers.x, centers.value)))
    return list(rows)


def centers_of(rows):
    """Centers of rows (region, rank, photo, y, x, value)."""
    columns = list(zip(*rows))
    return Centers(*(torch.tensor(column) for column in columns))


def random_case(seed, *, levels, size=(2, 18, 20), classes=2):
    """Value (few levels: many ties), regions, classes and offsets in quarters (their squares are exact)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes + 1, (size[0], 4, 4)) if classes else np.zeros((size[0], 4, 4), np.int64)
    map_ = coarse.repeat(5, 1).repeat(5, 2)[:, : size[1], : size[2]]
    number, count = components(torch.from_numpy(np.ascontiguousarray(map_)), connectivity=8)
    value = torch.from_numpy((rng.integers(0, levels + 1, size) / levels).astype(np.float32))
    offset = torch.from_numpy(rng.integers(-16, 17, (size[0], 2, *size[1:])).astype(np.float32) / 4)
    return value, number, count, torch.from_numpy(map_), offset


@pytest.mark.parametrize("seed", range(8))
def test_random_maps_centres_and_groups(seed):
    value, number, count, _, offset = random_case(seed, levels=(3, 10, 1000)[seed % 3])
    for window, threshold, most in ((3, 0.3, 100), (7, 0.0, 3), (15, 0.5, 2)):
        found = find_centers(value, number, count=count, window=window, threshold=threshold, most=most)
        expected = slow_centers(value.numpy(), number.numpy(), window=window, threshold=threshold, most=most)
        assert listed(found) == expected and len(expected) > 2
        ranks = [sum(c[0] == one[0] for c in expected[:k]) for k, one in enumerate(expected)]
        assert found.rank.tolist() == ranks
        grouped = group(number, offset, found, count=count)
        assert (grouped.numpy() == slow_group(number.numpy(), offset.numpy(), expected)).all()


@pytest.mark.parametrize("seed", range(8))
def test_random_maps_clustered_centres(seed):
    value, number, count, classes, offset = random_case(seed, levels=(2, 20)[seed % 2])
    keys = dict(most=2 + seed % 3, length=2.5, area=(2, 9), threshold=0.1, distance=4.0 + seed % 4)
    for threshold in (0.95, 2.0):  # some centres found before, or none
        before = find_centers(value, number, count=count, window=9, threshold=threshold, most=keys["most"])
        found = clustered_centers(before, value, offset, number, classes=classes, count=count, **keys)
        args = (value.numpy(), offset.numpy(), number.numpy(), classes.numpy())
        expected = slow_clusters(listed(before), *args, **keys)
        assert listed(found) == expected and (threshold < 1 or len(expected) > 2)
        ranks = [sum(c[0] == one[0] for c in expected[:k]) for k, one in enumerate(expected)]
        assert found.rank.tolist() == ranks


# ---- centres by hand


def one_region(value):
    value = torch.tensor([value])
    return value, torch.ones(value.shape, dtype=torch.int64)


def test_centres_by_hand():
    value, number = one_region([[0.2, 0.9, 0.1, 0.3, 0.1, 0.4]])
    found = find_centers(value, number, count=1, window=3, threshold=0.3, most=5)
    # 0.9 at x 1, 0.4 at x 5 and 0.3 at x 3 (the threshold itself counts) are the largest of three, strongest first
    assert found.x.tolist() == [1, 5, 3] and found.rank.tolist() == [0, 1, 2] and found.region.tolist() == [1, 1, 1]
    assert find_centers(value, number, count=1, window=3, threshold=0.3, most=2).x.tolist() == [1, 5]
    # window 5: 0.3 sees 0.9 and 0.4; 0.4 sees up to x 3
    assert find_centers(value, number, count=1, window=5, threshold=0.3, most=5).x.tolist() == [1, 5]


def test_of_ties_the_first_in_row_order_is_the_centre():
    value, number = one_region([[0.1, 0.5, 0.5], [0.5, 0.5, 0.1]])
    found = find_centers(value, number, count=1, window=3, threshold=0.3, most=5)
    assert (found.y.tolist(), found.x.tolist()) == ([0], [1])
    flat, number = one_region([[0.5] * 30] * 3)  # a plateau wider than the window: still one
    found = find_centers(flat, number, count=1, window=5, threshold=0.3, most=5)
    assert (found.y.tolist(), found.x.tolist()) == ([0], [0])
    apart, number = one_region([[0.5, 0.1, 0.1, 0.5, 0.1, 0.1, 0.5]])  # equal, but out of each other's window
    assert find_centers(apart, number, count=1, window=5, threshold=0.3, most=2).x.tolist() == [0, 3]


def test_regions_do_not_see_each_other():
    value = torch.tensor([[[0.4, 0.9, 0.5, 0.8]]])
    number = torch.tensor([[[1, 0, 2, 2]]])
    found = find_centers(value, number, count=2, window=7, threshold=0.3, most=5)
    # the 0.9 belongs to no region and rules nobody out
    assert listed(found) == [(1, 0, 0, 0, pytest.approx(0.4)), (2, 0, 0, 3, pytest.approx(0.8))]


def test_no_region_no_centre_or_nothing_above_the_threshold():
    value = torch.rand(2, 6, 6)
    offset = torch.zeros(2, 2, 6, 6)
    nothing = torch.zeros(2, 6, 6, dtype=torch.int64)
    everything = nothing + 1
    for number, count, threshold in ((nothing, 0, 0.1), (everything, 1, 2.0)):
        found = find_centers(value, number, count=count, window=5, threshold=threshold, most=5)
        assert all(len(column) == 0 for column in found)
        more = clustered_centers(found, value, offset, number, classes=number, count=count, **PLAIN)
        assert all(len(column) == 0 for column in more)
        grouped = group(number, offset, found, count=count)
        assert grouped.shape == (2, 6, 6) and not grouped.any()


# ---- clustered centres by hand


def pointing(points, size):
    """Offsets (1, 2, H, W) from every pixel to the nearest of `points` (y, x)."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.stack([(y - v) ** 2 + (x - u) ** 2 for v, u in points])
    nearest = np.array(points)[away.argmin(0)]
    return torch.from_numpy(np.stack([nearest[..., 0] - y, nearest[..., 1] - x])[None].astype(np.float32))


def clustered(points, values, *, size=(9, 60), before=(), **keys):
    """x of the centres that offsets to `points` on one region show; values: {(y, x): C}."""
    number = torch.ones((1, *size), dtype=torch.int64)
    value = torch.zeros((1, *size))
    for place, v in values.items():
        value[0, place[0], place[1]] = v
    centers = centers_of(before) if before else find_centers(value, number, count=1, window=3, threshold=2, most=5)
    keys = {**PLAIN, **keys}
    found = clustered_centers(centers, value, pointing(points, size), number, classes=number, count=1, **keys)
    assert found.rank.tolist() == list(range(len(found.x)))
    return list(zip(found.y.tolist(), found.x.tolist()))


def test_a_cluster_has_21_pixels_and_its_centroid_is_the_centre():
    # within 2.5 pixels of a point lie the whole-numbered steps of squared length 0, 1, 2, 4, 5: 1 + 4 + 4 + 4 + 8 = 21
    assert clustered([(4, 20)], {(4, 20): 0.06}) == [(4, 20)]
    assert clustered([(4, 20)], {(4, 20): 0.06}, area=(21, 21)) == [(4, 20)]
    assert clustered([(4, 20)], {(4, 20): 0.06}, area=(22, 24)) == []
    assert clustered([(4, 20)], {(4, 20): 0.06}, area=(18, 20)) == []
    # at the border half of it is missing: rows 0 to 2 hold 5 + 5 + 3 = 13 pixels, too few
    assert clustered([(0, 20)], {(0, 20): 0.06}) == []


def test_clusters_are_short_offsets_alone():
    # length 2: squared lengths 0, 1, 2 remain, 9 pixels (that of length exactly 2 is not shorter)
    assert clustered([(4, 20)], {(4, 20): 0.06}, length=2.0, area=(9, 9)) == [(4, 20)]


def test_the_centre_map_must_be_above_the_threshold_there():
    assert clustered([(4, 20)], {(4, 20): 0.5}, threshold=0.5) == []
    assert clustered([(4, 20)], {(4, 21): 0.9}) == []


def test_no_other_centre_within_the_distance():
    # at a distance of 100 exactly the other is not nearer than 100
    points, values = [(4, 10), (4, 110)], {(4, 10): 0.2, (4, 110): 0.1}
    assert clustered(points, values, size=(9, 130)) == [(4, 10), (4, 110)]
    points, values = [(4, 10), (4, 109)], {(4, 10): 0.1, (4, 109): 0.2}
    assert clustered(points, values, size=(9, 130)) == [(4, 109)]  # the stronger one
    # a centre found in the map rules out what is near it, however strong
    assert clustered(points, values, size=(9, 130), before=[(1, 0, 0, 4, 60, 0.01)]) == [(4, 60)]
    # what was ruled out rules nobody out: 0.3 at 80 goes before 0.2 at 150 (70 away), 10 is 70 from 80 too; so with
    # distance 100 the 80 alone, with 75 as well, with 70 all three
    points, values = [(4, 10), (4, 80), (4, 150)], {(4, 10): 0.1, (4, 80): 0.3, (4, 150): 0.2}
    for distance, expected in ((100, [80]), (75, [80]), (70, [80, 150, 10])):
        assert [x for _, x in clustered(points, values, size=(9, 170), distance=distance)] == expected
    values = {(4, 10): 0.3, (4, 80): 0.2, (4, 150): 0.1}  # 80 falls to 10, and 150 is 140 from 10
    assert [x for _, x in clustered(points, values, size=(9, 170))] == [10, 150]


def test_a_component_with_most_centres_takes_no_cluster():
    before = [(1, 0, 0, 4, 150, 0.9)]
    assert clustered([(4, 10)], {(4, 10): 0.5}, size=(9, 170), before=before, most=1) == [(4, 150)]
    assert clustered([(4, 10)], {(4, 10): 0.5}, size=(9, 170), before=before, most=2) == [(4, 150), (4, 10)]


def test_clusters_do_not_cross_components():
    offset = torch.zeros(1, 2, 6, 8)  # 48 short offsets side by side, 24 a component
    number = torch.ones(1, 6, 8, dtype=torch.int64)
    number[..., 4:] = 2
    none = find_centers(torch.zeros(1, 6, 8), number, count=2, window=3, threshold=2, most=5)
    found = clustered_centers(none, torch.ones(1, 6, 8), offset, number, classes=number, count=2, **PLAIN)
    # centroid of rows 0..5 is 2.5, of columns 0..3 1.5, of 4..7 5.5: halves go up
    assert listed(found) == [(1, 0, 3, 2, 1.0), (2, 0, 3, 6, 1.0)]


def test_a_centroid_outside_its_component_is_no_centre():
    # a U of 7 pixels: mean row (0 + 1 + 2 + 2 + 2 + 1 + 0) / 7 = 8/7, mean column 1; (1, 1) is not in it
    number = torch.tensor([[[1, 0, 1], [1, 0, 1], [1, 1, 1]]])
    none = find_centers(torch.zeros(1, 3, 3), number, count=1, window=3, threshold=2, most=5)
    keys = dict(classes=number, count=1, **{**PLAIN, "area": (7, 7)})
    assert listed(clustered_centers(none, torch.ones(1, 3, 3), torch.zeros(1, 2, 3, 3), number, **keys)) == []
    full = torch.ones_like(number)  # with the two pixels the centroid is (1, 1), inside
    keys = dict(classes=full, count=1, **{**PLAIN, "area": (9, 9)})
    found = clustered_centers(none, torch.ones(1, 3, 3), torch.zeros(1, 2, 3, 3), full, **keys)
    assert listed(found) == [(1, 0, 1, 1, 1.0)]


# ---- grouping by hand (Eq. 1)


def test_grouping_by_hand():
    number = torch.ones(1, 1, 7, dtype=torch.int64)
    offset = torch.zeros(1, 2, 1, 7)
    centers = centers_of([(1, 0, 0, 0, 1, 0.9), (1, 1, 0, 0, 5, 0.8)])
    # without offsets the nearer centre; x = 3 is 2 from both: the stronger
    assert group(number, offset, centers, count=1).tolist() == [[[1, 1, 1, 1, 2, 2, 2]]]
    offset[0, 1, 0, 1] = 2.5  # x = 1 points at 3.5, nearer to 5
    offset[0, 0, 0, 6] = 9.0  # along y both are as far as before: x = 6 stays with 5
    assert group(number, offset, centers, count=1).tolist() == [[[1, 2, 1, 1, 2, 2, 2]]]


def test_components_without_a_centre_stay_empty():
    number = torch.tensor([[[1, 1, 0, 2, 2, 3]]])
    centers = centers_of([(1, 0, 0, 0, 0, 0.9), (3, 0, 0, 0, 5, 0.8)])
    assert group(number, torch.zeros(1, 2, 1, 6), centers, count=3).tolist() == [[[1, 1, 0, 0, 0, 2]]]


def test_many_centres_in_one_component():
    number = torch.ones(1, 1, 400, dtype=torch.int64)
    value = torch.zeros(1, 1, 400)
    value[..., ::4] = 0.5
    found = find_centers(value, number, count=1, window=5, threshold=0.1, most=1000)
    assert found.x.tolist() == list(range(0, 400, 4)) and found.rank.tolist() == list(range(100))
    grouped = group(number, torch.zeros(1, 2, 1, 400), found, count=1)
    assert torch.bincount(grouped.flatten()).tolist()[1:3] == [3, 4] and int(grouped.max()) == 100
