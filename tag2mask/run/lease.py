"""Device leases: a job takes whole devices for itself before torch is imported, or waits.

Snakemake limits how many GPU jobs run and hands out no device. So every job locks the devices it uses. A lock is a name
in the kernel (an abstract Unix socket) that one process can have and that is free when the process dies, however it
dies: no file is left, and users and runs in other folders share the devices too.
"""

import contextlib
import hashlib
import logging
import os
import socket
import subprocess
import time
from collections.abc import Iterator

from tag2mask.errors import UserError

PAUSE = 0.2  # seconds between two looks at busy devices


def available() -> list[str]:
    """Ids of this machine's devices: TAG2MASK_DEVICES, else CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists.

    An id that starts with "stand-in" is leased like a device but the job computes on the CPU (for tests).
    """
    for name in ("TAG2MASK_DEVICES", "CUDA_VISIBLE_DEVICES"):
        if name in os.environ:
            return [part.strip() for part in os.environ[name].split(",") if part.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(n) for n, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU")]


def try_lock(name: str) -> socket.socket | None:
    """The lock of that name, held until it is closed, or None when another process holds it.

    Names are those of TAG2MASK_LOCKS where it is set (for tests), else of the job of Slurm, which may number its
    devices from 0 as others do, else of the machine.
    """
    where = os.environ.get("TAG2MASK_LOCKS", os.environ.get("SLURM_JOB_ID", ""))
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind("\0tag2mask-" + hashlib.sha256(f"{where} {name}".encode()).hexdigest())  # at most 107 bytes
        return lock
    except OSError:
        lock.close()
        return None


@contextlib.contextmanager
def lease(wanted: int, log: logging.Logger) -> Iterator[list[str]]:
    """Hold `wanted` devices together, or none; yields their ids ([] on a machine without a device).

    Waits until enough are free. Raises UserError when the machine, or the allocation of a scheduler, has fewer.
    """
    ids = available()
    if wanted == 0 or not ids:
        yield []
        return
    if wanted > len(ids):
        raise UserError(f"gpus: {wanted} devices are asked for, this machine has {len(ids)}; set gpus to fewer.")
    held: dict[str, socket.socket] = {}
    turn = None  # of those that choose among the same: whoever wants many devices is not overtaken while it waits
    waiting = False
    while len(held) < wanted:
        turn = turn or try_lock(f"turn of {ids}")
        for name in ids if turn else []:
            if len(held) < wanted and (lock := try_lock(name)):
                held[name] = lock
        if len(held) < wanted:  # all or none: two half leases would wait for each other for ever
            release(held)
            if not waiting:
                log.info("waiting for %d of %d devices", wanted, len(ids))
                waiting = True
            time.sleep(PAUSE)
    if turn:
        turn.close()
    try:
        yield list(held)
    finally:
        release(held)


def release(held: dict[str, socket.socket]) -> None:
    """Give back all that is held."""
    for lock in held.values():
        lock.close()
    held.clear()
