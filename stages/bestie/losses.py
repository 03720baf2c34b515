"""The objective of the instance network: Eq. 2 to 6 of BESTIE.

Pseudo and refined labels come as `Drawn` maps (stages.bestie.labels). A pixel's error is summed over the K centre maps
or the two components of the offset; |P| counts the guided pixels of the whole batch, and an empty P costs 0.
"""

from torch.nn import functional

from stages.segment.data import VOID


def total(output, pseudo, refined, target, *, config, points=None):
    """Scalar of Eq. 6.

    output : network.Output. pseudo, refined : Drawn; refined None before the refinement begins, or without it.
    target : (B, H, W) int64 in 0..K, 255 not counted. points : None, or ((B, K, H, W) centre map drawn from point
    labels, (B,) bool photos that have points): it then takes the place of the pseudo and the refined centre map
    (BESTIE, Sec. 4.3), in one term over all pixels of those photos, as every object has a point and none is missing;
    "all pixels" is ours. The offsets are guided as without points. Source: BESTIE, Sec. 3.5, Eq. 6.
    """
    everywhere = not config.instance_aware
    if points is None:
        center = both(center_loss, output.center, pseudo, refined, terms=config.terms, everywhere=everywhere)
    else:
        center = pointed_loss(output.center, *points)
    offset = both(offset_loss, output.offset, pseudo, refined, terms=config.terms, everywhere=everywhere)
    semantic = semantic_loss(output.semantic, target)
    return config.center_weight * center + config.offset_weight * offset + config.semantic_weight * semantic


def both(loss, found, pseudo, refined, *, terms, everywhere):
    """The pseudo and the refined term: their sum, as Eq. 3 and 4 print it, or their mean; the first where alone."""
    first = loss(found, pseudo, everywhere=everywhere)
    if refined is None:
        return first
    second = loss(found, refined, everywhere=everywhere, soft=True)
    return first + second if terms == "sum" else (first + second) / 2


def center_loss(center, drawn, *, everywhere=False, soft=False):
    """One term of Eq. 3: mean over the guided pixels of (C - C^)^2, summed over the classes, times W if `soft`.

    center : (B, K, H, W) float32. drawn : Drawn. Guided are the pixels of labelled instances (Sec. 3.4), or with
    `everywhere` all pixels; W is 0 outside instances in both cases (Eq. 2).
    """
    return guided_mean((center - drawn.center).square().sum(1), drawn, everywhere=everywhere, soft=soft)


def offset_loss(offset, drawn, *, everywhere=False, soft=False):
    """One term of Eq. 4: mean over the guided pixels of |O - O^|, summed over y and x, times W if `soft`.

    offset : (B, 2, H, W) float32, pixels. See `center_loss`.
    """
    return guided_mean((offset - drawn.offset).abs().sum(1), drawn, everywhere=everywhere, soft=soft)


def guided_mean(error, drawn, *, everywhere, soft):
    """error : (B, H, W) float32. Its mean, times W if `soft`, over P; 0 where P is empty."""
    if soft:
        error = error * drawn.weight
    if everywhere:
        return error.mean()
    return (error * drawn.inside).sum() / drawn.inside.sum().clamp(min=1)


def pointed_loss(center, wanted, pointed):
    """Mean over all pixels of the photos in `pointed` ((B,) bool) of the squared error of the centre maps."""
    error = (center - wanted).square().sum(1).mean((1, 2))
    return (error * pointed).sum() / pointed.sum().clamp(min=1)


def semantic_loss(scores, target):
    """Eq. 5: mean cross-entropy over the pixels that are not 255, 0 where all are.

    scores : (B, K + 1, H, W) float32. target : (B, H, W) int64.
    """
    found = functional.cross_entropy(scores, target, ignore_index=VOID, reduction="sum")
    return found / (target != VOID).sum().clamp(min=1)
