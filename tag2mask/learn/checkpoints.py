"""The state of a training on the disk: what a killed one goes on from, with the same bytes at its end."""

import logging
from pathlib import Path

import torch

from tag2mask.store.weights import save_tensors

FILE = "checkpoint.pt"


def save_checkpoint(folder, iteration, *, model, optimiser, extra=None):
    """Write the state after `iteration` iterations into `folder`, over the one before; returns the path.

    `extra`: dict of numbers, strings, lists and tensors (a running loss). Random states need not be kept: every
    iteration draws from its own. Written as `.part`, flushed, renamed: a kill leaves the earlier checkpoint whole.
    """
    path = Path(folder) / FILE
    state = {
        "iteration": int(iteration),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
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
    return state["iteration"], state["extra"]
