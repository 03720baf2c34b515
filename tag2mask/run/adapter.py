"""Between Snakemake and a stage: log, threads, device lease, checkpoints, atomic writes, manifest.

A stage is a plain function `run(inputs, config, job) -> {output name: artifact}`; everything it must not care about
is here. An artifact is a store, weights, a dict (written as JSON) or a str (written as text).
"""

import contextlib
import errno
import fcntl
import hashlib
import importlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tag2mask.errors import UserError
from tag2mask.run.config import parse
from tag2mask.run.job import Job
from tag2mask.run.lease import lease

# Nothing here imports numpy or torch: they look for their number of threads once, when they are imported.


def main(snakemake: Any) -> None:
    """Run one Snakemake job. Exit status 1 and one sentence for what a user can mend, 130 and one after Ctrl-C, a
    traceback for a bug."""
    given = description(snakemake)
    log = open_log(given["log"], given["name"])
    try:
        execute(given, log)
    except KeyboardInterrupt:
        log.warning("stopped by Ctrl-C; the same command goes on from here")
        sys.exit(130)
    except (UserError, OSError) as error:
        sentence = sentence_for(error, given)
        if sentence is None:
            raise
        log.error(sentence)
        sys.exit(1)


def description(snakemake: Any) -> dict[str, Any]:
    """All that a job is told by Snakemake, as JSON can hold it."""
    cfg = dict(snakemake.params.cfg)
    rule = cfg["stage"] + ("_train" if cfg["function"] == "train" else "")
    return {
        "name": ".".join([rule, *map(str, snakemake.wildcards)]), "log": str(snakemake.log[0]), "cfg": cfg,
        "code": snakemake.params.code, "inputs": plain(snakemake.input), "outputs": plain(snakemake.output),
        "shard": snakemake.wildcards.get("shard"), "workers": int(snakemake.threads),
        "threads": int(snakemake.resources.get("torch_threads", 1)), "gpus": int(snakemake.resources.get("gpu", 0)),
    }  # fmt: skip


def plain(named: Mapping[str, Any]) -> dict[str, Any]:
    """Snakemake's named files as name -> path or list of paths."""
    return {name: str(one) if isinstance(one, str) else [str(part) for part in one] for name, one in named.items()}


def sentence_for(error: BaseException, given: dict[str, Any]) -> str | None:
    """What to tell the user of `error`, or None where it is a bug."""
    if isinstance(error, UserError):
        return str(error)
    mendable = (errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EACCES, errno.EROFS)
    if not isinstance(error, OSError) or error.errno not in mendable:
        return None
    place = error.filename or Path(next(iter(given["outputs"].values()))).parent
    return (
        f"{error.strerror}: {place}; make room or choose another results folder (--directory), then run the same "
        "command again."
    )


def execute(given: dict[str, Any], log: logging.Logger) -> None:
    """The job itself, from lease to manifest; a training on several devices in a process for each."""
    with lease(given["gpus"], log) as devices:
        set_environment(devices, given["threads"])
        if given["cfg"]["function"] == "train" and len(devices) > 1:
            from tag2mask.run.ranks import launch

            launch(given, devices)
        else:
            work(given, devices, log)


def work(given: dict[str, Any], devices: list[str], log: logging.Logger, *, rank: int = 0, ranks: int = 1) -> None:
    """What a process does on the devices that were leased: the first one writes what was made, and its manifest."""
    cfg, code, began = given["cfg"], given["code"], time.time()
    stage = importlib.import_module(f"stages.{cfg['stage']}")
    config = parse(importlib.import_module(f"stages.{cfg['stage']}.config").Config, cfg["config"], where=cfg["stage"])
    start_libraries(given["threads"])
    from tag2mask.store import manifest
    from tag2mask.store.store import manifest_path

    inputs, digests = read_inputs(given["inputs"])
    first = next(iter(given["outputs"].values()))
    job = Job(
        seed=cfg.get("seed", 0), device=device_name(devices, rank), devices=tuple(devices), threads=given["threads"],
        workers=max(1, given["workers"] // ranks), shard=None if given["shard"] is None else int(given["shard"]),
        shards=cfg.get("shards", 1), rank=rank, ranks=ranks, folder=Path(first).parent, log=log,
    )  # fmt: skip
    key = hashlib.sha256(json.dumps([cfg, code, digests], sort_keys=True).encode()).hexdigest()[:24]
    with checkpoints(job, key, cfg["function"] == "train"):
        log.info("started%s", f" on {', '.join(devices)}" if devices else "")
        made = getattr(stage, cfg["function"])(inputs, config, job)
        if rank == 0:
            save(given["outputs"], made, job, section=cfg, inputs=digests)
    if rank == 0:
        run_file = manifest_path(first).with_suffix(".run.json")
        manifest.write_run(
            run_file, code=code, device=job.device, devices=devices, threads=given["threads"], began=began,
            cpu_seconds=time.process_time(),
        )  # fmt: skip
    log.info("done in %.1f s: %s", time.time() - began, summary(made, job.numbers))


def open_log(path: str | Path, name: str, *, fresh: bool = True) -> logging.Logger:
    """A logger to the terminal and to the rule's log file, which several processes may append to; fresh: it is empty
    before."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        Path(path).write_text("")
    log = logging.getLogger("tag2mask")
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in (logging.StreamHandler(sys.stderr), logging.FileHandler(path)):
        handler.setFormatter(logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
    return log


def set_environment(devices: list[str], threads: int) -> None:
    """What must stand before torch and numpy are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi and Slurm count, not the fastest first
    real = [name for name in devices if not name.startswith("stand-in")]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(real)


def start_libraries(threads: int) -> None:
    """Thread counts of the libraries that do not read the environment."""
    import cv2

    cv2.setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def device_name(devices: list[str], rank: int = 0) -> str:
    """ "cuda:<rank>" (of the leased ones) or "cpu"."""
    return f"cuda:{rank}" if any(not name.startswith("stand-in") for name in devices) else "cpu"


def read_inputs(given: Mapping[str, str | list[str]]) -> tuple[SimpleNamespace, dict[str, dict[str, str]]]:
    """(namespace of Path or list of Path, digests of the manifests): the rule's named inputs."""
    from tag2mask.store import manifest

    values = {}
    for name, value in given.items():
        values[name] = Path(value) if isinstance(value, str) else [Path(one) for one in value] or None
    manifests = values.pop("manifests", None) or []
    return SimpleNamespace(**values), manifest.input_digests([manifests] if isinstance(manifests, Path) else manifests)


@contextlib.contextmanager
def checkpoints(job: Job, key: str, used: bool) -> Iterator[None]:
    """The checkpoint folder of a training job, held against an orphan of a killed run, deleted on success.

    Of processes that train together the first one holds it; all are in it at the same time.
    """
    if not used or job.folder is None:
        yield
        return
    root = next(parent for parent in job.folder.parents if parent.parent.name == "results" or parent.name == "results")
    folder = root / ".checkpoints" / key
    folder.mkdir(parents=True, exist_ok=True)
    job.checkpoints = folder
    if job.rank:
        meet(job)
        yield
        meet(job)
        return
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            job.log.info("waiting for an earlier run of this job that still trains")
            fcntl.flock(lock, fcntl.LOCK_EX)
        meet(job)
        yield
        meet(job)
        shutil.rmtree(folder, ignore_errors=True)  # while it is held: who waits for it then starts anew


def meet(job: Job) -> None:
    """Wait until all processes of the job are here."""
    if job.ranks > 1:
        from torch import distributed

        distributed.barrier()


def save(
    outputs: Mapping[str, str], made: Mapping[str, Any], job: Job, *, section: dict[str, Any], inputs: Mapping[str, Any]
) -> None:
    """Write every declared output, then the manifests: a store without its manifest is not finished."""
    from tag2mask.store import manifest
    from tag2mask.store.store import manifest_path

    vouched: dict[Path, dict[str, Any]] = {}
    for name, file in outputs.items():
        path = Path(file)
        if name.endswith("manifest"):
            continue
        artifact = made[name]
        if isinstance(artifact, dict):
            manifest.write_json(path, artifact)
        elif isinstance(artifact, str):
            manifest.write_text(path, artifact)
        else:
            artifact.save(path)
            vouched.setdefault(manifest_path(path), {})[path.name] = artifact
    for number, (path, artifacts) in enumerate(vouched.items()):
        manifest.write_manifest(
            path, artifacts=artifacts, section=section, inputs=inputs,
            numbers=job.numbers if number == 0 else {}, warnings=job.warnings if number == 0 else [],
        )  # fmt: skip


def summary(made: Mapping[str, Any], numbers: Mapping[str, Any]) -> str:
    """One line of counts for the end of a job."""
    parts = [
        f"{count} {what}"
        for artifact in made.values()
        if hasattr(artifact, "counts")
        for what, count in artifact.counts().items()
        if what in ("images", "instances", "maps", "edge", "parameters")
    ]
    parts += [f"{name} {value:.4g}" for name, value in numbers.items() if isinstance(value, int | float)]
    return ", ".join(parts) or "written"
