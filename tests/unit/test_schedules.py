"""Learning rates by hand: schedules, the groups of a network's parameters, the optimisers."""

import pytest
import torch

from tag2mask.learn import schedules


def test_iterations_of_epochs():
    assert schedules.iterations_of(3, 10, 4) == 8  # 30 photos in fours
    assert schedules.iterations_of(0.01, 10, 4) == 1


def test_step_rate_by_hand():
    rate = [schedules.step_rate(t, drops=(2, 4), gamma=0.1) for t in range(6)]
    assert rate == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    warm = [schedules.step_rate(t, drops=(4,), warmup=2, start=0.5) for t in range(5)]
    assert warm == pytest.approx([0.5, 0.75, 1, 1, 0.1])


def test_poly_and_one_cycle_by_hand():
    assert schedules.poly_rate(75, total=100, power=0.5) == pytest.approx(0.5)
    assert schedules.poly_rate(0, total=100) == 1 and schedules.poly_rate(100, total=100) == 0
    rate = [schedules.one_cycle_rate(t, total=100, rise=0.4, start=0.2, end=0.1) for t in (0, 20, 40, 70, 100)]
    assert rate == pytest.approx([0.2, 0.6, 1, 0.55, 0.1])


def test_rates_are_factors_of_each_groups_first_rate():
    a, b = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimiser = torch.optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 10.0}])
    for factor in (0.5, 0.25):
        schedules.set_rate(optimiser, factor)
        assert [g["lr"] for g in optimiser.param_groups] == [factor, 10 * factor]


def test_schedules_by_name():
    step = schedules.make_schedule("step", 100, drops=[50, 90], gamma=0.5, warmup=10)
    assert [step(t) for t in (0, 10, 50, 90)] == pytest.approx([0.001, 1, 0.5, 0.25])
    poly = schedules.make_schedule("poly", 100, power=2)
    assert [poly(t) for t in (0, 50, 100)] == pytest.approx([1, 0.25, 0])
    cycle = schedules.make_schedule("one_cycle", 100)
    assert [cycle(t) for t in (0, 30, 100)] == pytest.approx([1 / 25, 1, 1e-4])
    assert schedules.drops_of([5, 10], 160, 16) == [50, 100]  # 10 iterations a pass
    assert schedules.drops_of([0.5], 5, 2) == [1]


def small():
    """(network, its backbone): a convolution and a norm trained before, a linear layer that is new, one frozen."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    return model, model[:2]


def test_parameter_groups_by_hand():
    model, backbone = small()
    model[2].bias.requires_grad_(False)
    groups = schedules.parameter_groups(model, backbone, rate=0.1, new=10, weight_decay=0.5)
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.1, 0.5), (0.1, 0.0), (1.0, 0.5)]
    assert [[p.numel() for p in g["params"]] for g in groups] == [[12], [4, 4, 4], [8]]


@pytest.mark.parametrize("kind, wanted", [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimisers_by_name(kind, wanted):
    groups = schedules.parameter_groups(*small(), rate=0.1, new=10, weight_decay=0.5)
    made = schedules.make_optimiser(kind, groups, momentum=0.7)
    assert type(made).__name__ == wanted and made.param_groups[-1]["lr"] == 1.0
    assert made.param_groups[0].get("momentum") == (0.7 if kind == "sgd" else None)
