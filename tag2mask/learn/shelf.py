"""What a training keeps of every photo, on the disk: memory holds a number each."""

import pickle
from array import array

from tag2mask.store.scratch import Scratch


class Shelf:
    """A list that grows, its values on the disk; each comes back as a copy, in any order, in forked processes too."""

    def __init__(self):
        self.scratch, self.first = Scratch(), array("q", [0])

    def append(self, value):
        self.scratch.append(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
        self.first.append(self.scratch.size)

    def __len__(self):
        return len(self.first) - 1

    def __getitem__(self, k):
        """The value `k`, from 0 on."""
        if not 0 <= k < len(self):
            raise IndexError(k)  # which also ends an iteration
        return pickle.loads(self.scratch.read(self.first[k], self.first[k + 1]))
