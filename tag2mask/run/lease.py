"""Device leases: a job takes whole devices for itself before torch is imported, or waits.

Snakemake limits how many GPU jobs run and hands out no device. So every job locks the devices it uses: one file per
device, locked with flock, which the kernel frees when the process dies, however it dies. Locks lie in one folder of
the machine, so that two runs in two folders share the devices.
"""

import contextlib
import fcntl
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

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


def lock_folder() -> Path:
    """The folder of the locks: TAG2MASK_LOCKS, else one of this machine that every user may write to.

    Under Slurm there is one for each of its jobs, which may number its devices from 0 as others do.
    """
    name = "-".join(["tag2mask-devices", *filter(None, [os.environ.get("SLURM_JOB_ID")])])
    folder = Path(os.environ.get("TAG2MASK_LOCKS", Path(tempfile.gettempdir()) / name))
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        folder.chmod(0o777)
    return folder


def try_lock(path: Path) -> int | None:
    """An open, locked file descriptor, or None when another process holds the lock."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)  # reading is what another user's file allows
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except OSError:
        os.close(descriptor)
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
    held: dict[str, int] = {}
    waiting = False
    while len(held) < wanted:
        for name in ids:
            descriptor = try_lock(lock_folder() / f"{name.replace('/', '_')}.lock")
            if descriptor is not None:
                held[name] = descriptor
            if len(held) == wanted:
                break
        if len(held) < wanted:  # all or none: two half leases would wait for each other for ever
            release(held)
            if not waiting:
                log.info("waiting for %d of %d devices", wanted, len(ids))
                waiting = True
            time.sleep(PAUSE)
    try:
        yield list(held)
    finally:
        release(held)


def release(held: dict[str, int]) -> None:
    """Give back all that is held."""
    for descriptor in held.values():
        os.close(descriptor)
    held.clear()
