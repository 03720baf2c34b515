"""Transferred labels when the peaks of one object are joined, by share: where `cam.join` of a variant comes from.

    python -m benchmarks.joined_peaks results/demo [results/demo-1 ...]

Peaks are found again on the PAM maps of runs of generated scenes, which have the recipe `transfer`; everything else is
theirs. Several folders are seeds. Writes the section "joined-peaks" of docs/benchmarks.md.
"""

import argparse
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks import sections
from benchmarks.ablate_liid import grid
from stages import transfer
from stages.cam.config import Config as Cam
from stages.cam.peaks import photo_peaks
from stages.evaluate import measures
from stages.evaluate.config import Config as Evaluate
from stages.transfer.config import Config as Transfer
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.maps import Maps
from tag2mask.data.ragged import starts
from tag2mask.data.tables import Table
from tag2mask.run.job import Job
from tag2mask.store.manifest import read_json

SHARES = (None, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


def peaks_of(maps, config, share):
    """Table peaks/1 of the Maps of one shard."""
    keys = {name: getattr(config, name) for name in ("mean_filter", "window", "floor", "most")}
    counts, category, places, scores = [], [], [], []
    for i in range(maps.images):
        categories, values = maps.of(i)
        number, yx, score = photo_peaks(values, tuple(maps.size[i]), share=share, **keys)
        counts.append(len(number))
        category.append(categories[number])
        places.append(yx)
        scores.append(score)
    return Table(
        "peaks/1",
        {"image_id": np.array(maps.image_id), "first": starts(counts), "category": np.concatenate(category),
         "yx": np.concatenate(places), "score": np.concatenate(scores)},
    )  # fmt: skip


def opened(folder):
    """(path of the index, Index, Instances of the true masks, names of the shards) of one run."""
    index = f"{folder}/images/default/index.zarr.zip"
    names = Index.load(index)
    truth = measures.subset(
        Instances.load(f"{folder}/images/default/truth.zarr.zip"),
        [names.image_id[i] for i in names.where("with_masks")], where="the ground truth",
    )  # fmt: skip
    return index, names, truth, sorted(path.name.split(".")[0] for path in folder.glob("cam/pam/*.cam.zarr.zip"))


def labels_of(folder, share):
    """(metrics of the labels, number of peaks) of one run at one share."""
    index, _, truth, shards = opened(folder)
    cam, keys = (
        read_json(folder / f"{stage}/{shards[0]}.json")["section"]["config"]
        for stage in ("cam/pam", "transfer/default")
    )
    tables, count = [], 0
    with tempfile.TemporaryDirectory() as room:
        for k, shard in enumerate(shards):
            peaks = peaks_of(Maps.load(f"{folder}/cam/pam/{shard}.cam.zarr.zip"), Cam(**cam), share)
            peaks.save(f"{room}/{shard}.zarr.zip")
            count += len(peaks["score"])
            inputs = SimpleNamespace(
                index=index, semantic=f"{folder}/semantic/default/{shard}.zarr.zip", peaks=f"{room}/{shard}.zarr.zip"
            )
            tables.append(transfer.run(inputs, Transfer(**keys), Job(shard=k, shards=len(shards)))["instances"])
    return measures.instance_metrics(truth, Instances.concat(tables), Evaluate()), count


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders of the demo, one a seed")
    parser.add_argument("--print", action="store_true", help="print, and leave the page as it is")
    given = parser.parse_args(argv)
    body = []
    for share in SHARES:
        found = [labels_of(folder, share) for folder in given.runs]
        row = [f"{np.mean([100 * one[key] for one, _ in found]):.1f}" for key in ("mAP25", "mAP50", "mAP75", "ABO")]
        counts = [f"{np.mean([one[key] for one, _ in found]):,.0f}" for key in ("instances", "true_positives")]
        body.append(["-" if share is None else f"{share:g}", f"{np.mean([n for _, n in found]):,.0f}", *counts, *row])
    head = ["share", "peaks", "labels", "true", "mAP25", "mAP50", "mAP75", "ABO"]
    seeds = f"{len(given.runs)} seeds, means" if len(given.runs) > 1 else "one seed"
    text = f"""## Peaks of one object joined

`python -m benchmarks.joined_peaks {" ".join(f"results/{one.name}" for one in given.runs)}`

Labels of `transfer` on the training scenes ({seeds}) when two peaks count as one where the PAM map on the best way
between them stays at this share of the lower one or above; "-": as printed. True: mask IoU of at least 0.5 with an
object of the class. Per cent where no count.

{grid(head, body)}"""
    print(text)
    if not given.print:
        sections.write("joined-peaks", text)


if __name__ == "__main__":
    main()
