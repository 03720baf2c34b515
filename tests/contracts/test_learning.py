"""What every learning stage promises: the seed alone decides, a killed training resumes with the same bytes, and what
goes wrong is one sentence. A new stage that learns joins `learners.LEARNERS`.
"""

from dataclasses import replace

import pytest
import torch
from learners import LEARNERS, dataset

from tag2mask.errors import UserError
from tag2mask.learn import checkpoints, loop
from tag2mask.run.job import Job
from tag2mask.run.registry import stages
from tag2mask.store import store

ITERATIONS = 4  # of every learner; a checkpoint after 2


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("learning"))


@pytest.fixture(scope="module", params=LEARNERS)
def learned(request, inputs):
    """(learner, digests of what an undisturbed training makes, its numbers)."""
    learner, job = LEARNERS[request.param], Job(seed=5)
    return learner, digests(learner.train(inputs, job)), job.numbers


def digests(made):
    return {name: store.digest(artifact.arrays()) for name, artifact in made.items()}


def test_every_stage_that_trains_is_here():
    assert {learner.stage for learner in LEARNERS.values()} == {
        name for name, stage in stages().items() if "train" in stage.jobs
    }


class Killed(BaseException):
    pass


def steps(monkeypatch, *, die_at=None):
    """The list that iterations write their number to when they are taken; `die_at` is not survived."""
    taken, real = [], loop.step

    def step(task, items, t, **keys):
        if t == die_at:
            raise Killed
        taken.append(t)
        return real(task, items, t, **keys)

    monkeypatch.setattr(loop, "step", step)
    return taken


def test_killed_half_way_and_resumed_it_ends_with_the_same_bytes(learned, inputs, tmp_path, monkeypatch):
    learner, wanted, numbers = learned
    with monkeypatch.context() as patch:
        taken = steps(patch, die_at=3)
        with pytest.raises(Killed):
            learner.train(inputs, Job(seed=5, checkpoints=tmp_path))
    assert taken == [0, 1, 2]
    torch.manual_seed(999)  # whatever the new process drew before
    taken, job = steps(monkeypatch), Job(seed=5, checkpoints=tmp_path)
    assert digests(learner.train(inputs, job)) == wanted and job.numbers == numbers
    assert taken == [2, 3]  # the checkpoint stands after two iterations


def test_a_foreign_checkpoint_is_reported_and_training_starts_anew(learned, inputs, tmp_path, monkeypatch, caplog):
    learner, wanted, _ = learned
    other = torch.nn.Linear(3, 9)
    checkpoints.save_checkpoint(tmp_path, 3, model=other, optimiser=torch.optim.AdamW(other.parameters()))
    taken = steps(monkeypatch)
    assert digests(learner.train(inputs, Job(seed=5, checkpoints=tmp_path))) == wanted
    assert taken == list(range(ITERATIONS)) and caplog.text.count("training starts again") == 1


def test_processes_that_read_ahead_change_nothing(learned, inputs, monkeypatch):
    learner, wanted, numbers = learned
    monkeypatch.setattr(loop, "workers_of", lambda job: 2)
    job = Job(seed=5)
    assert digests(learner.train(inputs, job)) == wanted and job.numbers == numbers


def test_another_seed_gives_other_bytes(learned, inputs):
    learner, wanted, _ = learned
    assert digests(learner.train(inputs, Job(seed=6)))["weights"] != wanted["weights"]


def test_what_is_counted(learned):
    _, _, numbers = learned
    assert numbers["photos"] == ITERATIONS and numbers["iterations"] == ITERATIONS and numbers["loss"] > 0


def test_a_loss_that_is_not_finite_is_one_sentence(learned, inputs, monkeypatch):
    learner, _, _ = learned

    def spoilt(optimiser, factor):
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                parameter.data.fill_(torch.nan)

    monkeypatch.setattr(loop, "set_rate", spoilt)
    with pytest.raises(UserError, match=r"^the loss is not finite at iteration 0 \(.*\): lower the learning rate$"):
        learner.train(inputs, Job(seed=5))


def test_bf16_learns(learned, inputs, monkeypatch):
    """Mixed precision, on the CPU in a GPU's stead: the loss is that of float32 to a few parts in a hundred."""
    learner, wanted, numbers = learned
    monkeypatch.setattr(loop, "on_cpu", lambda job: False)
    job = Job(seed=5)
    made = replace(learner, keys=learner.keys | {"precision": "bf16"}).train(inputs, job)
    assert job.numbers["loss"] == pytest.approx(numbers["loss"], rel=0.1)
    assert digests(made)["weights"] != wanted["weights"]
