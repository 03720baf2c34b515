"""Semantic maps of CAMs and the labels cut out of them, by threshold and restart: where the defaults come from.

    python -m benchmarks.map_thresholds results/fuse-0 [results/fuse-1 ...]

Maps are made again of the CAMs of runs of generated scenes that have the recipes `transfer` and `transfer_joined`;
everything else is theirs. Several folders are seeds. Writes the section "map-thresholds" of docs/benchmarks.md.
"""

import argparse
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks import sections
from benchmarks.ablate_liid import grid
from benchmarks.joined_peaks import opened
from stages import semantic, transfer
from stages.evaluate import measures
from stages.evaluate import semantic as pixels
from stages.evaluate.config import Config as Evaluate
from stages.semantic.config import Config as Semantic
from stages.transfer.config import Config as Transfer
from tag2mask.data.instances import Instances
from tag2mask.run.job import Job
from tag2mask.store.manifest import read_json

KEYS = ("foreground", "background", "restart")
SETTINGS = [(foreground, 0.3, 0.003) for foreground in (0.4, 0.5, 0.55, 0.6, 0.7)]
SETTINGS += [(0.55, 0.55, 0.003), (0.55, 0.3, 0.0015), (0.55, 0.3, 0.01)]
PEAKS = {"transfer": "pam", "transfer_joined": "pam_joined"}  # recipe -> variant of `cam`


def measured(folder, setting):
    """{what: share} of one run with other keys: mIoU, undecided, and mAP50 and mAP75 of either recipe's labels."""
    index, names, truth, shards = opened(folder)
    manifest = read_json(folder / f"semantic/default/{shards[0]}.json")["section"]["config"]
    kept = {key: value for key, value in manifest.items() if key in Semantic.model_fields}
    config, counts, labels = Semantic(**kept | dict(zip(KEYS, setting))), 0, {recipe: [] for recipe in PEAKS}
    with tempfile.TemporaryDirectory() as room:
        for k, shard in enumerate(shards):
            job = Job(shard=k, shards=len(shards))
            inputs = SimpleNamespace(
                index=index, cam=f"{folder}/cam/plain/{shard}.cam.zarr.zip", semantic=f"{room}/{k}"
            )
            maps = semantic.run(inputs, config, job)["semantic"]
            maps.save(inputs.semantic)
            part = measures.subset(truth, maps.image_id, where="the ground truth")
            counts = counts + pixels.confusion_of_maps(part, maps, list(names.categories))
            for recipe, variant in PEAKS.items():
                inputs.peaks = f"{folder}/cam/{variant}/{shard}.peaks.zarr.zip"
                labels[recipe].append(transfer.run(inputs, Transfer(), job)["instances"])
    found = {"mIoU": np.nanmean(pixels.class_iou(counts)), "undecided": counts[:, -1].sum() / counts.sum()}
    for recipe, tables in labels.items():
        metrics = measures.instance_metrics(truth, Instances.concat(tables), Evaluate())
        found |= {f"{recipe} {key}": metrics[key] for key in ("mAP50", "mAP75")}
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders, one a seed")
    parser.add_argument("--print", action="store_true", help="print, and leave the page as it is")
    given = parser.parse_args(argv)
    body = []
    for setting in SETTINGS:
        runs = [measured(folder, setting) for folder in given.runs]
        means = [f"{100 * np.mean([one[what] for one in runs]):.1f}" for what in runs[0]]
        by_seed = ", ".join(f"{100 * one['mIoU']:.1f}" for one in runs)
        body.append([*(f"{value:g}" for value in setting), f"{means[0]} ({by_seed})", *means[1:]])
        print(*body[-1], flush=True)
    text = f"""## Thresholds of semantic maps

`python -m benchmarks.map_thresholds {" ".join(f"results/{one.name}" for one in given.runs)}`

Maps of CAMs after the random walk, training scenes ({len(given.runs)} seeds, means), per cent: mIoU, where what is
undecided counts as wrong, the share of such pixels, and the labels that two recipes cut out of the maps.

{grid([*KEYS, *runs[0]], body)}"""
    if not given.print:
        sections.write("map-thresholds", text)


if __name__ == "__main__":
    main()
