"""What a refinement branch learns: mined by the branch before it (Algorithm 1), assigned to all (Eq. 4 to 6)."""

import torch

from stages.cim import mining


@torch.no_grad()
def pseudo_labels(scores, k, overlaps, tags, draws, *, config):
    """(Labels, Mined) that branch k learns from, by the scores of branch k - 1 (Algorithm 1, Eq. 4 to 6, Sec. 3.6).

    tags : (T,) int64 class columns of the photo. draws : (N,) float64 in [0, 1) for the sampling.
    """
    mined = mined_by(scores, k - 1, overlaps, tags, config=config)
    if config.sampling:
        mined = mining.sampled(mined, draws[: len(mined.index)])
    class_iou, integrity_iou = thresholds(config, k)
    labels = mining.assign(overlaps, mined, class_iou=class_iou, integrity_iou=integrity_iou, tagged=len(tags) > 0)
    return labels, mined


def mined_by(scores, branch, overlaps, tags, *, config):
    """What the scores of a branch mine for the next one, before the sampling.

    MIST's first branch chooses seeds by y t, WSDDN's score of a proposal, as tags alone teach y nothing of proposals.
    """
    y, t = scores.log_y[branch].exp(), scores.t[branch]
    return mining.mine(
        overlaps, y, t, tags, rank=y * t if config.mining == "mist" and branch == 0 else y,
        seed_share=config.seed_share, seed_nms=config.seed_nms or thresholds(config, branch + 1)[0],
        contain=config.contain, kind=config.mining,
    )  # fmt: skip


def thresholds(config, k):
    """(tau_cls, tau_iou) of branch k, from 1 on: both rise by tau_cas a branch (Sec. 3.5)."""
    return tuple(one + (k - 1) * config.cascade for one in (config.class_iou, config.integrity_iou))
