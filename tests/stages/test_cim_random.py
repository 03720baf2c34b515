"""CIM against its slow versions (cim_slow.py) on random photos: masks of all kinds, ties, cues anywhere."""

import cim_slow as slow
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.cim import agpl, losses, mining, sets

CONTAIN, BIG = 0.85, 0.9


def cases(number):
    return settings(max_examples=number, derandomize=True, deadline=None)


@st.composite
def photos(draw, most=30):
    """(random numbers, masks (N, H, W)): the sizes drawn by themselves, so that a failure shrinks to a small photo."""
    height, width, number = draw(st.integers(2, 12)), draw(st.integers(2, 12)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng, random_masks(rng, number, height, width)


def random_masks(rng, number, height, width):
    """Rectangles, nested ones, unions of superpixels, copies, whole photos, single pixels and noise; none is empty."""
    superpixels = rng.integers(0, 6, (-(-height // 2), -(-width // 2))).repeat(2, 0).repeat(2, 1)[:height, :width]
    kinds, masks = rng.choice(7, size=int(rng.integers(1, 8))), []
    for _ in range(number):
        kind, mask = rng.choice(kinds), np.zeros((height, width), bool)
        if kind == 0:
            mask[rectangle(rng, height, width)] = True
        elif kind == 1 and masks:  # grows or shrinks an earlier one
            other, part = masks[rng.integers(len(masks))], np.zeros((height, width), bool)
            part[rectangle(rng, height, width)] = True
            mask = other | part if rng.random() < 0.5 else other & part
        elif kind == 2:
            mask = np.isin(superpixels, rng.integers(0, 6, int(rng.integers(1, 6))))
        elif kind == 3 and masks:
            mask = masks[rng.integers(len(masks))].copy()
        elif kind == 4:
            mask[:] = True
        elif kind == 5:  # noise, with holes and parts
            mask = rng.random((height, width)) < rng.random()
        if not mask.any():
            mask[rng.integers(height), rng.integers(width)] = True
        masks.append(mask)
    return np.stack(masks)


def rectangle(rng, height, width):
    y, x = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 1, 2))
    return slice(*y), slice(*x)


def scores_of(rng, number, columns):
    """(y, t) float64 (N, K + 1) in [0, 1]; mostly of few values, so that many are equal. Products are exact."""
    few = [np.array([0, 0.25, 0.5, 1]), np.arange(9) / 8, np.array([0.5]), np.arange(1, 1024) / 1024]
    values = few[rng.integers(4)]
    return rng.choice(values, (number, columns)), rng.choice(values, (number, columns))


def tags_of(rng, columns):
    return np.sort(rng.choice(np.arange(1, columns), size=int(rng.integers(0, columns)), replace=False))


def overlaps_of(masks, big=None):
    shared = torch.tensor(slow.shared_of(masks), dtype=torch.float32)
    big = slow.big_ones(masks, contain=CONTAIN, share=BIG) if big is None else big
    return mining.Overlaps(shared, shared.diagonal(), torch.tensor(big))


# ---- sets


def check_sets(photo):
    rng, masks = photo
    size = masks.shape[1:]
    asked = np.stack([rng.integers(0, size[0], 5), rng.integers(0, size[1], 5)], 1)
    runs, first = slow.runs_of(masks)
    start = int(rng.integers(0, 3))  # a photo's runs lie somewhere in those of all
    found, containing = sets.sets_of(runs, first + start, size, yx=asked)
    shared = np.array(slow.shared_of(masks))
    assert found.area.tolist() == shared.diagonal().tolist() and len(found) == len(masks)
    assert np.array_equal(found.shared().numpy(), shared)
    assert containing.tolist() == [[bool(mask[y, x]) for y, x in asked] for mask in masks]
    members = found.members()
    atoms = [tuple(np.flatnonzero(members[:, a]).tolist()) for a in range(len(found.sizes))]
    assert dict(zip(atoms, found.sizes.tolist())) == slow.atoms(masks) and len(set(atoms)) == len(atoms)


def check_grids(photo):
    rng, masks = photo
    height, width = masks.shape[1:]
    bins = int(rng.integers(1, 8))
    boxes = np.stack([rng.uniform(-1, width - 1, len(masks)), rng.uniform(-1, height - 1, len(masks)),
                      rng.uniform(0.5, width, len(masks)), rng.uniform(0.5, height, len(masks))], 1)  # fmt: skip
    for n in range(0, len(masks), 2):  # and boxes as they are in use, of the mask itself
        y, x = np.nonzero(masks[n])
        boxes[n] = x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1
    boxes = boxes.astype(np.float32)
    found = sets.grids(masks, boxes, bins=bins)
    assert found.dtype == torch.float32 and found.shape == (len(masks), bins, bins)
    for n, (mask, box) in enumerate(zip(masks, boxes)):
        assert found[n].numpy() == pytest.approx(slow.grid(mask, box, bins), abs=2e-5)


# ---- first labels


def check_first_labels(photo):
    rng, masks = photo
    size, count = masks.shape[1:], int(rng.integers(0, 6))
    peaks = np.stack([rng.integers(0, size[0], count), rng.integers(0, size[1], count)], 1)
    if rng.random() < 0.5 and count:  # where most proposals are
        y, x = np.unravel_index(masks.sum(0).argmax(), size)
        peaks[rng.integers(count)] = y, x
    columns = rng.integers(1, 4, count)
    options = dict(support=float(rng.choice([0.7, 0.5, 0.25])), support_iou=float(rng.choice([0.5, 0.6, 0.2])))
    found, containing = sets.sets_of(*slow.runs_of(masks), size, yx=peaks)
    labels = agpl.first_labels(found, containing, columns, **options)
    label, cluster = slow.first_labels(masks, peaks, columns, **options)
    assert labels.label.tolist() == label
    assert same_partition(labels.cluster.tolist(), cluster)
    assert sorted(set(labels.cluster.tolist()) - {-1}) == list(range(len(set(cluster) - {-1})))


def same_partition(found, wanted):
    pairs = set(zip(found, wanted))
    return len(pairs) == len(set(found)) == len(set(wanted)) and all((a == -1) == (b == -1) for a, b in pairs)


# ---- mining


def check_big_ones(photo):
    rng, masks = photo
    shared = torch.tensor(slow.shared_of(masks), dtype=torch.float32)
    options = dict(contain=float(rng.choice([0.85, 0.5, 0.75])), share=float(rng.choice([0.9, 0.5, 0.3, 0.7, 1.0])))
    found = mining.big_ones(shared, shared.diagonal(), **options)
    assert found.tolist() == slow.big_ones(masks, **options)


def check_nms(photo):
    rng, masks = photo
    number, lists = len(masks), int(rng.integers(0, 4))
    iou = torch.tensor([[float(slow.iou(one, other)) for other in masks] for one in masks], dtype=torch.float64)
    order = np.stack([rng.permutation(number) for _ in range(lists)]) if lists else np.zeros((0, number), int)
    valid, threshold = rng.random((lists, number)) < 0.8, float(rng.choice([0.25, 0.5, 0.35, 0.1]))
    among = torch.stack([iou[o][:, o] for o in order]) if lists else torch.zeros(0, number, number)
    found = mining.greedy_nms(among, torch.from_numpy(valid), threshold)
    for k in range(lists):
        able = [int(n) for n, one in zip(order[k], valid[k]) if one]
        kept = slow.nms(able, lambda i, j: slow.iou(masks[i], masks[j]), slow.number(threshold))
        assert [int(n) for n, one in zip(order[k], found[k].tolist()) if one] == kept


def mined_pair(rng, masks, kind):
    columns = int(rng.integers(2, 6))
    y, t = scores_of(rng, len(masks), columns)
    rank = y * t if kind == "mist" and rng.random() < 0.5 else y
    tags, overlaps = tags_of(rng, columns), overlaps_of(masks)
    options = dict(seed_share=float(rng.choice([0.1, 0.3, 0.7, 1.0])), seed_nms=float(rng.choice([0.25, 0.35, 0.5])),
                   contain=CONTAIN, kind=kind)  # fmt: skip
    tensors = [torch.from_numpy(one) for one in (y, t, tags)]
    found = mining.mine(overlaps, *tensors, rank=torch.from_numpy(rank), **options)
    big = overlaps.big.tolist()
    return found, [
        slow.mine(masks, big, y, t, tags, rank=rank, big_seeds=big_seeds, **options)
        for big_seeds in ((False,) if any(big) else (False, True))  # both readings where no proposal is big
    ]


def check_mine(photo, kind):
    found, wanted = mined_pair(*photo, kind)
    index = found.index.tolist()
    assert index == sorted(index)
    for mined, seeds in wanted:
        assert dict(zip(index, zip(found.column.tolist(), found.weight.tolist()))) == mined
        assert set(found.seeds.nonzero()[:, 0].tolist()) == seeds


def random_mined(rng, number, *, scale=64):
    """Any pseudo ground truth: some proposals, classes 1 to 3, weights of which many are equal or 0."""
    index = torch.from_numpy(np.flatnonzero(rng.random(number) < rng.choice([0.1, 0.5, 1])))
    weight = rng.integers(0, rng.choice([1, 3, 65]), len(index)) / scale
    column = torch.from_numpy(rng.integers(1, 4, len(index)))
    return mining.Mined(index, column, torch.from_numpy(weight), torch.zeros(number, dtype=torch.bool))


def check_sampled(photo):
    rng, masks = photo
    mined = random_mined(rng, len(masks))
    draws = rng.random(len(mined.index))
    found = mining.sampled(mined, torch.from_numpy(draws))
    stay = slow.sampled(*(one.tolist() for one in mined[:3]), draws)
    rows = [k for k, n in enumerate(mined.index.tolist()) if n in stay]
    assert found.index.tolist() == mined.index[rows].tolist()
    assert found.column.tolist() == mined.column[rows].tolist() and torch.equal(found.weight, mined.weight[rows])


def check_assign(photo):
    rng, masks = photo
    big = [bool(one) for one in rng.random(len(masks)) < rng.choice([0, 0.2])]
    mined, tagged = random_mined(rng, len(masks)), True
    if rng.random() < 0.1:
        mined, tagged = mined.only(torch.zeros(len(mined.index), dtype=torch.bool)), rng.random() < 0.5
    k = int(rng.integers(3))
    options = dict(class_iou=[0.25, 0.35, 0.45][k], integrity_iou=[0.5, 0.6, 0.7][k], tagged=tagged)
    found = mining.assign(overlaps_of(masks, big), mined, **options)
    wanted = slow.assign(masks, big, *(one.tolist() for one in mined[:3]), **options)
    assert found.label.tolist() == [label for label, _, _ in wanted]
    for n, (label, whole, weight) in enumerate(wanted):
        assert label == slow.LEFT_OUT or found.weight[n].item() == weight
        assert label <= 0 or found.whole[n].item() == whole


# ---- losses


def check_losses(photo):
    rng, masks = photo
    number, columns = len(masks), int(rng.integers(2, 6))
    y, t = rng.dirichlet(np.ones(columns), number), rng.uniform(0.01, 0.99, (number, columns))
    y = (y + 0.01) / (1 + 0.01 * columns)  # none below the limits at which logarithms are cut
    present = np.r_[True, rng.random(columns - 1) < 0.5]
    label, weight = rng.integers(-1, columns, number), rng.choice([0, 0.25, 0.8], number)
    whole = rng.random(number) < 0.5
    log_y, score = torch.from_numpy(np.log(y)), torch.from_numpy(t)
    labels = mining.Labels(torch.from_numpy(label), torch.from_numpy(whole), torch.from_numpy(weight))
    seen = torch.from_numpy(present)
    close = lambda value: pytest.approx(value, rel=1e-9, abs=1e-12)  # noqa: E731
    spread = np.exp(t) / np.exp(t).sum(0)  # the anti-noise branch's t
    assert losses.tag_loss(log_y, torch.from_numpy(spread), seen).item() == close(slow.tag_loss(y, spread, present))
    assert losses.class_loss(log_y, labels).item() == close(slow.class_loss(y, label, weight))
    assert losses.integrity_loss(score, labels).item() == close(slow.integrity_loss(t, label, whole, weight))
    assert losses.bag_loss(log_y, score, labels, seen).item() == close(slow.bag_loss(y, t, label, weight, present))
    # clusters: any groups of a label, the background by itself, numbers from 0
    group = [-1 if c < 0 else (c, n if c == 0 else int(rng.integers(2))) for n, c in enumerate(label.tolist())]
    names = {name: k for k, name in enumerate(dict.fromkeys(g for g in group if g != -1))}
    cluster = torch.tensor([names.get(g, -1) for g in group])
    for kind in ("positive", "binary"):
        found = losses.cluster_loss(log_y, torch.from_numpy(label), cluster, kind=kind)
        assert found.item() == close(slow.cluster_loss(y, label, cluster.tolist(), kind=kind))


CHECKS = {
    "sets": (check_sets, 500),
    "grids": (check_grids, 250),
    "first_labels": (check_first_labels, 800),
    "big_ones": (check_big_ones, 400),
    "greedy_nms": (check_nms, 400),
    "algorithm_1": (lambda photo: check_mine(photo, "cim"), 1000),
    "mist": (lambda photo: check_mine(photo, "mist"), 400),
    "sampled": (check_sampled, 500),
    "assign": (check_assign, 500),
    "losses": (check_losses, 500),
}


@pytest.mark.parametrize("name", CHECKS)
def test_as_the_slow_version(name):
    check, number = CHECKS[name]
    cases(number)(given(photos())(check))()
