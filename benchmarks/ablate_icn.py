"""ICN's Tables 1, 3 and 4 beside ours, from the recipes of benchmarks/config/ablate_icn.yaml.

    python -m benchmarks.ablate_icn results/ablate-icn-0 [results/ablate-icn-1 ...]

Several folders are seeds of one configuration. Rows whose recipes are not built are left out. The steps of Table 4 are
one network's: its maps after each step are made and matched here. Writes a section of docs/benchmarks.md. The paper
measures answers on VOC's validation photos; ours are the labels of the training photos.
"""

import argparse
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks import sections
from benchmarks.ablate_bestie import built, value
from benchmarks.ablate_cim import spread
from benchmarks.ablate_liid import grid, minutes_of, read
from stages import icn, match
from stages.evaluate import measures
from stages.evaluate.config import Config as Evaluate
from stages.icn.config import Config as Network
from stages.match.config import Config as Matching
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.run.job import Job
from tag2mask.store.manifest import read_json

# Table 1: (recipe, what is left out, the paper's mIoU)
PARTS = [
    ("icn_no_network", "ICN", 53.5), ("icn_no_fusion", "CFM and DFM", 53.8), ("icn_no_map", "the input PRM", 36.7),
    ("icn_no_rebalance", "re-balancing", 53.9), ("icn", "nothing", 54.1),
]  # fmt: skip
# Table 3: (recipe, the paper's mAP25, mAP50, mAP75, ABO)
METHODS = [
    ("prm", "44.3 / 26.8 / 9.0 / 37.6"), ("icn_no_network", "-"), ("icn", "47.1 / 29.2 / 12.5 / 42.8"),
    ("icn_salient", "47.7 / 29.4 / 13.1 / 43.7"), ("naive_undivided", "-"), ("icn_undivided", "-"), ("transfer", "-"),
    ("cim", "-"), ("full", "-"),
]  # fmt: skip
STEPS = {1: 27.3, 2: 28.2, 3: 29.4, 4: 29.1}  # Table 4, the paper's mAP50
KEYS = ("mAP25", "mAP50", "mAP75", "ABO", "mIoU")


def parts_table(runs):
    body = [
        [f"`{recipe}`", what, *(spread(runs, recipe, key, "labels") for key in KEYS), f"{paper:.1f}"]
        for recipe, what, paper in PARTS
        if built(runs, recipe, "labels")
    ]
    return grid(["recipe", "left out", *KEYS, "paper mIoU"], body)


def claims(runs):
    """What each part adds, of every seed, and the paper's sign."""
    found, whole = [], PARTS[-1]
    for recipe, what, paper in PARTS[:-1]:
        for key in ("mIoU", "mAP50"):
            pairs = [(value([run], recipe, "labels", key), value([run], "icn", "labels", key)) for run in runs]
            ours = [b - a for a, b in pairs if a is not None and b is not None]
            if ours:
                mean, agree = np.mean(ours), sum(one > 0 for one in ours)
                word = "agrees" if mean > 0 else "opposite"
                theirs = f"+{whole[2] - paper:.1f}" if key == "mIoU" else "-"
                each = ", ".join(f"{one:+.1f}" for one in ours)
                found.append([what, key, f"{mean:+.1f}", each, theirs, word, f"{agree} of {len(ours)}"])
    return grid(["with against without", "measure", "ours", "by seed", "paper", "sign of the mean", "seeds"], found)


def methods_table(runs):
    body = [
        [f"`{recipe}`", *(spread(runs, recipe, key, "labels") for key in KEYS), paper]
        for recipe, paper in METHODS
        if built(runs, recipe, "labels")
    ]
    return grid(["recipe", *KEYS, "paper mAP25 / 50 / 75 / ABO"], body)


def steps_table(found):
    """found : a dict of steps -> metrics for each run."""
    body = []
    for steps, paper in STEPS.items():
        texts = [[f"{100 * one[steps][key]:.1f}" for one in found] for key in ("mAP50", "mIoU")]
        means = [np.mean([100 * one[steps][key] for one in found]) for key in ("mAP50", "mIoU")]
        cells = [f"{mean:.1f} ({', '.join(each)})" for mean, each in zip(means, texts)]
        body.append([str(steps), *cells, f"{paper:.1f}"])
    return grid(["steps", "mAP50 (by seed)", "mIoU (by seed)", "paper mAP50"], body)


def steps_of(folder):
    """steps -> metrics of the labels that the maps after so many steps give, with the run's network and proposals."""
    index, truth = (f"{folder}/images/default/{name}.zarr.zip" for name in ("index", "truth"))
    held = Instances.load(truth)
    part = measures.subset(
        held, [Index.load(index).image_id[i] for i in Index.load(index).where("with_masks")], where=""
    )
    shards = sorted(path.name.split(".")[0] for path in folder.glob("icn/default/[0-9]*.zarr.zip"))
    section, matching = (
        read_json(folder / f"{stage}/{shards[0]}.json")["section"]["config"] for stage in ("icn/default", "match/icn")
    )
    found = {}
    with tempfile.TemporaryDirectory() as room:
        for steps in STEPS:
            tables = []
            for k, shard in enumerate(shards):
                inputs = SimpleNamespace(
                    index=index, prm=f"{folder}/prm/icn/{shard}.zarr.zip", weights=folder / "icn/default/weights.pt",
                    proposals=f"{folder}/proposals/default/{shard}.zarr.zip",
                    enhanced=f"{room}/{steps}-{shard}.zarr.zip",
                )  # fmt: skip
                job = Job(shard=k, shards=len(shards))
                icn.run(inputs, Network(**section | {"steps": steps}), job)["enhanced"].save(inputs.enhanced)
                tables.append(match.run(inputs, Matching(**matching), job)["instances"])
            found[steps] = measures.instance_metrics(part, Instances.concat(tables), Evaluate())
    return found


def section(runs, steps, *, command, title, minutes=None):
    """The Markdown text. runs, steps : lists of what `ablate_liid.read` and `steps_of` give, one a folder."""
    one = next(iter(runs[0].values()))["labels"]
    seeds = f"{len(runs)} seeds: mean (least-most)" if len(runs) > 1 else "one seed"
    facts = f"Per cent, {seeds}. Labels of {one['photos']} training photos with {one['objects']} objects."
    facts += f" All jobs: {minutes:.0f} minutes on two cores." if minutes else ""
    lead = f"""## {title}

`{command}`

{facts} No Mask R-CNN, as in the paper, whose numbers are of VOC 2012 and VGG-16: the direction is comparable, the
height is not."""
    parts = [
        ("Table 1: what each part adds", [parts_table(runs), claims(runs)]),
        ("Table 3: naive and enhanced maps, targets from proposals and from salient instances", [methods_table(runs)]),
        ("Table 4: steps", [steps_table(steps)] if steps else [""]),
    ]
    return "\n\n".join([lead.strip(), *("\n\n".join([f"### {head}", *texts]) for head, texts in parts if texts[0])])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders of ablate_icn.yaml, one a seed")
    parser.add_argument("--section", default="ablate-icn", help="marker in docs/benchmarks.md")
    parser.add_argument("--title", default="ICN's ablations on generated scenes")
    parser.add_argument("--command", default="make ablate-icn", help="what made the runs")
    parser.add_argument("--no-steps", action="store_true", help="leave Table 4 out")
    parser.add_argument("--out", type=Path, default=sections.PAGE, help="the page whose section is written")
    given = parser.parse_args(argv)
    runs = [read(folder) for folder in given.runs]
    steps = [] if given.no_steps else [steps_of(folder) for folder in given.runs]
    found = section(runs, steps, command=given.command, title=given.title, minutes=minutes_of(given.runs))
    sections.write(given.section, found, given.out)
    print(found)


if __name__ == "__main__":
    main()
