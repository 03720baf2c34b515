"""What the learning stages share: sampler, learning-rate schedules, checkpoints, one training loop.

Everything here is a function of (seed, iteration), so a run that was killed and resumed sees the same photos,
the same random crops and the same rates as one that was not, and on the CPU ends with the same bytes.

    model, optimiser = ...
    training.start(job.seed, job.device, threads=job.threads)
    rate = partial(training.step_rate, drops=(100, 200), gamma=0.1)  # iteration -> factor of the rates
    loss = training.fit(lambda t: loss_of(batch(sample(n, 8, t, seed=job.seed), rng(job.seed, t))),
                        model=model, optimiser=optimiser, rate=rate, iterations=300, job=job)
"""

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tag2mask.errors import UserError
from tag2mask.store.weights import save_tensors

FILE = "checkpoint.pt"


def start(seed, device="cpu", *, threads=1):
    """Seed torch and make its CPU operations deterministic; for a GPU no such claim is made."""
    torch.set_num_threads(max(1, threads))
    torch.use_deterministic_algorithms(not str(device).startswith("cuda"))
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs 7 % of a training step
    torch.manual_seed(seed)


def sample(count, batch, iteration, *, seed):
    """Positions (batch,) int64 in [0, count) of the photos that an iteration sees.

    Every photo once per pass, in a new order each pass; a batch may run over the end of a pass. A pure
    function: no state is kept, so iteration 1000 costs what iteration 0 costs.
    """
    at = np.arange(iteration * batch, (iteration + 1) * batch)
    passes = at // count
    orders = {int(e): np.random.default_rng((seed, 0, int(e))).permutation(count) for e in np.unique(passes)}
    return np.array([orders[int(e)][p] for e, p in zip(passes, at % count)], np.int64)


def rng(seed, iteration):
    """The random generator of one iteration (for augmentation), independent of the others and of `sample`."""
    return np.random.default_rng((seed, 1, iteration))


class Ahead:
    """Batches by iteration, made by threads a little ahead of their use; `make(t)` is a pure function of t.

    With 0 workers made when asked for. Iterations must be asked for in rising order by one, from any start.
    """

    def __init__(self, make, *, iterations, workers=0):
        self.make, self.iterations, self.depth = make, iterations, 2 * workers
        self.pool = ThreadPoolExecutor(workers) if workers else None
        self.waiting = {}

    def __call__(self, t):
        if self.pool is None:
            return self.make(t)
        for k in range(t, min(t + self.depth + 1, self.iterations)):
            if k not in self.waiting:
                self.waiting[k] = self.pool.submit(self.make, k)
        return self.waiting.pop(t).result()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def iterations_of(epochs, count, batch):
    """Number of iterations of `epochs` passes (a float is allowed) over `count` photos; at least 1."""
    return max(1, math.ceil(epochs * count / batch))


def step_rate(iteration, *, drops, gamma=0.1, warmup=0, start=0.001):
    """Factor: times `gamma` from each iteration of `drops` on; linear from `start` in the first `warmup`."""
    factor = gamma ** sum(iteration >= drop for drop in drops)
    return factor * (_ramp(iteration / warmup, start, 1.0) if iteration < warmup else 1.0)


def poly_rate(iteration, *, total, power=0.9, warmup=0, start=0.001):
    """Factor (1 - iteration / total) ** power; linear from `start` over the first `warmup` iterations."""
    factor = max(0.0, 1 - iteration / total) ** power
    return factor * (_ramp(iteration / warmup, start, 1.0) if iteration < warmup else 1.0)


def one_cycle_rate(iteration, *, total, rise=0.3, start=1 / 25, end=1e-4):
    """Factor from `start` up to 1 over the first `rise` of the run, then down to `end`; half cosines."""
    top = max(1.0, rise * total)
    if iteration < top:
        return _ramp((1 - math.cos(math.pi * iteration / top)) / 2, start, 1.0)
    return _ramp((1 + math.cos(math.pi * min(1.0, (iteration - top) / max(1.0, total - top)))) / 2, end, 1.0)


def _ramp(x, low, high):
    return low + (high - low) * x


def set_rate(optimiser, factor):
    """Give every parameter group its own rate (remembered as `initial_lr`) times `factor`."""
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])
        group["lr"] = group["initial_lr"] * factor


def save_checkpoint(folder, iteration, *, model, optimiser, extra=None):
    """Write the state after `iteration` iterations into `folder`, over the one before; returns the path.

    `extra`: dict of numbers, strings, lists and tensors (a scheduler's state_dict, a running loss). The
    random state of torch goes along. Written as `.part`, flushed, renamed: a kill leaves the earlier
    checkpoint whole.
    """
    path = Path(folder) / FILE
    state = {
        "iteration": int(iteration),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "extra": extra or {},
    }
    save_tensors(state, path)
    return path


def load_checkpoint(folder, *, model, optimiser, log=None):
    """Restore what `save_checkpoint` wrote. Returns (iterations done, extra): (0, {}) where there is none.

    A file that cannot be used is reported in the log and training starts again, which costs time only.
    Nothing is unpickled but tensors and plain values.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return 0, {}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        expected = {name: value.shape for name, value in model.state_dict().items()}
        if {name: value.shape for name, value in state["model"].items()} != expected:
            raise ValueError("another model")
    except Exception as error:
        (log or logging.getLogger(__name__)).warning(
            "the checkpoint %s cannot be used (%s): training starts again", path, type(error).__name__
        )
        return 0, {}
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"])
    if torch.cuda.is_available() and len(state["random_cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["random_cuda"])
    return state["iteration"], state["extra"]


def fit(
    step, *, model, optimiser, rate, iterations, job, every=200, clip=None, what="training", after=None, tally=None
):
    """Run `iterations` steps, with checkpoints, resume and progress; returns the running mean of the loss.

    step(t) -> scalar loss tensor of iteration t, a function of t and the model only; rate(t) -> factor of the
    learning rates. A checkpoint is written every `every` iterations into job.checkpoints (None: never). The
    mean forgets with a factor of 0.98 an iteration and is part of the checkpoint. after(t) is called when the
    optimiser has taken the step of iteration t, before a checkpoint of it; it must leave the model's mode and the
    random state as they are. tally : dict of plain numbers that `step` counts in; checkpoints keep them.
    """
    done, mean, tally = 0, None, {} if tally is None else tally
    if job.checkpoints is not None:
        done, extra = load_checkpoint(job.checkpoints, model=model, optimiser=optimiser, log=job.log)
        mean = extra.get("loss")
        tally.update(extra.get("tally", {}))
        if done:
            job.log.info("resumed at iteration %d of %d", done, iterations)
    save = partial(save_checkpoint, job.checkpoints, model=model, optimiser=optimiser)
    model.train()
    for t in job.progress(range(done, iterations), total=iterations - done, unit="iterations", what=what):
        set_rate(optimiser, rate(t))
        optimiser.zero_grad(set_to_none=True)
        loss = step(t)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise UserError(f"the loss is not finite at iteration {t} ({what}): lower the learning rate")
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], clip)
        optimiser.step()
        mean = value if mean is None else 0.98 * mean + 0.02 * value
        if after is not None:
            after(t)
        if job.checkpoints is not None and (t + 1) % every == 0 and t + 1 < iterations:
            save(t + 1, extra={"loss": mean, "tally": tally})
    if job.checkpoints is not None and done < iterations:
        save(iterations, extra={"loss": mean, "tally": tally})
    model.eval()
    return mean
