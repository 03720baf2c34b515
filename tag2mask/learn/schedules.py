"""Learning rates: which parameters have which, and how they change from iteration to iteration.

A schedule is a function of the iteration alone, a factor of every group's own rate; so a resumed training needs no
state of it.
"""

import math
from functools import partial

import torch

OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def parameter_groups(model, backbone, *, rate, new, weight_decay):
    """Groups of `model`'s trained parameters: the backbone's at `rate`, the others at `rate` x `new`.

    backbone : the part of `model` that was trained before. Weight decay acts on weights alone, not on biases nor on the
    scale and shift of normalisation layers.
    """
    old = {id(p) for p in backbone.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = []
    for is_new, factor in ((False, 1.0), (True, new)):
        for decays in (True, False):
            chosen = [p for p in trained if (id(p) not in old) == is_new and (p.ndim > 1) == decays]
            if chosen:
                groups.append({"params": chosen, "lr": rate * factor, "weight_decay": weight_decay if decays else 0.0})
    return groups


def make_optimiser(kind, groups, *, momentum=0.9):
    """torch's optimiser "sgd" (with `momentum`), "adam" or "adamw" of parameter groups that bring rate and decay."""
    return OPTIMISERS[kind](groups, **({"momentum": momentum} if kind == "sgd" else {}))


def set_rate(optimiser, factor):
    """Give every parameter group its own rate (remembered as `initial_lr`) times `factor`."""
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])
        group["lr"] = group["initial_lr"] * factor


def make_schedule(kind, iterations, *, drops=(), gamma=0.1, warmup=0, power=0.9):
    """iteration -> factor of the rates over a run of `iterations`: "step", "poly" or "one_cycle", see below.

    drops : iterations; gamma, warmup and power as in the schedule that takes them, the others do not look at them.
    """
    if kind == "one_cycle":
        return partial(one_cycle_rate, total=iterations)
    if kind == "poly":
        return partial(poly_rate, total=iterations, power=power)
    return partial(step_rate, drops=drops, gamma=gamma, warmup=warmup)


def iterations_of(epochs, count, batch):
    """Number of iterations of `epochs` passes (a float is allowed) over `count` photos; at least 1."""
    return max(1, math.ceil(epochs * count / batch))


def drops_of(epochs, count, batch):
    """The iterations that end these passes over `count` photos, where a schedule given in passes has its steps."""
    return [round(epoch * count / batch) for epoch in epochs]


def step_rate(iteration, *, drops, gamma=0.1, warmup=0, start=0.001):
    """Factor: times `gamma` from each iteration of `drops` on; linear from `start` in the first `warmup`."""
    factor = gamma ** sum(iteration >= drop for drop in drops)
    return factor * (_ramp(iteration / warmup, start, 1.0) if iteration < warmup else 1.0)


def poly_rate(iteration, *, total, power=0.9):
    """Factor (1 - iteration / total) ** power."""
    return max(0.0, 1 - iteration / total) ** power


def one_cycle_rate(iteration, *, total, rise=0.3, start=1 / 25, end=1e-4):
    """Factor from `start` up to 1 over the first `rise` of the run, then down to `end`; half cosines."""
    top = max(1.0, rise * total)
    if iteration < top:
        return _ramp((1 - math.cos(math.pi * iteration / top)) / 2, start, 1.0)
    return _ramp((1 + math.cos(math.pi * min(1.0, (iteration - top) / max(1.0, total - top)))) / 2, end, 1.0)


def _ramp(x, low, high):
    return low + (high - low) * x
