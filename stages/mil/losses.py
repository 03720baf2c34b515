"""The losses of LIID, Sec. 4.2: Eq. 3 to 9 of one photo, one function each. Class 0 is the background."""

import math

import numpy as np
import torch

from tag2mask.learn import whole

EPS = 1e-8  # added in logarithms of Z: changes no float32 above 0.1, and keeps log 0 finite


def pseudo_labels(response, columns, eta):
    """(n,) int64 approximate class of each proposal. Source: LIID, Eq. 3.

    response : (n, T) R of the photo's T tagged classes. columns : (T,) int, their classes k' > 0. 0 where no R
    reaches eta, else the class of the largest; of equal ones the first column.
    """
    if not len(columns):
        return np.zeros(len(response), np.int64)
    return np.where(response.max(1) < eta, 0, np.asarray(columns, np.int64)[response.argmax(1)])


def log_complement(scores):
    """(n, K + 1) log(1 - p_k) of p = softmax(scores), exact also where p rounds to 1.

    1 - p_k is the softmax's share of all other classes: two log-sum-exps, no difference of nearly equal numbers.
    """
    labels = scores.shape[1]
    own = torch.eye(labels, dtype=torch.bool, device=scores.device)
    others = scores[:, None, :].expand(-1, labels, -1).masked_fill(own, -math.inf)
    return others.logsumexp(2) - scores.logsumexp(1, keepdim=True)


def cam_loss(scores, pseudo):
    """L_Att: each proposal's cross-entropy towards its pseudo label, and the other classes' away. LIID, Eq. 4.

    scores : (n, K + 1), before the softmax. pseudo : (n,) int64. The sum over the K other classes is divided by K.
    """
    log_p, log_rest = scores.log_softmax(1), log_complement(scores)
    own = pseudo[:, None] == torch.arange(scores.shape[1], device=pseudo.device)
    others = log_rest.masked_fill(own, 0).sum(1) / (scores.shape[1] - 1)
    return -(log_p.gather(1, pseudo[:, None])[:, 0] + others).mean()


def aggregate(p, r):
    """Z (K + 1,) in [0, 1]: log-sum-exp over the proposals, between mean and maximum of p (n, K + 1). LIID, Eq. 5.

    As log1p(mean(exp(r p) - 1)) / r, which loses nothing where every p is small.
    """
    return torch.log1p(torch.expm1(r * p).mean(0)) / r


def mil_loss(z, present, *, positive_norm):
    """L_MIL of the photo's aggregated scores. LIID, Eq. 6.

    z : (K + 1,) in [0, 1]. present : (K + 1,) bool, the photo's tags and the background. The sum over the absent
    classes is divided by their number; that over the present ones by the number of absent ones, as printed
    (positive_norm "absent"), or of present ones ("present"). Where no class is absent the divisor is 1.
    """
    absent = ~present
    negatives = absent.sum().clamp_min(1)
    positives = present.sum() if positive_norm == "present" else negatives
    there, not_there = (z + EPS).log().where(present, 0.0), (1 - z + EPS).log().where(absent, 0.0)
    return -there.sum() / positives - not_there.sum() / negatives


def center_loss(f, centers):
    """L_Cent: mean of 1 - cosine of each feature and its class's centre. LIID, Eq. 7; Fan, Eq. 3.

    f : (n, D). centers : (n, D), the centre of each row's class; one that is still 0 gives loss 1 and no gradient.
    """
    return (1 - torch.nn.functional.cosine_similarity(f, centers, dim=1)).mean()


def updated(centers, f, label, theta):
    """Centres after c <- c + theta (f - c) for row after row, as one product. LIID, Eq. 8; Fan, Eq. 4.

    centers : (K + 1, D). f : (n, D). label : (n,) int64, each row's class. Of a class's m rows in order, row j then
    weighs theta (1 - theta)^(m - j) and the old centre (1 - theta)^m. Returns a new (K + 1, D).
    """
    same = label[:, None] == label[None]
    later = same.triu(1).sum(1)  # rows of the same class behind this one
    weight = theta * (1 - theta) ** later.to(f.dtype)
    member = torch.nn.functional.one_hot(label, len(centers)).to(f.dtype)  # (n, K + 1)
    kept = (1 - theta) ** member.sum(0)
    return kept[:, None] * centers + (member * weight[:, None]).T @ f


class Moving:
    """Moves the centres of a network, its buffer `centers`, by Eq. 8 with the rate theta after every step.

    The loss looks at the centres as they were before the iteration, in whichever part of the batch.
    """

    def __init__(self, model, theta):
        self.model, self.theta, self.seen = model, theta, []

    def see(self, f, label):
        """f : (n, D), label : (n,) int64, the rows that the next step moves the centres by."""
        self.seen.append((f.detach().float(), label))

    @torch.no_grad()
    def after(self, t=None):
        """Take in what was seen, in the order of the batch."""
        f, label = (whole.joined(list(rows)) for rows in zip(*self.seen))
        self.model.centers.copy_(updated(self.model.centers, f, label, self.theta))
        self.seen.clear()


def total(parts, weights):
    """L = alpha L_Att + beta L_MIL + gamma L_Cent. LIID, Eq. 9. parts : (cam, mil, center). weights : their factors."""
    return sum(weight * part for weight, part in zip(weights, parts))
