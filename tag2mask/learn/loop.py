"""The one loop in which every network learns, and the `Task` that a stage gives it: its photos, its loss.

All that happens is a function of (seed, iteration) and of the state before, so a training that was killed and resumed
sees the same photos, the same random crops and the same rates as one that was not, and on the CPU ends with the same
bytes.

    start(job)  # before the network is drawn
    train(Task("DeepLab", photos=len(photos), batch=8, iterations=300, model=model, optimiser=optimiser, rate=rate,
               make_batch=make_batch, loss=loss), job)
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from tag2mask.errors import UserError
from tag2mask.learn.checkpoints import load_checkpoint, save_checkpoint
from tag2mask.learn.schedules import set_rate


@dataclass
class Task:
    """What a network learns and from what.

    name : shown to the user. photos : how many there are. batch : photos an iteration. model : torch.nn.Module on its
    device. optimiser : torch's. rate : iteration -> factor of the optimiser's rates.
    make_batch : (positions (batch,) int64 of photos, draw) -> anything that `loss` takes; a pure function, perhaps
    called by threads. draw() is the random generator of the iteration, draw(k) that of its k-th photo: use one of both.
    loss : (what make_batch gave, iteration) -> scalar tensor; torch's random state is that of the iteration.
    every : iterations between checkpoints. clip : largest norm of the gradient, 0: any. after : called with t when the
    step of iteration t is taken and before a checkpoint of it; leaves the model's mode as it is. tally : plain numbers
    that `loss` may count in; checkpoints keep them.
    """

    name: str
    photos: int
    batch: int
    iterations: int
    model: torch.nn.Module
    optimiser: torch.optim.Optimizer
    rate: Callable
    make_batch: Callable
    loss: Callable
    every: int = 200
    clip: float = 0.0
    after: Callable | None = None
    tally: dict = field(default_factory=dict)


def start(job):
    """Seed torch and make its CPU operations deterministic; for a GPU no such claim is made."""
    torch.set_num_threads(max(1, job.threads))
    torch.use_deterministic_algorithms(on_cpu(job))
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs 7 % of a training step
    torch.manual_seed(job.seed)


def train(task, job):
    """Take all iterations of `task`, with checkpoints, resume and progress; the model ends in evaluation mode.

    Counts photos, iterations and the running mean of the loss, which forgets with a factor of 0.98 an iteration, in
    job.numbers. Checkpoints lie in job.checkpoints (None: none). Raises UserError where the loss is not finite.
    """
    if len(job.devices) > 1:
        raise UserError(f"{task.name} trains on one device: set gpus to 1 (the batch fits one large GPU)")
    model, optimiser = task.model, task.optimiser
    done, mean = 0, None
    if job.checkpoints is not None:
        done, extra = load_checkpoint(job.checkpoints, model=model, optimiser=optimiser, log=job.log)
        mean = extra.get("loss")
        task.tally.update(extra.get("tally", {}))
        if done:
            job.log.info("resumed at iteration %d of %d", done, task.iterations)

    def make(t):
        positions = sample(task.photos, task.batch, t, seed=job.seed)
        return task.make_batch(positions, partial(rng, job.seed, t))

    model.train()
    turns = range(done, task.iterations)
    with Ahead(make, iterations=task.iterations, workers=workers_of(job)) as batches:
        for t in job.progress(turns, total=task.iterations, before=done, unit="iterations", what=task.name):
            set_rate(optimiser, task.rate(t))
            mean = averaged(mean, step(task, batches(t), t, seed=job.seed))
            if task.after is not None:
                task.after(t)
            if job.checkpoints is not None and ((t + 1) % task.every == 0 or t + 1 == task.iterations):
                extra = {"loss": mean, "tally": task.tally}
                save_checkpoint(job.checkpoints, t + 1, model=model, optimiser=optimiser, extra=extra)
    model.eval()
    job.count(photos=task.photos, iterations=task.iterations, loss=round(mean, 4))


def step(task, items, t, *, seed):
    """The loss of iteration t as a float, after the optimiser's step for it."""
    task.optimiser.zero_grad(set_to_none=True)
    # networks draw from torch's global state (dropout, detectron2's samples): it starts anew in every iteration
    torch.manual_seed(int(np.random.default_rng((seed, 2, t)).integers(2**62)))
    try:
        loss = task.loss(items, t)
        value = float(loss.detach())
    except FloatingPointError:  # detectron2 looks at its boxes before there is a loss
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"the loss is not finite at iteration {t} ({task.name}): lower the learning rate")
    loss.backward()
    if task.clip:
        trained = [p for group in task.optimiser.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(trained, task.clip)
    task.optimiser.step()
    return value


def averaged(mean, value):
    """The running mean of the loss, which begins with the first value."""
    return value if mean is None else 0.98 * mean + 0.02 * value


def sample(count, batch, iteration, *, seed):
    """Positions (batch,) int64 in [0, count) of the photos that an iteration sees.

    Every photo once per pass, in a new order each pass; a batch may run over the end of a pass. A pure
    function: no state is kept, so iteration 1000 costs what iteration 0 costs.
    """
    at = np.arange(iteration * batch, (iteration + 1) * batch)
    passes = at // count
    orders = {int(e): np.random.default_rng((seed, 0, int(e))).permutation(count) for e in np.unique(passes)}
    return np.array([orders[int(e)][p] for e, p in zip(passes, at % count)], np.int64)


def rng(seed, iteration, *place):
    """The random generator of one iteration, or of one `place` in its batch; place 0 has that of the iteration."""
    return np.random.default_rng((seed, 1, iteration, *place))


def on_cpu(job):
    return not str(job.device).startswith("cuda")


def workers_of(job):
    """Threads that read photos ahead: the job's own on a GPU, none where the network needs the processor itself."""
    return 0 if on_cpu(job) else job.workers


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
