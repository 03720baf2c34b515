"""How often a training step makes the program wait for a GPU: numbers and shapes that Python asks the device for, and
what it hands to the device otherwise than by `moved`.

Counted on the CPU: operations whose answer has to come back, and calls in this project that would copy from memory that
is not pinned. Of detectron2's own network (`refine`) only the first are seen.
"""

import collections
import sys

import pytest
import torch
from conftest import ROOT
from learners import LEARNERS, dataset
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tag2mask.learn import loop
from tag2mask.learn.device import moved
from tag2mask.run.job import Job

aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default,
    aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default, aten.bincount.default,
    aten.repeat_interleave.Tensor,
}  # fmt: skip
# A step's, of batches of two photos; what is not named here never waits. BESTIE: the pixels that are guided, of
# instances, of clusters and where there is a choice between centres, by their number. CIM, a branch and photo: which
# proposals are mined, which of them are drawn, and the rounds of the suppression. Mask R-CNN: detectron2's samples,
# boxes and what it logs of them.
MOST = {"bestie": 14, "cim": 18, "refine": 46, "refine_taught": 52}
OURS = str(ROOT / "stages"), str(ROOT / "tag2mask")


class Waits(TorchDispatchMode):
    """Counts them by name."""

    def __init__(self):
        super().__init__()
        self.found = collections.Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func is aten.index.Tensor and any(one is not None and one.dtype == torch.bool for one in args[1])
        if func in WAITS or by_mask:
            self.found[func.__name__] += 1
        return func(*args, **kwargs or {})


class Copies(TorchFunctionMode):
    """Adds to them what this project copies to the device and has to wait for: lists, and tensors but by `moved`."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, caller = kwargs or {}, sys._getframe(1).f_code
        if func is torch.Tensor.to:
            waits = any(isinstance(one, str | torch.device) for one in (*args, *kwargs.values()))
        else:
            waits = func is torch.Tensor.new_tensor or (func in (torch.tensor, torch.as_tensor) and "device" in kwargs)
        if waits and caller.co_filename.startswith(OURS) and caller is not moved.__code__:
            self.found[f"{func.__name__} in {caller.co_qualname}"] += 1
        return func(*args, **kwargs)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("learning"))


@pytest.mark.parametrize("name", LEARNERS)
def test_waits(name, inputs, monkeypatch):
    waits, real = [], loop.Computed.forward

    def forward(self, items, t, **keys):
        with Waits() as mode, Copies(mode.found):
            value = real(self, items, t, **keys)
        waits.append(mode.found)
        return value

    monkeypatch.setattr(loop.Computed, "forward", forward)
    LEARNERS[name].train(inputs, Job(seed=5))
    assert len(waits) == 4
    for one in waits[1:]:  # the first makes the constants that the device keeps
        assert one.total() <= MOST.get(name, 0), one
