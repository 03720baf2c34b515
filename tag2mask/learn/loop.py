"""The one loop in which every network learns, and the `Task` that a stage gives it: its photos, its loss.

All that happens is a function of (seed, iteration) and of the state before, so a training that was killed and resumed
sees the same photos, the same random crops and the same rates as one that was not, and on the CPU ends with the same
bytes. Of a batch that is cut into slices (whole.py), for several devices or to be accumulated, every photo is the same
as of one that is not.

    start(job)  # before the network is drawn
    train(Task("DeepLab", photos=len(photos), batch=8, iterations=300, model=model, optimiser=optimiser, rate=rate,
               make_batch=make_batch, loss=loss), job)
"""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from tag2mask.errors import UserError
from tag2mask.learn import memory, whole
from tag2mask.learn.ahead import Ahead
from tag2mask.learn.checkpoints import load_checkpoint, save_checkpoint
from tag2mask.learn.curve import Curve
from tag2mask.learn.schedules import set_rate

LOOK = 50  # iterations between two looks at the loss on a GPU: a look waits for it


@dataclass
class Task:
    """What a network learns and from what.

    name : shown to the user. photos : how many there are. batch : photos an iteration. model : torch.nn.Module on its
    device. optimiser : torch's. rate : iteration -> factor of the optimiser's rates.
    make_batch : (positions (b,) int64 of photos, draw) -> anything that `loss` takes and pickle can carry; a pure
    function, perhaps called by other processes; b photos of the batch, see `Draw`.
    loss : (what make_batch gave, iteration) -> scalar tensor, of a slice as whole.py says; torch's random state is that
    of the iteration. asks : the same arguments -> nothing: asks `whole` what `loss` asks, in its order; None: it asks
    nothing. every : iterations between checkpoints. clip : largest norm of the gradient, 0: any. after : called with t
    when the step of iteration t is taken and before a checkpoint of it; leaves the model's mode as it is. tally :
    numbers that `loss` may add to, of its slice, also () float64 tensors, which wait for nothing; they become plain
    ones in the end. Checkpoints keep them.
    accumulate : parts that a device computes one after another to take one step. bf16 : whether a GPU computes in
    bfloat16 where torch's autocast says so; weights, their steps and sums stay float32. joint : whether the network
    sees all photos of a slice at once, so that live batch norm has to see those of all devices; False: one by one.
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
    asks: Callable | None = None
    every: int = 200
    clip: float = 0.0
    after: Callable | None = None
    tally: dict = field(default_factory=dict)
    accumulate: int = 1
    bf16: bool = False
    joint: bool = True


@dataclass(frozen=True)
class Draw:
    """The random generators of a slice: called without an argument that of the iteration, with k that of the k-th photo
    of the slice; a batch uses one of both. before : positions of the batch's photos in front of the slice, which the
    generator of the iteration has to pass over."""

    seed: int
    iteration: int
    before: np.ndarray

    def __call__(self, *place):
        return rng(self.seed, self.iteration, *(len(self.before) + k for k in place))


def start(job):
    """Seed torch and make its CPU operations deterministic; for a GPU no such claim is made. See `memory.hold`, too."""
    if on_cpu(job):
        memory.hold()
    torch.set_num_threads(max(1, job.threads))
    torch.use_deterministic_algorithms(on_cpu(job))
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs 7 % of a training step
    torch.manual_seed(job.seed)


def train(task, job):
    """Take all iterations of `task`, with checkpoints, resume and progress; the model ends in evaluation mode.

    Counts photos, iterations and the running mean of the loss, which forgets with a factor of 0.98 an iteration, in
    job.numbers. Checkpoints lie in job.checkpoints (None: none); any number of devices goes on from them. Raises
    UserError where the loss is not finite, or a device would have no photo.
    """
    if task.batch < job.ranks:
        raise UserError(f"{task.name}: {job.ranks} devices cannot share a batch of {task.batch}: set gpus to fewer")
    model, optimiser = task.model, task.optimiser
    done, curve = 0, Curve(task.name, every=1 if on_cpu(job) else LOOK)
    if job.checkpoints is not None:
        done, extra = load_checkpoint(job.checkpoints, model=model, optimiser=optimiser, log=job.log)
        curve.mean = extra.get("loss")
        if job.rank == 0:  # it holds what all have counted together
            task.tally.update(extra.get("tally", {}))
        if done:
            job.log.info("resumed at iteration %d of %d", done, task.iterations)
    slices = slices_of(task, job)

    def make(t):
        at = sample(task.photos, task.batch, t, seed=job.seed)
        return [
            (part, task.make_batch(at[part.start : part.stop], Draw(job.seed, t, at[: part.start]))) for part in slices
        ]

    compute = computed(task, job)
    model.train()
    turns = range(done, task.iterations)
    with Ahead(make, iterations=task.iterations, workers=workers_of(job)) as batches:
        for t in job.progress(turns, total=task.iterations, before=done, unit="iterations", what=task.name):
            set_rate(optimiser, task.rate(t))
            step(task, batches(t), t, compute=compute, curve=curve, seed=job.seed)
            if task.after is not None:
                task.after(t)
            if job.checkpoints is not None and ((t + 1) % task.every == 0 or t + 1 == task.iterations):
                curve.look()
                extra = {"loss": curve.mean, "tally": tallied(task)}
                if job.rank == 0:
                    save_checkpoint(job.checkpoints, t + 1, model=model, optimiser=optimiser, extra=extra)
    curve.look()
    task.tally.update(tallied(task))
    model.eval()
    job.count(photos=task.photos, iterations=task.iterations, loss=round(curve.mean, 4))


def slices_of(task, job):
    """The slices of a batch that this process computes, one after another: all processes have as many."""
    parts = min(task.accumulate, task.batch // job.ranks)
    cuts = np.linspace(0, task.batch, job.ranks * parts + 1).astype(int).tolist()
    mine = range(job.rank * parts, (job.rank + 1) * parts)
    return [whole.Slice(cuts[k], cuts[k + 1], task.batch) for k in mine]


class Computed(torch.nn.Module):
    """The loss as a module around the network, as DistributedDataParallel wants it: its arguments -> its value."""

    def __init__(self, task, job):
        super().__init__()
        self.model, self.loss, self.asks = task.model, task.loss, task.asks
        self.half = torch.device(job.device).type if task.bf16 and not on_cpu(job) else None

    def forward(self, items, t, *, asking=False):
        with torch.autocast(self.half, torch.bfloat16) if self.half else nullcontext():
            return (self.asks if asking else self.loss)(items, t)


def computed(task, job):
    """(items, iteration) -> loss of a slice; with several processes its gradients are the mean of theirs."""
    compute = Computed(task, job)
    if job.ranks == 1:
        return compute
    if task.joint and not on_cpu(job):
        from timm.layers import convert_sync_batchnorm  # torch's own loses the activation of timm's layers

        convert_sync_batchnorm(task.model)
    # some layers of a backbone may be deeper than what is asked for; buffers are alike, or of one process on purpose
    return DistributedDataParallel(compute, broadcast_buffers=False, find_unused_parameters=True)


def step(task, parts, t, *, compute, curve, seed):
    """The optimiser's step of iteration t. parts : [(Slice, items)]; `curve` is told the loss."""
    task.optimiser.zero_grad(set_to_none=True)
    ledger, value = None, 0.0
    try:
        if len(parts) > 1 and task.asks is not None:
            ledger = asked(task, parts, t, compute=compute, seed=seed)
        for k, (part, items) in enumerate(parts):
            last = k + 1 == len(parts)
            with whole.computing(part, ledger), nullcontext() if last else unsynchronised(compute):
                seed_torch(seed, t, part)
                loss = compute(items, t)
                value = value + loss.detach()
                if last:
                    curve.add(t, value)
                (loss * whole.processes()).backward()  # the mean of the processes' gradients is then their sum
    except FloatingPointError:  # detectron2 looks at its boxes before there is a loss
        raise curve.not_finite(t) from None
    if task.clip:
        trained = [p for group in task.optimiser.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(trained, task.clip)
    task.optimiser.step()


def asked(task, parts, t, *, compute, seed):
    """A Ledger of what the losses of all parts ask; the network's buffers and the tally stay as they were."""
    ledger, tally = whole.Ledger(), dict(task.tally)
    buffers = [buffer.clone() for buffer in task.model.buffers()]
    with torch.no_grad():
        for part, items in parts:
            with whole.computing(part, ledger):
                seed_torch(seed, t, part)
                getattr(compute, "module", compute)(items, t, asking=True)
        for buffer, before in zip(task.model.buffers(), buffers):
            buffer.copy_(before)
    task.tally.update(tally)
    ledger.close()
    return ledger


def unsynchronised(compute):
    """Where gradients are added up and not yet exchanged."""
    return compute.no_sync() if isinstance(compute, DistributedDataParallel) else nullcontext()


def seed_torch(seed, t, part):
    """Networks draw from torch's global state (dropout, detectron2's samples): it starts anew in every iteration, and
    slices of one batch have different ones."""
    place = (part.start,) if part.start else ()
    torch.manual_seed(int(np.random.default_rng((seed, 2, t, *place)).integers(2**62)))


def tallied(task):
    """The tally of all processes together, in plain numbers."""
    if not task.tally:
        return {}
    values = whole.added([torch.tensor([float(value) for value in task.tally.values()], dtype=torch.float64)])
    return dict(zip(task.tally, values.tolist()))


def sample(count, batch, iteration, *, seed):
    """Positions (batch,) int64 in [0, count) of the photos that an iteration sees.

    Every photo once per pass, in a new order each pass; a batch may run over the end of a pass. A pure
    function: iteration 1000 costs what iteration 0 costs.
    """
    at = np.arange(iteration * batch, (iteration + 1) * batch)
    return np.array([order(count, int(e), seed=seed)[p] for e, p in zip(at // count, at % count)], np.int64)


@functools.lru_cache(maxsize=2)  # a batch may run over the end of a pass
def order(count, number, *, seed):
    """(count,) int64: the photos in the order of a pass, made once a pass: there may be millions."""
    return np.random.default_rng((seed, 0, number)).permutation(count)


def rng(seed, iteration, *place):
    """The random generator of one iteration, or of one `place` in its batch; place 0 has that of the iteration."""
    return np.random.default_rng((seed, 1, iteration, *place))


def on_cpu(job):
    return not str(job.device).startswith("cuda")


def workers_of(job):
    """Processes that read photos ahead: the job's threads on a GPU, none where the network needs the processor."""
    return 0 if on_cpu(job) else job.workers
