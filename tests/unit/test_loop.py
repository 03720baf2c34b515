"""The loop that all networks learn in: sampler, generators, batches made ahead, resume, what is refused.

That every stage's own training resumes with the same bytes is in tests/contracts/test_learning.py.
"""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tag2mask.errors import UserError
from tag2mask.learn import checkpoints, loop
from tag2mask.learn.photos import alike
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


def test_photos_are_read_ahead_on_a_gpu_alone():
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
    rate, tally = make_schedule("one_cycle", 10), {"steps": 0, "photos": 0}

    def make_batch(positions, draw):
        x = draw().standard_normal((len(positions), 3)).astype(np.float32)
        return torch.from_numpy(x + positions[:, None].astype(np.float32))

    def error(x, t):
        if t == die_at:
            raise Killed
        tally["steps"] += 1
        tally["photos"] = tally["photos"] + torch.tensor(len(x)).double()
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
    # those counted after the checkpoint were taken again; what the device counted is a plain number in the end
    assert found.tally == {"steps": 10, "photos": 60} and {type(one) for one in found.tally.values()} == {float}


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


def test_more_devices_than_photos_are_one_sentence():
    with pytest.raises(UserError, match="numbers: 7 devices cannot share a batch of 6: set gpus to fewer"):
        run(Job(ranks=7))


@pytest.mark.parametrize(("ranks", "accumulate", "cuts"), [(1, 1, [0, 6]), (4, 1, [0, 1, 3, 4, 6]), (2, 9, range(7))])
def test_slices_of_all_processes_are_the_batch(ranks, accumulate, cuts):
    """In order, each photo once, as many slices a process; never one without a photo."""
    task = SimpleNamespace(batch=6, accumulate=accumulate)
    found = [loop.slices_of(task, Job(rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert len({len(own) for own in found}) == 1
    assert [(one.start, one.stop) for own in found for one in own] == list(zip(cuts, cuts[1:]))


def test_the_order_of_a_pass_is_made_once():
    loop.order.cache_clear()
    seen = [loop.sample(12, 8, t, seed=1) for t in range(6)]  # four passes
    assert loop.order.cache_info().misses == 4
    assert all(sorted(np.concatenate(seen)[k : k + 12]) == list(range(12)) for k in range(0, 48, 12))


def test_a_slice_draws_what_its_photos_draw_in_the_whole_batch():
    draw = loop.Draw(3, 5, before=np.array([7, 9]))
    assert draw(1).random() == loop.rng(3, 5, 3).random() and draw().random() == loop.rng(3, 5).random()


def test_nobody_waits_for_the_device_between_two_looks(monkeypatch):
    """What would make a GPU's host wait is counted: a look at the loss every 50 iterations and one at the end."""
    waits = []
    for name in ("item", "tolist", "nonzero", "__float__", "__bool__", "__int__", "cpu", "numpy"):
        real = getattr(torch.Tensor, name)

        def counted(self, *given, real=real, name=name, **keys):
            waits.append(name)
            return real(self, *given, **keys)

        monkeypatch.setattr(torch.Tensor, name, counted)
    monkeypatch.setattr(loop, "on_cpu", lambda job: False)
    model = torch.nn.Linear(3, 1)
    for iterations, looks in ((100, 2), (120, 3)):
        waits.clear()
        task = loop.Task(
            "numbers", photos=12, batch=6, iterations=iterations, model=model, rate=lambda t: 1.0, clip=1.0,
            optimiser=torch.optim.SGD(model.parameters(), lr=1e-4), loss=lambda x, t: model(x).square().mean(),
            make_batch=lambda positions, draw: torch.ones(len(positions), 3),
        )  # fmt: skip
        loop.train(task, Job())
        assert waits == ["tolist"] * looks


def test_a_loss_that_was_not_finite_is_named_at_the_next_look(monkeypatch):
    monkeypatch.setattr(loop, "on_cpu", lambda job: False)
    weight = torch.nn.Parameter(torch.ones(1))
    task = loop.Task(
        "numbers", photos=12, batch=6, iterations=10, model=torch.nn.ParameterList([weight]), rate=lambda t: 1.0,
        optimiser=torch.optim.SGD([weight], lr=0.0), make_batch=lambda positions, draw: None,
        loss=lambda _, t: weight.sum() * (float("nan") if t == 7 else 1.0),
    )  # fmt: skip
    with pytest.raises(UserError, match="not finite at iteration 7"):
        loop.train(task, Job())


@pytest.mark.parametrize(("on_cpu", "dtype"), [(True, torch.float32), (False, torch.bfloat16)])
def test_bf16_is_what_a_gpu_computes_in(on_cpu, dtype, monkeypatch):
    """Here on the CPU in its stead; weights and their gradients stay float32."""
    monkeypatch.setattr(loop, "on_cpu", lambda job: on_cpu)
    model, seen = torch.nn.Linear(3, 1), []

    def loss(x, t):
        seen.append(model(x).dtype)
        return model(x).float().square().mean()

    task = loop.Task(
        "numbers", photos=12, batch=6, iterations=1, model=model, rate=lambda t: 1.0, loss=loss, bf16=True,
        optimiser=torch.optim.SGD(model.parameters(), lr=0.1),
        make_batch=lambda positions, draw: torch.ones(len(positions), 3),
    )  # fmt: skip
    loop.train(task, Job())
    assert seen == [dtype] and model.weight.dtype == model.weight.grad.dtype == torch.float32


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


def test_what_is_alike_goes_together():
    assert alike(["a", "b", None, "a", "a", "b"], most=2) == [[0, 3], [1, 5], [4]]
    assert alike([], most=3) == [] and alike([None], most=3) == [] and alike("aab", most=1) == [[0], [1], [2]]
