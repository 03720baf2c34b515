"""Trains learners for ten steps so that one process and several must find the same, up to rounding; as a program, in
the processes that torchrun starts:

    python -m torch.distributed.run --nproc-per-node 2 tests/contracts/together.py FOLDER [LEARNER ...]
"""

import importlib
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from learners import LEARNERS, NETWORK, dataset
from torch import distributed
from torch.distributed.nn.functional import all_reduce

from tag2mask.learn import schedules
from tag2mask.run.job import Job

STEPS, PHOTOS, BATCH = 10, 4, 3  # two processes have one photo and two
EPOCHS = {"batch": BATCH, "epochs": STEPS * BATCH / PHOTOS, "rate": 0.01}
TURNS = {"batch": BATCH, "iterations": STEPS}
# photos of one size, and every sample is taken: those of detectron2 are drawn for each slice by itself
ALL = {"short_side": [48], "rpn_batch": 10**5, "roi_batch": 10**4, "learning_rate": 0.01}
KEYS = {
    "classifier": EPOCHS, "mil": EPOCHS | {"frozen_norm": True}, "icn": EPOCHS | {"rate": 1e-3},
    "bestie": EPOCHS | {"refine_from": 0.3, "rate": 1e-4}, "cim": TURNS | {"rate": 0.01, "frozen_norm": True},
    "segment": TURNS | {"learning_rate": 0.01}, "refine": TURNS | ALL,
}  # fmt: skip
MORE = {
    "bestie_worst": ("bestie", {"semantic_share": 0.2, "terms": "mean"}),
    "rounds": ("refine", {"rounds": 2, "round_score": 0.0}),  # what the first process adds, all learn from
    "two_by_two": ("refine_taught", {"batch": 4, "accumulate": 2}),  # two processes, two parts each
    "resumed": ("classifier", {"checkpoint_every": 4}),  # from a checkpoint of one process, where the test left one
}
NAMES = [*LEARNERS, *MORE]


def trained(name, inputs, job, *, still=False, **keys):
    """What the learner makes of `inputs` in ten steps. still : batch norm keeps its statistics."""
    name, own = MORE.get(name, (name, {}))
    learner = LEARNERS[name]
    stage, section = (importlib.import_module(f"stages.{learner.stage}{end}") for end in ("", ".config"))
    config = section.Config(**{**NETWORK, **learner.keys, **KEYS[learner.stage], **own, **keys})
    with alike(still):
        return stage.train(inputs, config, job)


@contextmanager
def alike(still):
    """No dropout, which every slice draws for itself; no Adam, which makes large steps of rounding errors where a
    gradient is 0; batch norm over all processes, as SyncBatchNorm has it on GPUs: torch's own does not run on a CPU."""
    real = torch.nn.functional.batch_norm

    def batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        if still or not training:
            return real(x, mean, var, weight, bias, False, momentum, eps)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        x, kind = x.double(), x.dtype  # few values have nearly no variance
        sums = torch.stack([x.sum(axes), x.square().sum(axes), torch.full_like(x[0, :, 0, 0], x.numel() / x.shape[1])])
        sums = all_reduce(sums) if distributed.is_initialized() else sums
        own_mean, count = sums[0] / sums[2], sums[2].detach()
        own_var = sums[1] / sums[2] - own_mean.square()
        with torch.no_grad():
            mean.lerp_(own_mean.to(kind), momentum)
            var.lerp_((own_var * count / (count - 1)).to(kind), momentum)
        scale = (own_var + eps).rsqrt() * weight
        return ((x - own_mean[:, None, None]) * scale[:, None, None] + bias[:, None, None]).to(kind)

    with (
        mock.patch("torch.nn.functional.batch_norm", batch_norm),
        mock.patch("torch.nn.functional.dropout", lambda x, *_, **__: x),
        mock.patch.dict(schedules.OPTIMISERS, adam=torch.optim.SGD, adamw=torch.optim.SGD),
    ):
        yield


def arrays(made, numbers):
    """What two trainings are compared by; batch norm counts the parts that it saw, and nobody reads that."""
    weights = {name: one for name, one in made["weights"].arrays().items() if not name.endswith("num_batches_tracked")}
    return {**weights, "loss": np.array(numbers["loss"])}


def main(folder, names):
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo")
    own = folder / f"photos-{rank}"
    own.mkdir()
    inputs = dataset(own)
    for name in names or NAMES:
        left = folder / name
        job = Job(seed=5, rank=rank, ranks=ranks, checkpoints=left if left.is_dir() else None)
        try:
            made = trained(name, inputs, job)
        except Exception:
            (folder / f"{name}.{rank}.txt").write_text(traceback.format_exc())
            os._exit(1)
        if rank == 0:
            np.savez(folder / f"{name}.npz", **arrays(made, job.numbers))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
