"""The loop that all networks learn in: sampler, generators, batches made ahead, resume, what is refused.

That every stage's own training resumes with the same bytes is in tests/contracts/test_learning.py.
"""

import os

import numpy as np
import pytest
import torch

from tag2mask.errors import UserError
from tag2mask.learn import checkpoints, loop
from tag2mask.learn.schedules import make_schedule
from tag2mask.run.job import Job
from tag2mask.run.progress import line


def test_every_photo_once_per_pass_and_nothing_but_seed_and_iteration_counts():
    seen = np.concatenate([loop.sample(10, 4, t, seed=7) for t in range(5)])  # two passes of ten
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])
    assert np.array_equal(loop.sample(10, 4, 3, seed=7), seen[12:16])
    assert not np.array_equal(loop.sample(1000, 50, 0, seed=7), loop.sample(1000, 50, 0, seed=8))


def test_a_batch_may_be_larger_than_the_dataset():
    assert sorted(loop.sample(2, 5, 0, seed=0)) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])


def test_generators_differ_by_iteration_and_place_and_repeat():
    drawn = [loop.rng(3, *at).random() for at in ((5,), (6,), (5, 1), (5, 2))]
    assert len(set(drawn)) == 4
    assert drawn == [loop.rng(3, *at).random() for at in ((5,), (6,), (5, 1), (5, 2))]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_made_ahead_come_in_order(workers):
    with loop.Ahead(lambda t: t * t, iterations=9, workers=workers) as ahead:
        assert [ahead(t) for t in range(3, 9)] == [9, 16, 25, 36, 49, 64]


def test_threads_read_ahead_on_a_gpu_alone():
    assert loop.workers_of(Job(device="cpu", threads=4, workers=3)) == 0
    assert loop.workers_of(Job(device="cuda:0", threads=4, workers=3)) == 3


class Killed(BaseException):
    pass


def small():
    """A network whose training uses torch's random state (dropout), and its optimiser."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
    )
    return model, torch.optim.AdamW(model.parameters(), lr=0.05)


def run(job, *, die_at=None, after=None, loss=None, clip=0.0):
    """Ten iterations over 12 photos in sixes, every third a checkpoint; each counts itself. Returns the Task."""
    loop.start(job)
    model, optimiser = small()
    rate, tally = make_schedule("one_cycle", 10), {"steps": 0}

    def make_batch(positions, draw):
        x = draw().standard_normal((len(positions), 3)).astype(np.float32)
        return torch.from_numpy(x + positions[:, None].astype(np.float32))

    def error(x, t):
        if t == die_at:
            raise Killed
        tally["steps"] += 1
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    task = loop.Task(
        "numbers", photos=12, batch=6, iterations=10, model=model, optimiser=optimiser, rate=rate,
        make_batch=make_batch, loss=loss or error, every=3, clip=clip, after=after, tally=tally,
    )  # fmt: skip
    loop.train(task, job)
    return task


def same(a, b):
    a, b = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("die_at", [1, 3, 7, 9])
def test_resumed_training_equals_undisturbed_training_bit_for_bit(tmp_path, die_at):
    job = Job()
    wanted = run(job)
    assert job.numbers["photos"] == 12 and job.numbers["iterations"] == 10 and not wanted.model.training
    again = Job(checkpoints=tmp_path)
    with pytest.raises(Killed):
        run(again, die_at=die_at)
    torch.rand(17)  # another process has another random state
    found = run(again)
    assert again.numbers == job.numbers and same(found, wanted)
    assert found.tally == {"steps": 10}  # those counted after the checkpoint were taken again


def test_progress_counts_from_the_start_of_the_training(tmp_path, caplog):
    job = Job(checkpoints=tmp_path)
    with pytest.raises(Killed):
        run(job, die_at=7)
    with caplog.at_level("INFO"):
        run(job)
    assert "resumed at iteration 6 of 10" in caplog.text and "numbers: 10/10 iterations" in caplog.text
    # 4 of these 80 were done in these 2 seconds: 2 a second, 20 left
    assert line("x", 60, 80, "iterations", 2.0, before=56) == "x: 60/80 iterations, 2/s, 00:10 left"


def test_what_is_done_after_a_step(tmp_path):
    """`after` sees the step taken, its checkpoint (after 3, 6, 9) not yet written; a resumed run goes on with it."""
    job, seen = Job(checkpoints=tmp_path), []

    def after(t):
        seen.append((t, checkpoints.load_checkpoint(tmp_path, model=small()[0], optimiser=small()[1])[0]))

    with pytest.raises(Killed):
        run(job, die_at=8, after=after)
    run(job, after=after)
    assert seen == [*zip(range(8), [0, 0, 0, 3, 3, 3, 6, 6]), (6, 6), (7, 6), (8, 6), (9, 9)]


def test_a_finished_run_is_not_trained_again(tmp_path):
    job = Job(checkpoints=tmp_path)
    wanted = run(job)
    numbers = dict(job.numbers)
    found = run(job, die_at=9)  # would die in iteration 9 if it ran
    assert job.numbers == numbers and same(found, wanted)


def test_the_gradient_is_clipped():
    """All of the loss is the bias: its gradient is 8 and becomes 2; without the norm's help SGD would show it as is."""
    norms = []
    real = torch.nn.utils.clip_grad_norm_

    def clip(parameters, most):
        norms.append((float(real(parameters, most)), most))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
        run(Job())
        assert norms == []
        run(Job(), clip=2.0)
    assert len(norms) == 10 and all(most == 2.0 for _, most in norms) and norms[0][0] > 2


@pytest.mark.parametrize("fault", ["nan", "raised"])
def test_a_loss_that_is_not_finite_is_one_sentence(fault):
    def loss(x, t):
        if fault == "raised":
            raise FloatingPointError("Predicted boxes or scores contain Inf/NaN. Training has diverged.")
        return torch.tensor(float("nan"))

    with pytest.raises(UserError, match=r"not finite at iteration 0 \(numbers\): lower the learning rate"):
        run(Job(), loss=loss)


def test_more_devices_than_one_are_one_sentence():
    with pytest.raises(UserError, match="numbers trains on one device: set gpus to 1"):
        run(Job(devices=("0", "1")))


def test_a_kill_while_writing_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    model, optimiser = small()
    checkpoints.save_checkpoint(tmp_path, 3, model=model, optimiser=optimiser)

    def killed(*_):
        raise Killed

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Killed):
        checkpoints.save_checkpoint(tmp_path, 6, model=model, optimiser=optimiser)
    assert checkpoints.load_checkpoint(tmp_path, model=model, optimiser=optimiser)[0] == 3


def test_an_unreadable_or_foreign_checkpoint_starts_again(tmp_path, caplog):
    model, optimiser = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (tmp_path / checkpoints.FILE).write_bytes(b"half a file")
    assert checkpoints.load_checkpoint(tmp_path, model=model, optimiser=optimiser) == (0, {})
    other = torch.nn.Sequential(torch.nn.Linear(3, 9))
    checkpoints.save_checkpoint(tmp_path, 5, model=other, optimiser=torch.optim.AdamW(other.parameters()))
    assert checkpoints.load_checkpoint(tmp_path, model=model, optimiser=optimiser) == (0, {})
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert caplog.text.count("training starts again") == 2
