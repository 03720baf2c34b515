"""BESTIE's Tables 3 and 4 and Figure 6 beside ours, from the recipes of benchmarks/config/ablate_bestie.yaml.

    python -m benchmarks.ablate_bestie results/ablate-bestie [results/ablate-bestie-1 ...]

Several folders are seeds of one configuration: their mean. Rows and tables whose recipes are not built are left out, so
a run that was stopped can be read. Writes a section of docs/benchmarks.md.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks import sections
from benchmarks.ablate_liid import grid, minutes_of, read
from stages.evaluate import measures
from stages.report.table import LEAST, ratio
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.maps import Maps, MapsBuilder

# Table 3: (recipe, PAM, IAG, refinement, clustering, the paper's mAP50)
STEPS = [
    ("cam_no_guidance", 0, 0, 0, 0, 12.9),
    ("no_guidance", 1, 0, 0, 0, 29.3),
    ("no_refinement", 1, 1, 0, 0, 39.2),
    ("no_clustering", 1, 1, 1, 0, 41.5),
    ("bestie", 1, 1, 1, 1, 41.8),
]
# Table 4: (recipe, variant of `semantic`, what its maps are, the paper's mIoU and mAP50 of the row it stands for)
MAPS = [
    ("raw_maps", "raw", "CAM without random walk", "SingleStage", 62.7, 39.7),
    ("bestie", "default", "CAM with random walk", "PMM", 70.0, 41.8),
    ("oracle_semantic", "truth", "ground truth", "ground truth", None, 49.4),
]
SUPERVISION = [  # Table 1, without Mask R-CNN: (recipe, supervision, the paper's mAP25, mAP50, mAP70, mAP75)
    ("bestie", "tags", (53.5, 41.8, 28.3, 24.2)),
    ("bestie_points", "points", (58.6, 46.7, 33.1, 26.3)),
]
CHOICES = [
    ("bestie", "as printed; what the maps leave undecided teaches background"),
    ("undecided_ignored", "what the maps leave undecided teaches nothing"),
    ("released", "five choices of the released code (`ablate_bestie.yaml`)"),
]
SIDE = [
    "bestie", "bestie_points", "oracle_semantic", "transfer", "transfer_points", "transfer_cam_peaks", "cam_cut",
    "liid", "fan", "full", "whole_photo", "top_proposal",
]  # fmt: skip
THRESHOLDS = ("mAP25", "mAP50", "mAP70", "mAP75")


def value(runs, recipe, part, key, *, scale=100):
    """Mean over the runs that have it of a recipe's number, in per cent; None where none has."""
    held = [run[recipe][part][key] for run in runs if run.get(recipe, {}).get(part)]
    held = [one for one in held if one is not None]
    return scale * float(np.mean(held)) if held else None


def text(number, form=".1f"):
    return "-" if number is None else format(number, form)


def built(runs, recipe, part="network"):
    return any(run.get(recipe, {}).get(part) for run in runs)


def last_hits(runs, recipe):
    """True positives of the last snapshot as "hits of labels", the first run's."""
    rows = runs[0].get(recipe, {}).get("snapshots")
    return f"{rows[-1]['true_positives']} of {rows[-1]['instances']}" if rows else "-"


def steps_table(runs):
    mark = {0: "", 1: "x"}
    body = []
    for recipe, *on, paper in STEPS:
        if built(runs, recipe):
            own = [text(value(runs, recipe, "network", key)) for key in THRESHOLDS]
            body.append([f"`{recipe}`", *(mark[one] for one in on), *own, f"{paper:.1f}", last_hits(runs, recipe)])
    head = ["recipe", "PAM", "IAG", "refine", "cluster", *THRESHOLDS, "paper mAP50", "true positives at the end"]
    return grid(head, body)


def step_claims(runs):
    """One sentence a step of Table 3: ours beside the paper's difference, and whether the sign agrees."""
    found = []
    for (before, *_, low), (after, *_, high) in zip(STEPS, STEPS[1:]):
        if built(runs, before) and built(runs, after):
            ours = value(runs, after, "network", "mAP50") - value(runs, before, "network", "mAP50")
            word = "tie" if abs(ours) < 0.05 else "agrees" if ours > 0 else "opposite"
            found.append([f"{after} over {before}", f"{ours:+.1f}", f"{high - low:+.1f}", word])
    return grid(["step", "ours", "paper", "sign"], found)


def maps_table(runs, folders):
    body = []
    for recipe, variant, what, stands, miou, paper in MAPS:
        if built(runs, recipe):
            body.append([
                f"`{recipe}`", what, text(semantic_miou(folders[0], variant)),
                *(text(value(runs, recipe, "network", key)) for key in THRESHOLDS),
                f"{stands}: {text(miou)}", text(paper),
            ])  # fmt: skip
    return grid(["recipe", "semantic maps", "their mIoU", *THRESHOLDS, "paper: mIoU", "paper mAP50"], body)


def semantic_miou(folder, variant):
    """mIoU in per cent of a variant of `semantic` on the training photos with masks, or None where it is not built."""
    paths = sorted((folder / "semantic" / variant).glob("*.zarr.zip"))
    if not paths:
        return None
    index = Index.load(folder / "images/default/index.zarr.zip")
    truth = Instances.load(folder / "images/default/truth.zarr.zip")
    held = set(truth.image_id) & {index.image_id[i] for i in index.where("with_masks")}
    whole, names = MapsBuilder(np.uint8, {"background": 0, "ignore": 255}), []
    for path in paths:
        maps = Maps.load(path)
        for k, name in enumerate(maps.image_id):
            if name in held:
                label = maps.of(k)[1][0]
                whole.add(name, label.shape, [(0, label)])
                names.append(name)
    part = measures.subset(truth, names, where="the ground truth")
    return 100 * measures.segmentation_metrics(part, whole.finish())["mIoU"]


def supervision_table(runs):
    body = []
    for recipe, supervision, paper in SUPERVISION:
        if built(runs, recipe):
            own = [text(value(runs, recipe, "network", key)) for key in THRESHOLDS]
            theirs = ["-"] * len(THRESHOLDS) if paper is None else [f"{one:.1f}" for one in paper]
            body.append([f"`{recipe}`", supervision, *own, *theirs, last_hits(runs, recipe)])
    head = ["recipe", "supervision", *THRESHOLDS, *(f"paper {key}" for key in THRESHOLDS), "true positives at the end"]
    return grid(head, body)


def choices_table(runs):
    body = [
        [label, *(text(value(runs, recipe, "network", key)) for key in THRESHOLDS), last_hits(runs, recipe)]
        for recipe, label in CHOICES
        if built(runs, recipe)
    ]
    return grid(["Sec. 3.5, Eq. 2 to 5", *THRESHOLDS, "true positives at the end"], body)


def peaks_table(runs):
    """What the peaks of CAM and of PAM, and points, make of the same semantic maps (Fig. 6, its start)."""
    body = []
    for recipe, cue in (("transfer_cam_peaks", "CAM"), ("transfer", "PAM"), ("transfer_points", "points")):
        if built(runs, recipe, "labels"):
            hits, labels, objects = (
                value(runs, recipe, "labels", key, scale=1) for key in ("true_positives", "instances", "objects")
            )
            body.append([
                cue, f"{labels:,.0f}", f"{hits:,.0f}", f"{100 * hits / objects:.1f} %",
                text(value(runs, recipe, "labels", "mAP50")),
            ])  # fmt: skip
    return grid(["cue", "labels", "true positives", "of all objects", "label mAP50"], body)


def curves_table(runs):
    """True positives at every snapshot (Fig. 6), of the first run."""
    shown = [recipe for recipe, *_ in [*STEPS, *SUPERVISION[1:]] if runs[0].get(recipe, {}).get("snapshots")]
    if not shown:
        return ""
    first = runs[0][shown[0]]["snapshots"]
    head = ["iteration", *(f"{row['iteration']:,}" for row in first)]
    body = [
        [f"`{name}`", *(f"{row['true_positives']} / {row['instances']}" for row in runs[0][name]["snapshots"])]
        for name in shown
    ]
    lead = (
        f"True positives / labels that the network gives {first[0]['photos']} training photos "
        f"({first[0]['objects']} objects):"
    )
    return f"{lead}\n\n{grid(head, body)}"


def side_table(runs):
    """The recipes side by side: labels, the own network, Mask R-CNN and its ratio to `full`."""
    best = value(runs, "full", "predictions", "mAP50", scale=1)
    body = []
    for recipe in SIDE:
        if not built(runs, recipe, "labels"):
            continue
        over = ratio(value(runs, recipe, "predictions", "mAP50", scale=1), best)
        body.append([
            f"`{recipe}`", *(text(value(runs, recipe, "labels", key)) for key in (*THRESHOLDS, "ABO")),
            text(value(runs, recipe, "network", "mAP50")),
            *(text(value(runs, recipe, "predictions", key)) for key in THRESHOLDS),
            "-" if over is None else f"{100 * over:.0f} %",
        ])  # fmt: skip
    head = ["recipe", *(f"label {key}" for key in (*THRESHOLDS, "ABO")), "own mAP50"]
    note = best is not None and best < LEAST and f"\n\n`full` is below {100 * LEAST:.0f}, so no ratio to it is told."
    return grid([*head, *(f"val {key}" for key in THRESHOLDS), "mAP50 / `full`"], body) + (note or "")


def section(runs, folders, *, command, title, minutes=None):
    """The Markdown text. runs : list of what `ablate_liid.read` gives, one a folder."""
    one = next(iter(runs[0].values()))["labels"]
    seeds = f"mean of {len(runs)} seeds" if len(runs) > 1 else "one seed"
    facts = f"Per cent, {seeds}. {one['photos']} training photos with {one['objects']} objects."
    facts += f" All jobs: {minutes:.0f} minutes on two cores." if minutes else ""
    lead = f"""## {title}

`{command}`

{facts} "Own network" answers on the validation photos, without Mask R-CNN (BESTIE, Sec. 4.5). The paper's numbers are
of VOC 2012, HRNet-48 and other semantic maps: the direction is comparable, the height is not.
"""
    before = "Before the training, what `transfer` makes of the same semantic maps:"
    parts = [
        ("Table 3: what each part adds (own network)", steps_table(runs), step_claims(runs)),
        ("Figure 6: true positives", before, peaks_table(runs), curves_table(runs)),
        ("Table 4: semantic maps (own network)", maps_table(runs, folders)),
        ("Tags and points (own network)", supervision_table(runs)),
        ("What the paper prints and what its released code does", choices_table(runs)),
        ("Side by side", side_table(runs)),
    ]
    return "\n\n".join([lead.strip(), *("\n\n".join([f"### {head}", *texts]) for head, *texts in parts)])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders of ablate_bestie.yaml, one a seed")
    parser.add_argument("--section", default="ablate-bestie", help="marker in docs/benchmarks.md")
    parser.add_argument("--title", default="BESTIE's ablations on generated scenes")
    parser.add_argument(
        "--command", default="make ablate-bestie", help="what made the runs, to stand beside the numbers"
    )
    parser.add_argument("--out", type=Path, default=sections.PAGE, help="the page whose section is written")
    given = parser.parse_args(argv)
    runs = [read(folder) for folder in given.runs]
    found = section(runs, given.runs, command=given.command, title=given.title, minutes=minutes_of(given.runs))
    sections.write(given.section, found, given.out)
    print(found)


if __name__ == "__main__":
    main()
