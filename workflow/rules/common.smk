# Paths, sections and limits that all rules share; no method lives here.
import math
import os
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from tag2mask.run import estimate
from tag2mask.run.code_digest import code_digest
from tag2mask.errors import UserError
from tag2mask.run.lease import available
from tag2mask.run.plan import STAGES, Pipeline

try:
    PLAN = Pipeline.load(config)
    PLAN.look_outside()
except UserError as error:
    raise WorkflowError(str(error)) from None

OUT = f"results/{PLAN.run}"
LOGS = f"{OUT}/logs"
TIMES = f"{OUT}/benchmarks"
SHARDS = [f"{n:04d}" for n in range(PLAN.config("images")["shards"])]
INDEX = f"{OUT}/images/default/index.zarr.zip"
TRUTH = f"{OUT}/images/default/truth.zarr.zip"
POINTS = f"{OUT}/images/default/points.zarr.zip"
HAS_TRUTH = PLAN.config("images")["kind"] != "folder"
SCRIPT = "../scripts/run_stage.py"
DEVICES = available() if PLAN.gpus else []

for folder in ("results", OUT, LOGS, TIMES, *(f"{OUT}/{stage}" for stage in STAGES)):
    if os.path.isfile(folder):
        raise WorkflowError(
            f"{os.path.abspath(folder)} is a file, not a folder; move it, or choose another --directory."
        )


wildcard_constraints:
    variant="[A-Za-z0-9_-]+",
    recipe="[A-Za-z0-9_-]+",
    shard="[0-9]+",


def at(stage, variant, name):
    """One artifact. Its date never matters: the manifest beside it decides about a rerun."""
    return ancient(f"{OUT}/{stage}/{variant}/{name}")


def each(stage, variant, suffix="zarr.zip"):
    """One artifact of every shard, in shard order."""
    return ancient([f"{OUT}/{stage}/{variant}/{shard}.{suffix}" for shard in SHARDS])


def manifests(*artifacts):
    """The manifests beside these artifacts."""
    flat = [one for given in artifacts for one in ([given] if isinstance(given, str) else given)]
    folders = [os.path.split(str(path)) for path in flat]
    return list(dict.fromkeys(f"{folder}/{name.split('.')[0]}.json" for folder, name in folders))


def section(stage, variant="default", function="run", **more):
    return PLAN.section(stage, variant, function, **more)


def job_threads(wildcards=None):
    """Cores to reserve: never more jobs at once than the machine has real cores, whatever --cores says."""
    real = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = workflow.cores if isinstance(workflow.cores, int) else real
    return min(cores, max(PLAN.threads, math.ceil(PLAN.threads * cores / real)))


def gpu_threads(wildcards=None):
    """On a machine with devices a GPU job costs its threads; without one, or with gpus: 0, it is a CPU job."""
    return PLAN.threads if DEVICES else job_threads()


def mem_mb(megabytes):
    """More memory at every attempt, where a scheduler retries."""
    return lambda wildcards, attempt: megabytes * attempt


onstart:
    for line in estimate.lines(PLAN):
        logger.info(line)


onsuccess:
    table = f"{OUT}/report/table.md"
    if os.path.exists(table):
        print(open(table).read())
        print(f"Report: {os.path.abspath(f'{OUT}/report/report.html')}")
