"""The losses of CIM: anti-noise branch (Eq. 7), refinement branches (Eq. 3), and the bag loss of its released code.

All of one photo with N proposals; column 0 is the background. log_y : (N, K + 1), log of class scores; t : (N, K + 1).
"""

import torch
from torch.nn import functional

from stages.cim.mining import BACKGROUND

TINY = 1e-6  # tag scores are kept in [TINY, 1 - TINY]; CIM's released code


def binary(score, wanted):
    """Binary cross-entropy of scores, kept in [TINY, 1 - TINY], towards 0 or 1; the shape of `score`."""
    score, wanted = score.clamp(TINY, 1 - TINY), wanted.to(score)
    return -wanted * score.log() - (1 - wanted) * (1 - score).log()


def tag_loss(log_y, t, present):
    """First term of Eq. 7: binary cross-entropy of y^I = sum over proposals of y t, mean over the K + 1 classes.

    t : softmax over proposals. present : (K + 1,) bool, Y with the background.
    """
    return binary((log_y.exp() * t).sum(0), present).mean()


def cluster_loss(log_y, label, cluster, *, kind):
    """Second term of Eq. 7 without alpha: sum over clusters of their size times a loss of their mean class scores,
    over the number of labelled proposals.

    label, cluster : (N,) int64, see `agpl.FirstLabels`. kind "positive": -log of the own class's mean, as printed, by
    logarithms alone, so that a score that is nearly 0 still has its gradient; "binary": cross-entropy of all K + 1
    classes, their mean (released code).
    """
    number, inside = len(label), cluster >= 0
    bucket = torch.where(inside, cluster, number)  # the last one is nobody's
    size = log_y.new_zeros(number + 1).index_add(0, bucket, inside.to(log_y))[:number]
    used, weight = size > 0, size / inside.sum().clamp(min=1)
    if kind == "positive":
        own = log_y.gather(1, label.clamp(min=0)[:, None])[:, 0]
        with torch.no_grad():
            top = own.new_full((number + 1,), -torch.inf).scatter_reduce(0, bucket, own, "amax")
        part = torch.where(inside, (own - top[bucket]).exp(), 0.0)
        part = own.new_zeros(number + 1).index_add(0, bucket, part)[:number]
        each = size.clamp(min=1).log() - top[:number].where(used, 0.0) - part.where(used, 1.0).log()
    else:
        mean = log_y.new_zeros(number + 1, log_y.shape[1]).index_add(0, bucket, log_y.exp())[:number]
        own = label.new_zeros(number + 1).scatter(0, bucket, label.clamp(min=0))[:number]
        each = binary(mean / size.clamp(min=1)[:, None], functional.one_hot(own, log_y.shape[1])).mean(1)
    return (weight * each).sum()


def class_loss(log_y, labels):
    """First term of Eq. 3: weighted cross-entropy, over the number of labelled proposals. labels : mining.Labels."""
    inside = labels.label >= 0
    each = -log_y.gather(1, labels.label.clamp(min=0)[:, None])[:, 0] * labels.weight.to(log_y)
    return torch.where(inside, each, 0.0).sum() / inside.sum().clamp(min=1)


def integrity_loss(t, labels):
    """Second term of Eq. 3: weighted smooth L1 at the label's class, over the number of foreground proposals."""
    inside = labels.label > BACKGROUND
    own = t.gather(1, labels.label.clamp(min=0)[:, None])[:, 0]
    each = functional.smooth_l1_loss(own, labels.whole.to(t), reduction="none") * labels.weight.to(t)
    return torch.where(inside, each, 0.0).sum() / inside.sum().clamp(min=1)


def bag_loss(log_y, t, labels, present):
    """The tags as a loss of a branch: binary cross-entropy of every class's best y t, mean over the K + 1 classes.

    The best of a tagged class, and of the background, is looked for among the proposals that are labelled with it and
    counts times that proposal's weight; a class that labels none counts for nothing. Of an untagged class: among all,
    weight 1. present : (K + 1,) bool. Source: CIM's released code; not in the paper.
    """
    score = log_y.exp() * t
    able = (labels.label[:, None] == torch.arange(len(present), device=t.device)) | ~present
    best, which = torch.where(able, score, -1.0).max(0)
    weight = torch.where(present, labels.weight.to(best)[which], 1.0)
    return torch.where(able.any(0), weight * binary(best, present), 0.0).mean()
