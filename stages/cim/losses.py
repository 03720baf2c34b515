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

    label, cluster : (N,) int64, see `agpl.FirstLabels`. kind "positive": -log of the own class's mean, as printed;
    "binary": cross-entropy of all K + 1 classes, their mean (released code).
    """
    inside = cluster >= 0
    count = int(inside.sum())
    if not count:
        return log_y.sum() * 0
    cluster, label, y = cluster[inside], label[inside], log_y[inside].exp()
    clusters = int(cluster.max()) + 1
    size = torch.bincount(cluster, minlength=clusters).to(y)
    mean = y.new_zeros(clusters, y.shape[1]).index_add(0, cluster, y) / size[:, None]
    own = label.new_zeros(clusters).scatter(0, cluster, label)
    if kind == "positive":
        each = -mean.clamp(min=TINY).gather(1, own[:, None])[:, 0].log()
    else:
        each = binary(mean, functional.one_hot(own, y.shape[1])).mean(1)
    return (size * each).sum() / count


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
