"""Complete instances mining: Algorithm 1, and what proposals learn from it (Eq. 4 to 6). Source: CIM, Sec. 3.5, 3.6.

All of a photo at once, on the device of the training; no loop over proposals, seeds or pairs. Columns of scores are
classes, column 0 the background.
"""

import math
from typing import NamedTuple

import torch

LEFT_OUT, BACKGROUND = -1, 0


class Overlaps(NamedTuple):
    """How N proposals of a photo lie in each other. shared : (N, N) float, pixels of both. area : (N,) float, pixels.
    big : (N,) bool, see `big_ones`."""

    shared: torch.Tensor
    area: torch.Tensor
    big: torch.Tensor

    def iou(self, columns):
        """(N, m) float64: IoU of all proposals with the proposals `columns` (m,)."""
        inner = self.shared[:, columns].double()
        return inner / (self.area.double()[:, None] + self.area.double()[columns] - inner)

    def containing(self, columns, threshold):
        """(N, m) bool: M[i, j] = |Ri and Rj| / |Rj| above the threshold (Algorithm 1, lines 9 and 10)."""
        return self.shared[:, columns].double() / self.area.double()[columns] > threshold


class Mined(NamedTuple):
    """The pseudo ground truth P^k. index : (m,) int64, proposals, rising. column : (m,) int64, their classes, from 1
    on. weight : (m,) float, class x integrity score (Eq. 6). seeds : (N, T) bool, the seeds of every tagged class."""

    index: torch.Tensor
    column: torch.Tensor
    weight: torch.Tensor
    seeds: torch.Tensor

    def only(self, kept):
        """Those of the rows `kept`."""
        return self._replace(index=self.index[kept], column=self.column[kept], weight=self.weight[kept])


class Labels(NamedTuple):
    """What N proposals learn. label : (N,) int64, class column, BACKGROUND or LEFT_OUT. whole : (N,) bool, integrity
    target of the label's class. weight : (N,) float."""

    label: torch.Tensor
    whole: torch.Tensor
    weight: torch.Tensor


def big_ones(shared, area, *, contain, share):
    """(N,) bool: proposals that contain at least the part `share` of all N, themselves counted.

    They are never mined and learn that they are background. Where all would be (one proposal, or all alike) none is:
    nothing else is left (ours). contain : tau_con. Source: CIM's released code.
    """
    held = (shared.double() / area.double()[None] > contain).sum(1)
    big = held >= round(share * len(area), 9)
    return big & ~big.all()


def mine(overlaps, y, t, tags, *, rank, seed_share, seed_nms, contain, kind="cim"):
    """Mined by the scores of the branch before. Source: CIM, Algorithm 1.

    overlaps : Overlaps of N proposals. y, t : (N, K + 1) float in [0, 1], class and integrity scores. tags : (T,) int64
    class columns of the photo, without the background. rank : (N, K + 1) float, what seeds are chosen by (line 5: y).
    seed_share : p_seed; of N proposals the ceil(p_seed N) best may be seeds, equal ones in order. seed_nms : tau_nms,
    kept seeds overlap less. contain : tau_con. Big proposals are no seeds (ours: the released code lets them be seeds
    that mine nothing and still suppress others).
    kind "cim": for every seed the proposal of the highest t among those that contain it (lines 8 to 11), ties to the
    first; "mist": the seeds themselves. A proposal mined for several classes goes to that of the highest y t.
    """
    number = len(overlaps.area)
    count = math.ceil(round(seed_share * number, 9))
    hidden = overlaps.big[:, None]
    order = torch.where(hidden, -1.0, rank[:, tags]).argsort(dim=0, descending=True, stable=True)[:count].T  # (T, S)
    flat = order.flatten()
    inner, area = overlaps.shared[order[:, :, None], order[:, None]].double(), overlaps.area[order].double()
    among = inner / (area[:, :, None] + area[:, None] - inner)  # (T, S, S)
    keep = greedy_nms(among, ~overlaps.big[order], seed_nms)
    found = order
    if kind == "cim":
        whole = t[:, tags].repeat_interleave(count, 1)  # (N, T S)
        able = overlaps.containing(flat, contain) & ~hidden
        found = torch.where(able, whole, -1.0).argmax(0).view_as(order)
    seeds, mined = (marked(rows, keep, number) for rows in (order, found))
    product = torch.where(mined, (y * t)[:, tags], -1.0)
    index = mined.any(1).nonzero()[:, 0]
    weight, best = product[index].max(1) if len(tags) else (product.new_zeros(0), index)
    return Mined(index, tags[best], weight, seeds)


def marked(rows, keep, number):
    """(number, T) bool: which numbers each of T lists `rows` (T, S) holds where `keep` (T, S) is true.

    By sums over lists of one length: to take out those that are kept, a GPU would have to say how many they are.
    """
    times = torch.zeros((len(rows), number), dtype=torch.int64, device=rows.device)
    return (times.scatter_add_(1, rows, keep.long()) > 0).T


def greedy_nms(iou, valid, threshold):
    """(T, S) bool: what greedy non-maximum suppression keeps of T lists of S, best first.

    iou : (T, S, S), symmetric. valid : (T, S) bool, others neither stay nor suppress. One goes that overlaps a better
    kept one by `threshold` or more. All lists at once: what is suppressed by none of those that may still be kept
    stays for good, so that repeating the rule ends with the greedy answer (Zheng et al., Cluster-NMS, 2020).
    """
    clash = (iou >= threshold).triu(1)  # [t, i, j]: i is better than j
    keep = valid
    while True:
        new = valid & ~(clash & keep[:, :, None]).any(1)
        if torch.equal(new, keep):
            return keep
        keep = new


def sampled(mined, draws):
    """Anti-noise sampling: of every class's m_c mined proposals m_c draws with replacement, by weight; the drawn stay.

    draws : (m,) float64 in [0, 1), one a mined proposal; the first are the lowest class's. A class whose weights are
    all 0 is drawn evenly.
    Source: CIM, Sec. 3.6.
    """
    if not len(mined.index):
        return mined
    order = mined.column.argsort(stable=True)
    column, weight = mined.column[order], mined.weight[order].double()
    group = torch.nn.functional.pad(column[1:] != column[:-1], (1, 0)).cumsum(0)  # from 0 on, as many as classes
    size = torch.zeros_like(group).index_add(0, group, torch.ones_like(group))
    last = (size.cumsum(0) - 1)[group]
    first = last - size[group] + 1
    total = torch.zeros_like(weight).index_add(0, group, weight)[group]
    weight = torch.where(total > 0, weight / total, 1.0)  # a class of tiny weights is not rounded away beside others
    running = weight.cumsum(0)
    before = running[first] - weight[first]
    target = before + draws.to(weight) * (running[last] - before)
    drawn = torch.searchsorted(running, target, right=True)
    drawn = torch.minimum(torch.maximum(drawn, first), last)
    return mined.only(torch.zeros_like(group).index_fill(0, order[drawn], 1).nonzero()[:, 0])


def assign(overlaps, mined, *, class_iou, integrity_iou, tagged=True):
    """Labels of all proposals by the mined one that each overlaps most, ties to the first (Eq. 4 to 6).

    Above class_iou its class, else background; with no overlap at all left out. Integrity: above integrity_iou. A big
    proposal that overlaps is background. The weight is the mined one's. In a photo without tags all are background,
    weight 1 (`tagged` False; ours, as Sec. 3.2 has it without peaks).
    """
    number, device = len(overlaps.area), overlaps.area.device
    if not len(mined.index):
        label = torch.full((number,), LEFT_OUT if tagged else BACKGROUND, device=device)
        return Labels(
            label, torch.zeros_like(label, dtype=torch.bool), torch.full((number,), float(not tagged), device=device)
        )
    best, which = overlaps.iou(mined.index).max(1)
    label = torch.where(best > class_iou, mined.column[which], BACKGROUND)
    label = torch.where(overlaps.big, BACKGROUND, label)
    label = torch.where(best > 0, label, LEFT_OUT)
    weight = torch.where(best > 0, mined.weight[which], 0.0)
    return Labels(label, (best > integrity_iou) & (label > BACKGROUND), weight)
