"""The table of recipes of one or several finished runs (seeds of one configuration) as a section of docs/benchmarks.md.

    python -m benchmarks.recipes --section demo --title "Generated scenes" --command "make bench-demo" results/demo-*

One run: its numbers. Several: the median, with least and most where there are seeds to differ.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import median

import yaml

from benchmarks import sections
from stages.report.table import LEAST, ratio

LABELS = ("mAP25", "mAP50", "mAP70", "mAP75", "ABO", "mIoU")
EXTRA = re.compile(r"- \* (\S+) rests also on: (.+)\.$")  # see stages/report/table.py:markdown
PREDICTIONS = ("mAP25", "mAP50", "mAP75", "AP")


def read(run):
    """recipe -> its metrics, of the recipes that `evaluate` finished in the run's folder."""
    found = {path.parent.name: json.loads(path.read_text()) for path in run.glob("evaluate/*/metrics.json")}
    if not found:
        raise SystemExit(f"{run}/evaluate holds no metrics; finish the run first.")
    return found


def share(values):
    """Per cent: the median, and in brackets least and most of several."""
    values = [100 * value for value in values if value is not None]
    if not values:
        return "-"
    spread = f" ({min(values):.1f}-{max(values):.1f})" if len(values) > 1 else ""
    return f"{median(values):.1f}{spread}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def extras(folder):
    """recipe -> what its labels rest on beside its supervision, as the table of the run's report says it."""
    path = folder / "report" / "table.md"
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(found.groups() for line in lines if (found := EXTRA.match(line)))


def labels_table(runs, recipes, more):
    """more : what `extras` gives; it is said below the table, once for all recipes that rest on the same."""
    rows = []
    for recipe in recipes:
        labels = [run[recipe]["labels"] for run in runs]
        count = median(label["instances"] for label in labels)
        name = f"`{recipe}`" + " *" * (recipe in more)
        rows.append([name, *(share([label[key] for label in labels]) for key in LABELS), f"{count:,.0f}"])
    rests_on = {}
    for recipe in recipes:
        if recipe in more:
            rests_on.setdefault(more[recipe], []).append(f"`{recipe}`")
    notes = [f"\\* rests also on {what}: {', '.join(names)}." for what, names in rests_on.items()]
    return "\n\n".join([table(["recipe", *LABELS, "instances"], rows), *notes])


def predictions_table(runs, recipes):
    best = [run["full"]["predictions"]["mAP50"] if "full" in run else None for run in runs]
    rows = []
    for recipe in recipes:
        found = [run[recipe].get("predictions") for run in runs]
        if any(one is None for one in found):
            continue
        ratios = [ratio(one["mAP50"], top) for one, top in zip(found, best)]
        rows.append([f"`{recipe}`", *(share([one[key] for one in found]) for key in PREDICTIONS), share(ratios)])
    if not rows:
        return ""
    weak = [top for top in best if top is not None and top < LEAST]
    note = f"\n\n`full` reaches AP50 {share(weak)}, and a ratio is not told below {100 * LEAST:.0f}." if weak else ""
    return table(["recipe", *(f"val {key}" for key in PREDICTIONS), "AP50 / `full`"], rows) + note


def times(folders):
    """Stage -> (jobs, CPU seconds, peak MB) summed over the run's jobs; of the first run."""
    found = {}
    for path in sorted(folders[0].rglob("*.run.json")):
        stage, run = path.relative_to(folders[0]).parts[0], json.loads(path.read_text())
        name = f"{stage} (training)" if path.name.startswith("weights") else stage
        jobs, seconds, peak = found.get(name, (0, 0.0, 0.0))
        found[name] = (jobs + 1, seconds + run["wall_seconds"], max(peak, run["peak_memory_mb"]))
    rows = [[name, str(n), f"{s:,.0f}", f"{mb:,.0f}"] for name, (n, s, mb) in found.items()]
    return table(["stage", "jobs", "seconds, summed over jobs", "peak MB"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders of one configuration")
    parser.add_argument("--section", required=True, help="marker in docs/benchmarks.md")
    parser.add_argument("--title", required=True)
    parser.add_argument("--command", required=True, help="the command that made the runs, to stand beside the numbers")
    given = parser.parse_args()
    runs = [read(run) for run in given.runs]
    with open("config/recipes.yaml") as file:
        order = [*yaml.safe_load(file)["recipes"]]
    recipes = [name for name in order if all(name in run for run in runs)]
    first = next(iter(runs[0].values()))
    networks = predictions_table(runs, recipes)
    size = f"{first['labels']['photos']} training photos with masks ({first['labels']['objects']} objects)"
    seeds = f", median of {len(runs)} seeds (least-most)" if len(runs) > 1 else ""
    networks = f"Mask R-CNN on the validation split, per cent{seeds}:\n\n{networks}\n\n" if networks else ""
    text = f"""## {given.title}

`{given.command}`

Pseudo labels on {size}, per cent{seeds}:

{labels_table(runs, recipes, extras(given.runs[0]))}

{networks}{times(given.runs)}
"""
    sections.write(given.section, text)
    print(text)


if __name__ == "__main__":
    main()
