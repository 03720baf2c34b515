"""The objective of the instance network: Eq. 2 to 6 of BESTIE.

Pseudo and refined labels come as `Drawn` (stages.bestie.labels), at the guided pixels P alone. A pixel's error is
summed over the K centre maps or the two components of the offset; |P| counts those of the whole batch, and an empty P
costs 0.
"""

import math

import torch
from torch.nn import functional

from tag2mask.data.labelmaps import VOID
from tag2mask.learn.whole import gathered
from tag2mask.learn.whole import total as total_of


def total(output, pseudo, refined, target, *, config):
    """Scalar of Eq. 6.

    output : network.Output. pseudo, refined : Drawn; refined None before the refinement begins, or without it.
    target : (B, H, W) int64 in 0..K, 255 not counted. Source: BESTIE, Sec. 3.5, Eq. 6.
    """
    center = both(center_loss, output.center, pseudo, refined, terms=config.terms)
    offset = both(offset_loss, output.offset, pseudo, refined, terms=config.terms)
    semantic = semantic_loss(output.semantic, target, share=config.semantic_share)
    return config.center_weight * center + config.offset_weight * offset + config.semantic_weight * semantic


def both(loss, found, pseudo, refined, *, terms):
    """The pseudo and the refined term: their sum, as Eq. 3 and 4 print it, or their mean; the first where alone."""
    first = loss(found, pseudo)
    if refined is None:
        return first
    second = loss(found, refined, soft=True)
    return first + second if terms == "sum" else (first + second) / 2


def center_loss(center, drawn, *, soft=False):
    """One term of Eq. 3: mean over the guided pixels of (C - C^)^2, summed over the classes, times W if `soft`.

    center : (B, K, H, W) float32. drawn : Drawn at the guided pixels: those of labelled instances (Sec. 3.4), or all;
    W is 0 outside instances in both cases (Eq. 2).
    """
    return guided_mean((at_guided(center, drawn) - drawn.center).square(), drawn, soft=soft)


def offset_loss(offset, drawn, *, soft=False):
    """One term of Eq. 4: mean over the guided pixels of |O - O^|, summed over y and x, times W if `soft`.

    offset : (B, 2, H, W) float32, pixels. See `center_loss`.
    """
    return guided_mean((at_guided(offset, drawn) - drawn.offset).abs(), drawn, soft=soft)


def at_guided(maps, drawn):
    """(P, C): maps (B, C, H, W) at the pixels of `drawn` (Drawn)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, drawn.at)


def guided_mean(error, drawn, *, soft):
    """Mean over P of `error` (P, C) summed over C, times W if `soft`; 0 where P is empty."""
    cost = error.sum(1)
    guided = total_of(torch.full((), len(cost), device=cost.device)).clamp(min=1)
    return (cost * drawn.weight if soft else cost).sum() / guided


def semantic_loss(scores, target, *, share=1.0):
    """Eq. 5: mean cross-entropy over the pixels that are not 255, 0 where all are; of the batch's pixels only the
    `share` that costs most (BESTIE's code).

    scores : (B, K + 1, H, W) float32. target : (B, H, W) int64.
    """
    counted = total_of((target != VOID).sum()).clamp(min=1)
    if share == 1:
        return functional.cross_entropy(scores, target, ignore_index=VOID, reduction="sum") / counted
    found = functional.cross_entropy(scores, target, ignore_index=VOID, reduction="none").flatten()
    everywhere, most = gathered(found), math.ceil(share * int(counted))
    if everywhere is found:
        return found.topk(most).values.mean()
    least = everywhere.topk(most).values[-1]  # of equal ones at the border each counts for the same part
    above, equal = ((compare(everywhere, least)).sum() for compare in (torch.gt, torch.eq))
    return (found[found > least].sum() + found[found == least].sum() * (most - above) / equal) / most
