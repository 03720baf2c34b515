"""What a network's process keeps: oneDNN nothing, the heap what was freed."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tag2mask.learn import memory

SCRIPT = """
import resource, sys
import numpy as np
from tag2mask.learn import memory
if sys.argv[1] == "held":
    memory.hold()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(50_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_memory_that_was_freed_is_not_asked_for_again():
    anew, held = (
        int(subprocess.run([sys.executable, "-c", SCRIPT, word], capture_output=True, text=True, check=True).stdout)
        for word in ("free", "held")
    )
    assert anew > 100 > held  # pages filled with zeros by the system


def test_a_c_library_that_refuses_so_large_a_threshold_gets_its_largest(monkeypatch):
    asked = []
    accepts = SimpleNamespace(
        mallopt=lambda name, value: asked.append((name, value)) or int(name == -1 or value <= 2**25)
    )
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: accepts)
    memory.hold()
    assert asked == [(-1, 2**31 - 1), (-3, 2**31 - 1), (-3, 2**25)]


def test_what_somebody_set_stays(monkeypatch):
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())  # a C library without mallopt
    memory.hold()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "64"
