"""Photos of one row of pixels for CIM's tests by hand; a proposal is (start, stop)."""

import cim_slow as slow
import numpy as np
import torch

from stages.cim import mining
from stages.cim.sets import sets_of

PRINTED = dict(seed_share=0.1, seed_nms=0.25, contain=0.85)  # Sec. 4.2
ALL = PRINTED | dict(seed_share=1.0)


def row(*ranges, width=32):
    masks = np.zeros((len(ranges), 1, width), bool)
    for mask, (start, stop) in zip(masks, ranges):
        mask[0, start:stop] = True
    return masks


def overlaps(masks, *, big=None):
    shared = sets_of(*slow.runs_of(masks), masks.shape[1:])[0].shared()
    area = shared.diagonal()
    known = torch.zeros(len(masks), dtype=torch.bool) if big is None else torch.tensor(big)
    return mining.Overlaps(shared, area, known)


def columns(*values):
    """(N, K + 1) scores from those of the classes 1, 2, ...; the background's are 0."""
    return torch.tensor([[0.0] * len(values[0]), *values], dtype=torch.float64).T


def mined(masks, y, t, *, tags=(1,), big=None, options=ALL, kind="cim"):
    """({proposal: (class, weight)}, [seeds])"""
    found = mining.mine(overlaps(masks, big=big), y, t, torch.tensor(tags), rank=y, kind=kind, **options)
    truth = zip(found.column.tolist(), found.weight.tolist())
    return dict(zip(found.index.tolist(), truth)), found.seeds.nonzero()[:, 0].tolist()


def assigned(masks, truth, *, tagged=True, thresholds=(0.25, 0.5)):
    index, found = torch.tensor(sorted(truth), dtype=torch.int64), overlaps(masks)
    made = mining.Mined(
        index, torch.tensor([truth[n][0] for n in sorted(truth)], dtype=torch.int64),
        torch.tensor([truth[n][1] for n in sorted(truth)], dtype=torch.float64), index > 0,
    )  # fmt: skip
    labels = mining.assign(found, made, class_iou=thresholds[0], integrity_iou=thresholds[1], tagged=tagged)
    return list(zip(*(one.tolist() for one in labels)))
