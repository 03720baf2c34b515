"""One batch cut into slices: a slice for every process on a device of its own, cut again where a batch is accumulated.

What the losses of all slices add up to is the loss of the whole batch, so gradients that are added up are those of one
process. A loss keeps to that by three functions; where nothing is cut each gives back what it was given.

    share(mean)      a mean over the slice's photos, as its part of the mean over the batch's
    total(count)     what a sum is divided by, counted in the whole batch
    gathered(rows)   what all slices have, in the order of the batch
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Slice:
    """The photos start to stop - 1 of a batch of so many."""

    start: int
    stop: int
    batch: int


class Ledger:
    """What the parts of an accumulated batch tell each other: noted in a first pass over them, read in the second.

    Every part asks the same questions in the same order.
    """

    def __init__(self):
        self.notes, self.answers, self.at = [], None, 0

    def look(self, value, join):
        """The answer to the next question; in the first pass only noted."""
        at, self.at = self.at, self.at + 1
        if self.answers is not None:
            return self.answers[at]
        if at == len(self.notes):
            self.notes.append((join, []))
        self.notes[at][1].append(value.detach())
        return value

    def close(self):
        """End of the first pass."""
        self.answers = [join(values) for join, values in self.notes]


_slice, _ledger = None, None  # those of the loss that is being computed; None: of the whole batch


@contextmanager
def computing(part, ledger=None):
    """Within it `part` (Slice) is what a loss is computed of."""
    global _slice, _ledger
    before = _slice, _ledger
    _slice, _ledger = part if part.stop - part.start < part.batch else None, ledger
    if ledger is not None:
        ledger.at = 0
    try:
        yield
    finally:
        _slice, _ledger = before


def share(mean):
    """`mean` (tensor) over the photos of the slice -> the summand that it is of the mean over the whole batch."""
    return mean if _slice is None else mean * ((_slice.stop - _slice.start) / _slice.batch)


def total(count):
    """A count of the slice, () tensor -> that of the whole batch, without gradient."""
    return _asked(count, added)


def gathered(rows):
    """(n, ...) tensor of the slice -> (N, ...) of the whole batch, without gradient. n may differ between slices."""
    return _asked(rows, joined)


def is_first():
    """Whether the slice begins the batch: to count an iteration once."""
    return _slice is None or _slice.start == 0


def _asked(value, join):
    if _slice is None:
        return value
    return join([value.detach()]) if _ledger is None else _ledger.look(value, join)


def added(values):
    """Sum of a list of tensors of one shape, over all processes."""
    value = sum(values[1:], values[0])
    if processes() > 1:
        value = value.clone().to(device())
        distributed.all_reduce(value)
    return value


def joined(values):
    """A list of (n, ...) tensors one after another, those of all processes in their order."""
    rows = torch.cat(values)
    if processes() == 1:
        return rows
    rows = rows.to(device())
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(processes())]
    distributed.all_gather(counts, torch.full((1,), len(rows), device=rows.device))
    counts = torch.cat(counts).tolist()  # the one time that a device is waited for
    padded = rows.new_zeros(max(counts), *rows.shape[1:])  # one size for all, as collectives want it
    padded[: len(rows)] = rows
    found = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(found, padded)
    return torch.cat([one[:count] for one, count in zip(found, counts)])


def of_first(value):
    """What the first process has, anything that pickle can carry, for all of them."""
    values = [value]
    if processes() > 1:
        distributed.broadcast_object_list(values)
    return values[0]


def processes():
    """How many train together; 1 where none other was started."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def device():
    """Where collectives want tensors to lie."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
