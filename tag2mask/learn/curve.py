"""The loss over the time of a training, as the user is told it."""

import math

import torch

from tag2mask.errors import UserError
from tag2mask.learn import whole


class Curve:
    """The running mean of the loss, which begins with the first value and forgets with a factor of 0.98 an iteration.

    name : of the training. every : a value waits until there are so many: a look at them waits for the device. mean :
    float, None before the first look.
    """

    def __init__(self, name, *, every):
        self.name, self.every, self.mean, self.waiting = name, every, None, []

    def add(self, t, value):
        """value : () tensor, the loss of this process's slices of the batch in iteration t."""
        self.waiting.append((t, value))
        if len(self.waiting) >= self.every:
            self.look()

    def look(self):
        """Take in what waits. Raises UserError where it is not finite."""
        if not self.waiting:
            return
        turns, values = zip(*self.waiting)
        self.waiting = []
        for t, value in zip(turns, whole.added([torch.stack(values)]).tolist()):
            if not math.isfinite(value):
                raise self.not_finite(t)
            self.mean = value if self.mean is None else 0.98 * self.mean + 0.02 * value

    def not_finite(self, t):
        """What the user is told of a loss that is not finite in iteration t."""
        return UserError(f"the loss is not finite at iteration {t} ({self.name}): lower the learning rate")
