"""How often a training step makes the program wait for a GPU: numbers and shapes that Python asks the device for.

Counted on the CPU, by the operations whose answer has to come back. detectron2's own network (`refine`) is left out.
"""

import collections

import pytest
import torch
from learners import LEARNERS, dataset
from torch.utils._python_dispatch import TorchDispatchMode

from tag2mask.learn import loop
from tag2mask.run.job import Job

aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default,
    aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default, aten.bincount.default,
    aten.repeat_interleave.Tensor,
}  # fmt: skip
# A step's, of batches of two photos; what is not named here never waits. BESTIE: the pixels that are guided, of
# instances, of clusters and where there is a choice between centres, by their number. CIM, a branch and photo: which
# proposals are mined, which of them are drawn, and the rounds of the suppression.
MOST = {"bestie": 15, "cim": 18}


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


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("learning"))


@pytest.mark.parametrize("name", [name for name, one in LEARNERS.items() if one.stage != "refine"])
def test_waits(name, inputs, monkeypatch):
    waits, real = [], loop.Computed.forward

    def forward(self, items, t, **keys):
        with Waits() as mode:
            value = real(self, items, t, **keys)
        waits.append(mode.found)
        return value

    monkeypatch.setattr(loop.Computed, "forward", forward)
    LEARNERS[name].train(inputs, Job(seed=5))
    assert len(waits) == 4
    for one in waits[:-1]:  # in the last tenth of the iterations a few numbers are looked at for the manifest
        assert one.total() <= MOST.get(name, 0), one
    assert waits[-1].total() <= waits[0].total() + 5, waits[-1]
