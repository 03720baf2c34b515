"""What a training keeps of every photo, on the disk: memory holds a number each."""

import os
import pickle
import tempfile
from array import array


class Shelf:
    """A list that grows, its values in a file without a name; each comes back as a copy, in any order.

    Processes that are forked afterwards read it too, all at once: they share no position.
    """

    def __init__(self):
        self.file, self.first = tempfile.TemporaryFile(), array("q", [0])

    def append(self, value):
        self.first.append(self.first[-1] + self.file.write(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)))
        self.file.flush()

    def __len__(self):
        return len(self.first) - 1

    def __getitem__(self, k):
        """The value `k`, from 0 on."""
        if not 0 <= k < len(self):
            raise IndexError(k)  # which also ends an iteration
        return pickle.loads(os.pread(self.file.fileno(), self.first[k + 1] - self.first[k], self.first[k]))
