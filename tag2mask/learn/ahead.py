"""What is made ahead of its use, by other processes: photos and batches, while the network has the device."""

import pickle

import torch
from torch.utils.data import DataLoader


class Ahead:
    """Batches by iteration, made a little ahead of their use; `make(t)` is a pure function of t.

    With 0 workers made when asked for, else by so many processes: reading photos, run lengths and numpy hold Python's
    lock, so that threads would make a GPU wait. They are forked and must not touch the GPU. Iterations must be asked
    for in rising order by one, from any start. What `make` raises is raised when its iteration is asked for.
    """

    def __init__(self, make, *, iterations, workers=0):
        self.make, self.iterations, self.workers, self.made = make, iterations, workers, None

    def __call__(self, t):
        if not self.workers:
            return self.make(t)
        if self.made is None:
            self.made = iter(
                DataLoader(
                    Made(self.make), sampler=range(t, self.iterations), batch_size=None, num_workers=self.workers,
                    collate_fn=as_it_is, worker_init_fn=alone, multiprocessing_context="fork", prefetch_factor=1,
                    generator=torch.Generator(),  # not torch's own, from which networks draw
                )
            )  # fmt: skip
        found = pickle.loads(next(self.made))
        if isinstance(found, Raised):
            raise found.error
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.made = None  # ends the processes


class Raised:
    """An error on its way from a worker, since a DataLoader would put its traceback into the sentence."""

    def __init__(self, error):
        self.error = error


class Made:
    """`make` as a dataset. Bytes come back: tensors would each hold a file open."""

    def __init__(self, make):
        self.make = make

    def __getitem__(self, t):
        try:
            return pickle.dumps(self.make(t), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            return pickle.dumps(Raised(error))


def as_it_is(made):
    return made


def alone(worker):
    """A worker has one thread; that of torch is one by itself."""
    import cv2

    cv2.setNumThreads(0)
