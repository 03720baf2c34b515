"""Mask R-CNN on labels some of which are missing: what `refine.ignore`, `score_weight` and `rounds` bring.

    python -m benchmarks.incomplete results/demo                                   # true masks, 60 % of them dropped
    python -m benchmarks.incomplete results/demo --recipe transfer --drop 0        # a recipe's own labels
    python -m benchmarks.incomplete results/demo --iterations 150 --rows plain ignore --print

Takes index, labels and semantic maps of a run, whose recipes need not have trained a Mask R-CNN, and trains one for
every row, all with the same photos, schedule and seed. Several folders are seeds of one configuration. What is finished
is kept in <run>/incomplete, and a killed command goes on where it was. Writes a section of docs/benchmarks.md.
"""

import argparse
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml
from snakemake.utils import update_config

from benchmarks import sections
from benchmarks.ablate_liid import grid
from stages import refine
from stages.evaluate import measures
from stages.evaluate.config import Config as Evaluate
from stages.refine.config import Config
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan
from tag2mask.store.manifest import read_json, write_json

# row -> its keys; its first round is the training of the row named second
ROWS = {
    "plain": ({}, None), "ignore": ({"ignore": 0.3}, None), "score_weight": ({"score_weight": True}, None),
    "rounds": ({"rounds": 2}, "plain"), "ignore_rounds": ({"ignore": 0.3, "rounds": 2}, "ignore"),
    "weight_rounds": ({"score_weight": True, "rounds": 2}, "score_weight"),
}  # fmt: skip
INDEX = "images/default/index.zarr.zip"
COLUMNS = ("mAP25", "mAP50", "mAP75", "AP")
ADDED = ("instances", "true_positives")


def config_of(files, iterations):
    """The section `refine` of these configuration files, laid over one another as Snakemake does."""
    values = {}
    for file in ("config/recipes.yaml", *files):
        update_config(values, yaml.safe_load(Path(file).read_text()))
    return Plan.load(values).config("refine") | ({"iterations": iterations} if iterations else {})


def labels_of(folder, recipe, drop, seed):
    """The recipe's labels, each left out with the probability `drop`."""
    labels = Instances.load(folder / f"pseudo_labels/{recipe}/labels.zarr")
    return labels.select(np.random.default_rng(seed).random(len(labels)) >= drop)


def measured(folder, room, row, keys, given):
    """Metrics of one row of a run, from its file if it was finished before."""
    own = room / row
    if (own / "metrics.json").exists():
        return read_json(own / "metrics.json")
    index, truth = Index.load(folder / INDEX), Instances.load(folder / "images/default/truth.zarr.zip")
    answers, added = trained(folder, room, row, keys, given)

    def metrics(table, split):
        names = [index.image_id[i] for i in index.where(split)]
        return measures.instance_metrics(measures.subset(truth, names, where="the ground truth"), table, Evaluate())

    found = metrics(answers, "val")
    if added.images:
        of_labels = metrics(added, "with_masks")
        found["added"] = {name: of_labels[name] for name in ADDED}
    write_json(own / "metrics.json", found)
    return found


def trained(folder, room, row, keys, given):
    """(what the row's Mask R-CNN predicts, the labels that its rounds added), both Instances."""
    changed, first = ROWS[row]
    checkpoints, before = (room / name / "checkpoints" for name in (row, first or row))
    if not checkpoints.exists() and before.exists():
        shutil.copytree(before, checkpoints)  # where the other ended: its last iteration
    checkpoints.mkdir(parents=True, exist_ok=True)
    inputs = SimpleNamespace(
        index=folder / INDEX, labels=room / "labels.zarr.zip", weights=room / row / "weights.pt",
        semantic=sorted(folder.glob(f"semantic/{given.semantic}/*.zarr.zip")),
    )  # fmt: skip
    if "ignore" in changed and not inputs.semantic:
        raise SystemExit(f"{folder}/semantic/{given.semantic} holds no maps; name another variant with --semantic.")
    config, job = Config(**keys | changed), Job(seed=given.seed, device=given.device, checkpoints=checkpoints)
    made = refine.train(inputs, config, job)
    made["weights"].save(inputs.weights)
    made["added"].save(room / row / "added.zarr.zip")
    return refine.run(inputs, config, job)["predictions"], made["added"]


def finished(folder, given, keys):
    """row -> metrics of one run."""
    room = folder / "incomplete" / f"{given.recipe}-{given.drop:g}-{keys['iterations']}-{given.seed}"
    room.mkdir(parents=True, exist_ok=True)
    labels = labels_of(folder, given.recipe, given.drop, given.seed)
    labels.save(room / "labels.zarr.zip")
    equal = labels.score.min() == labels.score.max()  # then weights are 1, and nothing differs
    rows = [row for row in given.rows if not (equal and "weight" in row)]
    return {row: measured(folder, room, row, keys, given) for row in rows} | {"labels": len(labels)}


def table(runs, rows):
    """Means over the runs in per cent; of mAP50 each run's too."""
    body = []
    for row in rows:
        found = [run[row] for run in runs if row in run]
        if not found:
            continue
        means = [f"{100 * np.mean([one[key] for one in found]):.1f}" for key in COLUMNS]
        if len(found) > 1:
            means[1] += " (" + ", ".join(f"{100 * one['mAP50']:.1f}" for one in found) + ")"
        added = [one["added"] for one in found if "added" in one]
        counts = [f"{np.mean([one[key] for one in added]):,.0f}" if added else "-" for key in ADDED]
        keys = ", ".join(f"{key}: {json.dumps(value)}" for key, value in ROWS[row][0].items())
        body.append([f"`{row}`", keys or "-", *means, *counts])
    return grid(["row", "keys", *COLUMNS, "added", "true"], body)


def section(runs, given, keys):
    seeds = f"{len(runs)} runs: means" if len(runs) > 1 else "one run"
    options = f" --recipe {given.recipe} --drop {given.drop:g} --iterations {keys['iterations']}"
    command = f"python -m benchmarks.incomplete {' '.join(f'results/{one.name}' for one in given.runs)}{options}"
    labels = np.mean([run["labels"] for run in runs])
    return f"""## Labels that are missing: {given.recipe}, {100 * given.drop:.0f} % dropped

`{command}`

Mask R-CNN on {labels:,.0f} labels, measured on the validation photos ({seeds}); {keys["iterations"]} iterations a
round. Added: labels that the second round got from the first, and how many of them have a mask IoU of at least 0.5 with
an object of their class. Per cent where no count.

{table(runs, given.rows)}"""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders, one a seed")
    parser.add_argument("--recipe", default="full", help="whose labels")
    parser.add_argument("--drop", type=float, default=0.6, help="share of the labels that are left out, at random")
    parser.add_argument("--seed", type=int, default=0, help="of what is left out, and of the training")
    parser.add_argument("--semantic", default="default", help="variant of the semantic maps")
    parser.add_argument("--configfile", nargs="+", default=["config/config.yaml"], help="those of the run")
    parser.add_argument("--iterations", type=int, help="in place of the configuration's")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0")
    parser.add_argument("--print", action="store_true", help="print, and leave the page as it is")
    given = parser.parse_args(argv)
    keys = config_of(given.configfile, given.iterations)
    text = section([finished(folder, given, keys) for folder in given.runs], given, keys)
    print(text)
    if not given.print:
        sections.write(f"incomplete-{given.recipe}-{100 * given.drop:.0f}", text)


if __name__ == "__main__":
    main()
