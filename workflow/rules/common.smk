# What all rules share; no method lives here. A rule file says which files go in and which come out.
import os
import re
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from tag2mask.errors import UserError
from tag2mask.run import estimate, recipes, registry, request, unfinished
from tag2mask.run.code_digest import code_digest
from tag2mask.run.lease import available
from tag2mask.run.plan import Plan

try:
    PLAN = Plan.load(config)
    PLAN.look_outside()
    if workflow.is_main_process:
        registry.dataset().check(PLAN.config(registry.dataset().word))
except UserError as error:
    raise WorkflowError(str(error)) from None

STAGES, RULES = registry.stages(), registry.rules()
DATASET = registry.dataset().word
OUT = f"results/{PLAN.run}"
SHARDS = [f"{n:04d}" for n in range(PLAN.config(DATASET)["shards"])]
INDEX = f"{OUT}/{DATASET}/default/index.zarr.zip"
SCRIPT = "../scripts/run_stage.py"
DEVICES = available() if PLAN.gpus else []

if workflow.is_main_process and (LOST := unfinished.lost(PLAN, OUT)):
    print(unfinished.sentence(LOST), file=sys.stderr)

for folder in ("results", OUT, *(f"{OUT}/{name}" for name in ("logs", "benchmarks", *STAGES))):
    if os.path.isfile(folder):
        raise WorkflowError(
            f"{os.path.abspath(folder)} is a file, not a folder; move it, or choose another --directory."
        )


pathvars:
    out=OUT,
    logs=f"{OUT}/logs",
    benchmarks=f"{OUT}/benchmarks",
    job="job",


wildcard_constraints:
    variant="[A-Za-z0-9_-]+",
    recipe="[A-Za-z0-9_-]+",
    shard="[0-9]+",


def reads(rule_name, more={}, **files):
    """The inputs of a rule: what its stage declares, the index, files from outside, and the manifests of all of these.

    files : input -> "<stage>/<file>", the variant's (or recipe's) folder left out; {shard} is the job's shard, or in a
    job without one every shard. An input that falls away in a variant is empty. more : input -> function of the
    wildcards. Stores are `ancient`: the manifests beside them decide about a rerun.
    """
    stage, function = RULES[rule_name]
    declared = stage.jobs[function].reads
    if {name: read.stage for name, read in declared.items()} != {
        name: file.split("/")[0] for name, file in files.items()
    }:
        raise WorkflowError(f"{rule_name}: its inputs are not those that stages/{stage.word}/stage.py declares.")
    stores = {name: input_of(stage, declared[name], file) for name, file in files.items()} | more
    vouched = [
        name
        for name in stores
        if name not in declared or STAGES[declared[name].stage].writes(declared[name].artifact).schema
    ]
    return {
        **{name: lambda w, paths=paths: ancient(paths(w)) for name, paths in stores.items()},
        "index": ancient(INDEX),
        "files": lambda w: local_files(stage.word, getattr(w, "variant", "default"), getattr(w, "recipe", None)),
        "manifests": lambda w: manifests(INDEX, *(stores[name](w) for name in vouched)),
    }


def input_of(stage, read, file):
    """A function from wildcards to the path of an artifact, or to a list of paths."""
    word, name = file.split("/", 1)

    def paths(w):
        if word == DATASET:
            return f"{OUT}/{word}/default/{name}" if needed(w) and PLAN.writes(read.artifact) else []
        if STAGES[word].shared:
            if not hasattr(w, "recipe"):
                return [f"{OUT}/{word}/{recipe}/{name}" for recipe in PLAN.runs(word)]
            return f"{OUT}/{word}/{w.recipe}/{name}" if w.recipe in PLAN.runs(word) else []
        if not needed(w):
            return []
        variant = w.variant if word == stage.word else view(w).of(word).variant
        return of_shards(f"{OUT}/{word}/{variant}/{name}", getattr(w, "shard", None))

    def view(w):
        return PLAN.view(stage.word, getattr(w, "variant", "default"), getattr(w, "recipe", None))

    def needed(w):
        return read.when(view(w))

    return paths


def of_shards(path, shard=None):
    """The path with {shard} filled in; where no shard is given, a list of all shards' paths."""
    if "{shard}" not in path or shard is not None:
        return path.replace("{shard}", shard or "")
    return [path.replace("{shard}", one) for one in SHARDS]


def output_of(stage, variant, output):
    """The file of an output as the stage's rule names it, or a list of one a shard."""
    named = next(name for name, (one, job) in RULES.items() if one.word == stage and output in one.jobs[job].writes)
    pattern = str(getattr(workflow.get_rule(named).output, output))
    return of_shards(
        re.sub(r"\{(?:variant|recipe)(?:,[^}]*)?\}", variant, re.sub(r"\{shard[^}]*\}", "{shard}", pattern))
    )


def labels_of(recipe):
    """The files of the instances that become a recipe's pseudo labels."""
    stage, variant = PLAN.source(recipe)
    return output_of(stage, variant, STAGES[stage].labels)


def measured():
    """Input -> function of the recipe's files: what its stages give to be measured, besides its labels."""
    parts = {part for stage in STAGES.values() for part in stage.measured}

    def files(w, part):
        found = recipes.measured(PLAN, w.recipe)
        return output_of(*found[part]) if part in found else []

    return {part: lambda w, part=part: files(w, part) for part in sorted(parts)}


def drawn():
    """Input -> function of no wildcard: the stores of the report's pictures, the manifests of its panels."""
    found = {}
    for k, (picture, stage, variant) in enumerate(recipes.pictures(PLAN)):
        found[f"picture_{k}"] = output_of(stage, variant, picture.maps)
        found[f"picture_{k}_peaks"] = output_of(stage, variant, picture.peaks) if picture.peaks else []
    for k, (_, tells) in enumerate(recipes.panels(PLAN)):
        found[f"panel_{k}"] = [one for label in tells for one in manifests(output_of(*label))]
    return {name: lambda w, files=files: files for name, files in found.items()}


def manifests(*artifacts):
    """The manifests beside these artifacts."""
    flat = [one for given in artifacts for one in ([given] if isinstance(given, str) else given)]
    folders = [os.path.split(str(path)) for path in flat]
    return list(dict.fromkeys(f"{folder}/{name.split('.')[0]}.json" for folder, name in folders))


def local_files(stage, variant, recipe):
    """Files from outside the run that a stage reads: weights, corrections of people. When one changes, it reruns."""
    return [path for path in PLAN.outside(stage, variant, recipe).values() if os.path.isfile(path)]


def job(rule_name):
    """The parameters of a rule: ONE dict of all that decides its result, and the digest of its stage's code."""
    stage, function = RULES[rule_name]
    more = {"shards": len(SHARDS)} if function == "run" and not stage.shared else {}

    def section(w):
        return PLAN.section(
            stage.word, getattr(w, "variant", "default"), function, recipe=getattr(w, "recipe", None), **more
        )

    return {"cfg": section, "code": lambda w: code_digest(stage.word)}


def cores():
    """Cores of this machine that its jobs share, or None where a scheduler runs them on others."""
    if workflow.non_local_exec or workflow.remote_exec:
        return None
    return given if isinstance(given := workflow.resource_settings.cores, int) else real_cores()


def real_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def job_threads(wildcards=None):
    return request.cpu_threads(PLAN.threads, shared=cores(), real=real_cores())


def gpu_threads(wildcards, rulename):
    """Where there is no device, a GPU job is a CPU job."""
    devices, shared = gpus_of_gpu_job(wildcards, rulename), cores()
    if not devices or (shared is not None and not DEVICES):
        return job_threads()
    return request.gpu_threads(PLAN.threads, shared=shared, devices=devices, present=len(DEVICES))


def gpus(wildcards, rulename):
    """Devices of a job on the CPU: those of a GPU job in a variant that computes with a network, else none."""
    stage, function = RULES[rulename]
    wants = not stage.shared and stage.jobs[function].device(
        PLAN.view(stage.word, getattr(wildcards, "variant", "default"))
    )
    return min(1, PLAN.gpus) if wants else 0


def gpus_of_gpu_job(wildcards, rulename):
    """Devices of a GPU job: all of the key `gpus` for a training, one for what works by shards."""
    return PLAN.gpus if RULES[rulename][1] == "train" else min(1, PLAN.gpus)


def mem_mb(wildcards, attempt, rulename):
    """More at every attempt, where a scheduler retries."""
    return request.Request(PLAN, rulename, wildcards).mem_mb * attempt


def minutes(wildcards, attempt, rulename):
    """Likewise."""
    return request.Request(PLAN, rulename, wildcards).minutes * attempt
