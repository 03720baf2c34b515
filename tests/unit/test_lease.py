"""Device leases: eight jobs on two devices never overlap; the kernel frees what a killed job held."""

import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from tag2mask.errors import UserError
from tag2mask.run import lease

LOG = logging.getLogger("test")
HOLD = """
import sys, time, logging
from tag2mask.run.lease import lease
with lease(int(sys.argv[1]), logging.getLogger()) as ids:
    print(*ids, time.monotonic(), flush=True)
    time.sleep(float(sys.argv[2]))
    print(time.monotonic(), flush=True)
"""


@pytest.fixture
def devices(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("TAG2MASK_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("TAG2MASK_DEVICES", "stand-in-0,stand-in-1")


def start(wanted, seconds):
    return subprocess.Popen([sys.executable, "-c", HOLD, str(wanted), str(seconds)], stdout=subprocess.PIPE, text=True)


def test_jobs_on_two_devices_never_overlap(devices):
    jobs = [start(1, 0.3) for _ in range(6)]
    spans = {}
    for job in jobs:
        first, last = job.communicate(timeout=60)[0].splitlines()
        name, began = first.split()
        spans.setdefault(name, []).append((float(began), float(last)))
    assert sorted(spans) == ["stand-in-0", "stand-in-1"]
    for times in spans.values():
        times.sort()
        assert all(before[1] <= after[0] for before, after in zip(times, times[1:]))


def test_two_devices_are_leased_together_or_not_at_all(devices):
    with lease.lease(1, LOG):
        job = start(2, 0)
        time.sleep(1.0)
        assert job.poll() is None
        tries = (lease.try_lock("stand-in-1") for _ in range(10_000))  # it has it for a moment at each look
        assert next(filter(None, tries), None)  # the waiting job holds none
    assert job.communicate(timeout=60)[0].split()[:2] == ["stand-in-0", "stand-in-1"]


def test_one_device_at_a_time_does_not_overtake_a_job_that_waits_for_two(devices):
    with lease.lease(1, LOG):
        two = start(2, 0.3)
        time.sleep(1.5)
        one = start(1, 0)
        time.sleep(1.5)
        assert two.poll() is one.poll() is None  # though a device is free
    _, ended = two.communicate(timeout=60)[0].splitlines()
    began = one.communicate(timeout=60)[0].split()[1]
    assert float(began) >= float(ended)


def test_a_killed_job_frees_its_device(devices):
    job = start(2, 600)
    job.stdout.readline()
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    with lease.lease(2, LOG) as ids:
        assert len(ids) == 2


def test_locks_of_other_devices_and_of_long_names_are_others(devices, monkeypatch, tmp_path):
    monkeypatch.setenv("TAG2MASK_LOCKS", f"{tmp_path}/{'long' * 50}")
    held = {name: lease.try_lock(name) for name in ("0", "1")}
    assert all(held.values()) and lease.try_lock("0") is None
    lease.release(held)
    assert lease.try_lock("0")


def test_none_without_devices_and_an_error_for_too_many(devices, monkeypatch):
    with pytest.raises(UserError, match="gpus: 3 devices are asked for, this machine has 2"), lease.lease(3, LOG):
        pass
    monkeypatch.setenv("TAG2MASK_DEVICES", "")
    with lease.lease(1, LOG) as ids:
        assert ids == []


def test_jobs_of_one_allocation_share_its_devices(devices, tmp_path, monkeypatch):
    """Slurm numbers the devices of every allocation anew, so a lock counts inside it alone."""
    monkeypatch.delenv("TAG2MASK_DEVICES")
    monkeypatch.delenv("TAG2MASK_LOCKS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("SLURM_JOB_ID", f"{tmp_path} 1")
    with lease.lease(1, LOG) as first, lease.lease(1, LOG) as second:
        assert first + second == ["0", "1"]
        monkeypatch.setenv("SLURM_JOB_ID", f"{tmp_path} 2")
        with lease.lease(2, LOG) as other:
            assert other == ["0", "1"]
