"""One training on several devices: a process a device, started by torchrun; the first writes what is made.

The job that leased the devices waits for them and is their parent: when it dies, they die.
"""

import contextlib
import ctypes
import datetime
import json
import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from tag2mask.errors import UserError
from tag2mask.run import adapter

LONG = datetime.timedelta(days=7)  # the others wait while the first makes snapshots, or for a lock
SAID = "said.txt"  # beside the job's file: the sentence for the user of the process that failed first


def launch(given: dict[str, Any], devices: list[str]) -> None:
    """Run the job `given` (adapter.description) in as many processes as devices. Raises what a user can mend as
    UserError, KeyboardInterrupt after Ctrl-C, else RuntimeError; the processes have shown their tracebacks."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no warning that every layer of a network is used
    with tempfile.TemporaryDirectory(prefix="tag2mask-") as folder:
        file = Path(folder, "job.json")
        file.write_text(json.dumps({**given, "devices": devices, "parent": os.getpid()}))
        here = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={len(devices)}"]
        try:
            run.main([*here, "-m", __name__, str(file)])
        except SignalException as stopped:
            if stopped.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            sys.exit(128 + stopped.sigval)
        except ChildFailedError as failed:
            said = file.with_name(SAID)
            if said.exists():
                raise UserError(said.read_text()) from None
            rank, _ = failed.get_first_failure()
            raise RuntimeError(f"process {rank} of {len(devices)} failed; its own words stand above") from None


def main(file: Path) -> None:
    """One of the processes. A sentence for the user is left to the parent."""
    given = json.loads(file.read_text())
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != given["parent"]:
        sys.exit(1)
    import torch
    from torch import distributed

    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    on_gpu = adapter.device_name(given["devices"]) != "cpu"
    if on_gpu:
        torch.cuda.set_device(rank)
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=LONG)
    if rank == 0:
        log = adapter.open_log(given["log"], given["name"], fresh=False)
    else:
        log = logging.getLogger("tag2mask.other")
        log.propagate, log.disabled = False, True
    try:
        adapter.work(given, given["devices"], log, rank=rank, ranks=ranks)
        distributed.destroy_process_group()
    except BaseException as error:
        sentence = adapter.sentence_for(error, given)
        if sentence is not None:
            with contextlib.suppress(FileExistsError), file.with_name(SAID).open("x") as said:
                said.write(sentence)
        elif not isinstance(error, KeyboardInterrupt):
            traceback.print_exc()
        os._exit(1)  # the others may wait in a collective for ever: no farewell


if __name__ == "__main__":
    main(Path(sys.argv[1]))
