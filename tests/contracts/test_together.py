"""Several processes, each on its device, learn what one learns; and so does a batch that is computed part by part."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import together
from conftest import ROOT
from learners import dataset

from tag2mask.learn import loop
from tag2mask.run.job import Job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("learning"))


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def two(inputs, tmp_path_factory):
    """The folder of what two processes made."""
    folder, real = tmp_path_factory.mktemp("two"), loop.step

    def step(task, parts, t, **keys):
        if t == 6:
            raise Killed
        real(task, parts, t, **keys)

    (folder / "resumed").mkdir()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "step", step)
        together.trained("resumed", inputs, Job(seed=5, checkpoints=folder / "resumed"))
    here = ["--standalone", "--local-addr=127.0.0.1", "--nproc-per-node=2"]
    program = str(Path(together.__file__))
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *here, program, str(folder)],
        cwd=ROOT, env=env, capture_output=True, text=True,
    )  # fmt: skip
    said = [path.read_text() for path in folder.glob("*.txt")]
    assert ran.returncode == 0, said or ran.stderr[-3000:]
    return folder


def close(found, wanted):
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", together.NAMES)
def test_two_processes_agree_with_one(name, two, inputs):
    job = Job(seed=5)
    with np.load(two / f"{name}.npz") as found:
        close(dict(found), together.arrays(together.trained(name, inputs, job, accumulate=1), job.numbers))


@pytest.mark.parametrize("name", together.NAMES)
def test_parts_agree_with_the_whole(name, inputs):
    """A batch of three in two parts, as it is and as one; live batch norm, which sees a part, is held still."""
    whole, parts = Job(seed=5), Job(seed=5)
    wanted = together.arrays(together.trained(name, inputs, whole, still=True, accumulate=1), whole.numbers)
    found = together.arrays(together.trained(name, inputs, parts, still=True, accumulate=2), parts.numbers)
    close(found, wanted)
    for one in ("refined_iterations", "tag_loss", "class_loss"):  # what the tallies say
        if one in whole.numbers:
            assert parts.numbers[one] == pytest.approx(whole.numbers[one], abs=1e-3)
