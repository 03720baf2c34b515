"""CIM read once more from the paper (Sec. 3.2 to 3.6), slowly: loops over proposals, pairs, clusters and pixels.

Masks are (N, H, W) bool. Overlaps are fractions and thresholds the decimal numbers that are printed, so that nothing
depends on rounding; where the paper leaves ties open, the first one wins, as the stage's docstrings say.
"""

import math
from fractions import Fraction

import numpy as np

LEFT_OUT, BACKGROUND = -1, 0


def number(printed):
    """0.7 as 7 / 10, not as the float next to it."""
    return Fraction(str(printed))


# ---- masks


def runs_of(masks):
    """(run lengths of all masks, column-major, background first; where each mask's begin)."""
    runs, first = [], [0]
    for mask in masks:
        last, length = False, 0
        for x in range(mask.shape[1]):
            for y in range(mask.shape[0]):
                if mask[y, x] != last:
                    runs.append(length)
                    last, length = mask[y, x], 0
                length += 1
        runs.append(length)
        first.append(len(runs))
    return np.array(runs, np.int64), np.array(first, np.int64)


def shared_of(masks):
    return [[int((one & other).sum()) for other in masks] for one in masks]


def atoms(masks):
    """{members: pixels} of the pixels that lie in any proposal; members: the proposals that a pixel lies in."""
    found = {}
    for y, x in np.ndindex(masks.shape[1:]):
        members = tuple(n for n in range(len(masks)) if masks[n, y, x])
        if members:
            found[members] = found.get(members, 0) + 1
    return found


def grid(mask, box, bins):
    """(bins, bins) share of the mask in every cell: the area of each pixel's part of the cell, pixel by pixel."""
    left, top, width, height = (Fraction(float(v)) for v in box)
    cells = np.zeros((bins, bins))
    for i, j in np.ndindex(bins, bins):
        y0, y1 = top + height * i / bins, top + height * (i + 1) / bins
        x0, x1 = left + width * j / bins, left + width * (j + 1) / bins
        inside = Fraction(0)
        for y, x in np.argwhere(mask).tolist():
            tall, wide = min(y1, y + 1) - max(y0, y), min(x1, x + 1) - max(x0, x)
            if tall > 0 and wide > 0:
                inside += tall * wide
        cells[i, j] = inside / ((y1 - y0) * (x1 - x0))
    return cells


def iou(one, other):
    return Fraction(int((one & other).sum()), int((one | other).sum()))


def contains(outer, inner, threshold):
    """Algorithm 1, lines 9 and 10: |Ri and Rj| / |Rj| > tau_con."""
    return Fraction(int((outer & inner).sum()), int(inner.sum())) > number(threshold)


# ---- Sec. 3.2


def first_labels(masks, peaks, columns, *, support, support_iou):
    """(label, cluster) per proposal of peaks (y, x), strongest first. A cluster is named by the peak that assigned it,
    or ("background", n)."""
    supports = []
    for y, x in peaks:
        around = [mask for mask in masks if mask[y, x]]
        if not around:
            supports.append(None)  # Eq. 1 would divide by 0
            continue
        mask = np.zeros(masks.shape[1:], bool)
        for v, u in np.ndindex(mask.shape):
            mask[v, u] = Fraction(sum(int(m[v, u]) for m in around), len(around)) > number(support)  # Eq. 1
        supports.append(mask)
    label, cluster = [], []
    for n, proposal in enumerate(masks):
        takes = [k for k, s in enumerate(supports) if s is not None and iou(proposal, s) > number(support_iou)]  # Eq. 2
        touches = any(s is not None and (proposal & s).any() for s in supports)
        if takes:
            label.append(int(columns[takes[0]]))
            cluster.append(takes[0])
        elif touches or all(s is None for s in supports):
            label.append(BACKGROUND)
            cluster.append(("background", n))
        else:
            label.append(LEFT_OUT)
            cluster.append(LEFT_OUT)
    return label, cluster


# ---- Sec. 3.5, Algorithm 1


def big_ones(masks, *, contain, share):
    big = []
    for outer in masks:
        inside = sum(contains(outer, inner, contain) for inner in masks)
        big.append(inside >= number(share) * len(masks))
    return [False] * len(masks) if all(big) else big


def nms(order, overlap, threshold):
    """Those of `order`, best first, that no better kept one overlaps by the threshold or more."""
    kept = []
    for one in order:
        if all(overlap(one, better) < threshold for better in kept):
            kept.append(one)
    return kept


def seeds_of(masks, rank, able, *, seed_share, seed_nms):
    """Lines 5 to 7, of one class, among the proposals `able`."""
    best = sorted(able, key=lambda n: -rank[n])  # sorted() keeps the order of equal ones
    keep = best[: math.ceil(number(seed_share) * len(masks))]
    return nms(keep, lambda i, j: iou(masks[i], masks[j]), number(seed_nms))


def mine(masks, big, y, t, tags, *, rank, seed_share, seed_nms, contain, kind, big_seeds):
    """({proposal: (class column, weight)}, all seeds). Big proposals are never mined.

    big_seeds True: they may be seeds, as Algorithm 1 is printed (lines 5 to 7 take all proposals) and released; False:
    only the others, the stage's reading.
    """
    mined, seeds = {}, set()
    able = [n for n in range(len(masks)) if big_seeds or not big[n]]
    for c in tags:
        own = seeds_of(masks, [row[c] for row in rank], able, seed_share=seed_share, seed_nms=seed_nms)
        seeds.update(own)
        for seed in own:
            if kind == "mist":
                found = [seed]
            else:
                found = [n for n in range(len(masks)) if contains(masks[n], masks[seed], contain)]
            found = [n for n in found if not big[n]]
            if not found:
                continue
            truth = found[0]
            for n in found:
                if t[n][c] > t[truth][c]:
                    truth = n
            weight = y[truth][c] * t[truth][c]
            if truth not in mined or weight > mined[truth][1]:
                mined[truth] = (int(c), weight)
    return mined, seeds


def sampled(index, column, weight, draws):
    """The proposals of P^k that stay (Sec. 3.6): each draw takes, of its class, the one in whose part of the
    cumulative weight it falls; equal parts where all weights are 0. The first draws are the lowest class's."""
    stay, draws = set(), iter(draws)
    for c in sorted(set(column)):
        rows = [k for k in range(len(index)) if column[k] == c]
        parts = [Fraction(float(weight[k])) for k in rows]
        if sum(parts) == 0:
            parts = [Fraction(1)] * len(rows)
        for _ in rows:
            left = Fraction(float(next(draws))) * sum(parts)
            for other, part in zip(rows, parts):
                if left < part:
                    stay.add(index[other])
                    break
                left -= part
    return stay


def assign(masks, big, index, column, weight, *, class_iou, integrity_iou, tagged=True):
    """(label, whole, weight) per proposal, Eq. 4 to 6; whole and weight None for those left out."""
    rows = []
    for n, proposal in enumerate(masks):
        if not tagged:
            rows.append((BACKGROUND, False, 1.0))
            continue
        best, most = None, Fraction(0)
        for k, truth in enumerate(index):
            if iou(proposal, masks[truth]) > most:
                best, most = k, iou(proposal, masks[truth])
        if best is None:
            rows.append((LEFT_OUT, None, None))
        else:
            own = most > number(class_iou) and not big[n]
            rows.append((column[best] if own else BACKGROUND, most > number(integrity_iou), weight[best]))
    return rows


# ---- losses: y, t (N, K + 1) float64


def cross_entropy(p, truth):
    return -math.log(p) if truth else -math.log(1 - p)


def tag_loss(y, t, present):
    loss = 0.0
    for c in range(len(present)):
        score = sum(y[n][c] * t[n][c] for n in range(len(y)))
        loss += cross_entropy(min(max(score, 1e-6), 1 - 1e-6), present[c])
    return loss / len(present)


def cluster_loss(y, label, cluster, *, kind):
    loss, labelled = 0.0, 0
    for name in sorted(set(cluster) - {LEFT_OUT}):
        members = [n for n in range(len(y)) if cluster[n] == name]
        labelled += len(members)
        mean = [sum(y[n][c] for n in members) / len(members) for c in range(len(y[0]))]
        own = label[members[0]]
        if kind == "positive":
            loss += len(members) * -math.log(mean[own])
        else:
            loss += len(members) * sum(cross_entropy(mean[c], c == own) for c in range(len(mean))) / len(mean)
    return loss / labelled if labelled else 0.0


def class_loss(y, label, weight):
    loss, labelled = 0.0, 0
    for n in range(len(y)):
        if label[n] != LEFT_OUT:
            loss -= weight[n] * math.log(y[n][label[n]])
            labelled += 1
    return loss / labelled if labelled else 0.0


def integrity_loss(t, label, whole, weight):
    loss, foreground = 0.0, 0
    for n in range(len(t)):
        if label[n] > BACKGROUND:
            off = abs(float(whole[n]) - t[n][label[n]])
            loss += weight[n] * (off**2 / 2 if off < 1 else off - 0.5)
            foreground += 1
    return loss / foreground if foreground else 0.0


def bag_loss(y, t, label, weight, present):
    loss = 0.0
    for c in range(len(present)):
        among = [n for n in range(len(y)) if label[n] == c or not present[c]]
        if among:
            best = among[0]
            for n in among:
                if y[n][c] * t[n][c] > y[best][c] * t[best][c]:
                    best = n
            loss += (weight[best] if present[c] else 1) * cross_entropy(y[best][c] * t[best][c], present[c])
    return loss / len(present)
