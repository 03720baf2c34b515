"""The shared training pieces: pure sampler, schedules by hand, checkpoints, resume bit for bit."""

import os

import numpy as np
import pytest
import torch

from tag2mask.errors import UserError
from tag2mask.learn import training
from tag2mask.run.job import Job


def test_every_photo_once_per_pass_and_nothing_but_seed_and_iteration_counts():
    seen = np.concatenate([training.sample(10, 4, t, seed=7) for t in range(5)])  # two passes of ten
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])
    assert np.array_equal(training.sample(10, 4, 3, seed=7), seen[12:16])
    assert not np.array_equal(training.sample(1000, 50, 0, seed=7), training.sample(1000, 50, 0, seed=8))


def test_a_batch_may_be_larger_than_the_dataset():
    assert sorted(training.sample(2, 5, 0, seed=0)) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


def test_generators_differ_by_iteration_and_repeat():
    first, again, other = (training.rng(3, t).random() for t in (5, 5, 6))
    assert first == again != other


def test_iterations_of_epochs():
    assert training.iterations_of(3, 10, 4) == 8  # 30 photos in fours
    assert training.iterations_of(0.01, 10, 4) == 1


def test_step_rate_by_hand():
    rate = [training.step_rate(t, drops=(2, 4), gamma=0.1) for t in range(6)]
    assert rate == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    warm = [training.step_rate(t, drops=(4,), warmup=2, start=0.5) for t in range(5)]
    assert warm == pytest.approx([0.5, 0.75, 1, 1, 0.1])


def test_poly_and_one_cycle_by_hand():
    assert training.poly_rate(75, total=100, power=0.5) == pytest.approx(0.5)
    assert training.poly_rate(0, total=100) == 1 and training.poly_rate(100, total=100) == 0
    rate = [training.one_cycle_rate(t, total=100, rise=0.4, start=0.2, end=0.1) for t in (0, 20, 40, 70, 100)]
    assert rate == pytest.approx([0.2, 0.6, 1, 0.55, 0.1])


def test_rates_are_factors_of_each_groups_first_rate():
    a, b = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimiser = torch.optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 10.0}])
    for factor in (0.5, 0.25):
        training.set_rate(optimiser, factor)
        assert [g["lr"] for g in optimiser.param_groups] == [factor, 10 * factor]


class Killed(BaseException):
    pass


def small():
    """A network whose training uses torch's random state (dropout), and its optimiser."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
    )
    return model, torch.optim.AdamW(model.parameters(), lr=0.05)


def run(job, *, iterations=10, die_at=None):
    training.start(0)
    model, optimiser = small()

    def step(t):
        if t == die_at:
            raise Killed
        x = torch.from_numpy(training.rng(0, t).standard_normal((6, 3)).astype(np.float32))
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    rate = lambda t: training.one_cycle_rate(t, total=iterations)  # noqa: E731
    loss = training.fit(step, model=model, optimiser=optimiser, rate=rate, iterations=iterations, job=job, every=3)
    return loss, model.state_dict()


@pytest.mark.parametrize("die_at", [1, 3, 7, 9])
def test_resumed_training_equals_undisturbed_training_bit_for_bit(tmp_path, die_at):
    loss, wanted = run(Job(checkpoints=None))
    job = Job(checkpoints=tmp_path)
    with pytest.raises(Killed):
        run(job, die_at=die_at)
    torch.rand(17)  # another process has another random state
    again, found = run(job)
    assert again == loss
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def counting(job, *, die_at=None):
    """Ten iterations, every third a checkpoint; each counts itself. Returns (tally, what `after` saw)."""
    training.start(0)
    model, optimiser = small()
    tally, seen = {"steps": 0}, []

    def step(t):
        if t == die_at:
            raise Killed
        tally["steps"] += 1
        return model(torch.ones(2, 3)).square().mean()

    def after(t):
        before = training.load_checkpoint(job.checkpoints, model=small()[0], optimiser=small()[1])[0]
        seen.append((t, before, model[0].bias.detach().clone()))

    training.fit(
        step, model=model, optimiser=optimiser, rate=lambda t: 1.0, iterations=10, job=job, every=3, after=after,
        tally=tally,
    )  # fmt: skip
    return tally, seen


def test_what_is_done_after_a_step_and_what_is_counted_in_it(tmp_path):
    tally, seen = counting(Job(checkpoints=tmp_path / "whole"))
    assert tally == {"steps": 10} and [t for t, _, _ in seen] == list(range(10))
    # the step is taken, its checkpoint (after 3, 6, 9) not yet written
    assert [before for _, before, _ in seen] == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]
    assert not torch.equal(seen[0][2], seen[1][2]) and not torch.equal(seen[0][2], small()[0][0].bias)
    job = Job(checkpoints=tmp_path / "killed")
    with pytest.raises(Killed):
        counting(job, die_at=8)
    tally, seen = counting(job)  # two steps were counted after the checkpoint of six, and are taken again
    assert tally == {"steps": 10} and [t for t, _, _ in seen] == [6, 7, 8, 9]


def test_a_finished_run_is_not_trained_again(tmp_path):
    job = Job(checkpoints=tmp_path)
    loss, wanted = run(job)
    again, found = run(job, die_at=9)  # would die in iteration 9 if it ran
    assert again == loss and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_kill_while_writing_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    model, optimiser = small()
    training.save_checkpoint(tmp_path, 3, model=model, optimiser=optimiser)

    def killed(*_):
        raise Killed

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        training.save_checkpoint(tmp_path, 6, model=model, optimiser=optimiser)
    assert training.load_checkpoint(tmp_path, model=model, optimiser=optimiser)[0] == 3


def test_an_unreadable_or_foreign_checkpoint_starts_again(tmp_path, caplog):
    model, optimiser = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (tmp_path / training.FILE).write_bytes(b"half a file")
    assert training.load_checkpoint(tmp_path, model=model, optimiser=optimiser) == (0, {})
    other = torch.nn.Sequential(torch.nn.Linear(3, 9))
    training.save_checkpoint(tmp_path, 5, model=other, optimiser=torch.optim.AdamW(other.parameters()))
    assert training.load_checkpoint(tmp_path, model=model, optimiser=optimiser) == (0, {})
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert caplog.text.count("training starts again") == 2


def test_a_loss_that_is_not_finite_is_one_sentence():
    model, optimiser = small()
    with pytest.raises(UserError, match="not finite at iteration 0"):
        training.fit(
            lambda t: torch.tensor(float("nan")),
            model=model,
            optimiser=optimiser,
            rate=lambda t: 1.0,
            iterations=2,
            job=Job(),
        )


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_made_ahead_come_in_order(workers):
    with training.Ahead(lambda t: t * t, iterations=9, workers=workers) as ahead:
        assert [ahead(t) for t in range(3, 9)] == [9, 16, 25, 36, 49, 64]
