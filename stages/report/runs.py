"""What the manifests of a run tell: warnings, counts, configuration; time, memory and versions of every job."""

from pathlib import Path

from tag2mask.run.registry import dataset, stages
from tag2mask.store.manifest import read_json
from tag2mask.store.store import manifest_path


def run_folder(index):
    """results/<run> of the index at results/<run>/<stage>/default/index.zarr.zip."""
    return Path(index).parents[2]


def reached(run, stores):
    """{"stage/variant/name.json": manifest} of `stores` and of everything they were made from, in name order."""
    todo = ["/".join(manifest_path(path).parts[-3:]) for path in stores]
    found = {}
    while todo:
        name = todo.pop()
        if name in found:
            continue
        content = read_json(run / name)
        if content:
            found[name] = content
            todo.extend(content.get("inputs", {}))
    return dict(sorted(found.items()))


def jobs(run, manifests, metrics=()):
    """One dict a job, in the order of the stages: stage, variant, part, manifest and the content of its .run.json."""
    names = {**manifests, **{"/".join(Path(path).parts[-3:]): {} for path in metrics}}
    found = []
    for name, manifest in names.items():
        stage, variant, file = name.split("/")
        made = read_json((run / name).with_suffix(".run.json"))
        train = manifest.get("section", {}).get("function") == "train"
        found.append({
            "stage": stage, "variant": variant, "part": file.removesuffix(".json"), "train": train,
            "manifest": manifest, "run": made,
        })  # fmt: skip
    return sorted(found, key=lambda job: (place(job["stage"]), not job["train"], job["variant"], job["part"]))


def place(stage):
    """Sort key of a stage: the order of the work, unknown stages last by name."""
    order = list(stages())
    return (order.index(stage), "") if stage in order else (len(order), stage)


def warnings(jobs, skipped=()):
    """[{"where", "sentence", "times"}]: what the stages warned of, and the photos that were left out."""
    found = {}
    for job in jobs:
        for sentence in job["manifest"].get("warnings", []):
            key = (f"{job['stage']} · {job['variant']}", sentence)
            found[key] = found.get(key, 0) + 1
    rows = [{"where": where, "sentence": sentence, "times": times} for (where, sentence), times in found.items()]
    if skipped:
        some = "; ".join(f"{name}: {sentence}" for name, sentence in skipped[:5])
        more = f"; and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        rows.insert(
            0, {"where": dataset().word, "sentence": f"{len(skipped)} photos left out: {some}{more}", "times": 1}
        )
    return rows


def costs(jobs):
    """[{"stage", "jobs", "seconds", "cpu", "memory", "variants": [...same]}] of the jobs with a .run.json."""
    grouped = {}
    for job in jobs:
        if job["run"]:
            title = job["stage"] + (" · train" if job["train"] else "")
            grouped.setdefault(title, {}).setdefault(job["variant"], []).append(job["run"])
    return [
        {
            **cost([run for runs in variants.values() for run in runs]),
            "stage": title,
            "variants": [{**cost(runs), "variant": name} for name, runs in variants.items()],
        }
        for title, variants in grouped.items()
    ]


def cost(runs):
    """Sums over jobs of wall and CPU seconds, the highest peak memory in MB, the devices."""
    return {
        "jobs": len(runs),
        "seconds": sum(run["wall_seconds"] for run in runs),
        "cpu": sum(run["cpu_seconds"] for run in runs),
        "memory": max(run["peak_memory_mb"] for run in runs),
        "device": ", ".join(sorted({str(run["device"]) for run in runs})),
    }


def busy(jobs):
    """Seconds in which at least one job ran, or None where a run file does not say when it began."""
    spans = [(job["run"].get("began"), job["run"].get("ended")) for job in jobs if job["run"]]
    if not spans or any(began is None or ended is None for began, ended in spans):
        return None
    total, reach = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, reach))
        reach = max(reach, ended)
    return total


def versions(jobs):
    """{"library": "version"}, several versions joined where jobs differ; Python and threads too."""
    found = {}
    for job in jobs:
        run = job["run"]
        more = {"python": run.get("python"), "torch threads": run.get("threads")} if run else {}
        for name, version in {**more, **run.get("versions", {})}.items():
            if version is not None:
                found.setdefault(name, set()).add(str(version))
    return {name: ", ".join(sorted(values)) for name, values in found.items()}


def sections(jobs):
    """[{"title", "config", "seed"}]: one a stage, variant and function, shards taken together."""
    found = {}
    for job in jobs:
        section = job["manifest"].get("section")
        if section:
            title = f"{job['stage']} · {job['variant']}" + (" · train" if job["train"] else "")
            found.setdefault(title, {
                "title": title, "config": section.get("config", {}), "seed": section.get("seed"),
            })  # fmt: skip
    return list(found.values())
