"""Where the weights of `fuse` come from, and what fusing gives: chosen on half of the scenes, measured on the other.

    python -m benchmarks.fuse_weights results/fuse-0 [results/fuse-1 ...]

The runs are of benchmarks/config/fuse.yaml: instances of several recipes on generated scenes, in two shards; several
runs are seeds. Of the first shard it prints the weights that a logistic regression gives the same sums that the stage
makes, for every candidate an object of its class with mask IoU >= 0.5 or none; they are rounded into
stages/fuse/config.py by hand, as far as the labels of that shard are better for it. So is `void`, by how much of what
the labels miss it hides. On the second it measures, with the keys as they stand, single recipes, fused ones and what
each source is worth. Writes the section "fuse" of docs/benchmarks.md.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml
from scipy.optimize import minimize
from snakemake.utils import update_config

from benchmarks import sections
from benchmarks.ablate_liid import grid
from stages import fuse
from stages.evaluate import voc
from stages.evaluate.measures import subset
from stages.evaluate.overlaps import align, overlaps
from stages.fuse.candidates import gathered, with_consensus
from stages.fuse.config import Config
from stages.fuse.photo import prepared
from stages.fuse.stage import SOURCES
from stages.fuse.worth import features, kindred
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.maps import Maps
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan

FILES = ("config/recipes.yaml", "config/config.yaml", "benchmarks/config/fuse.yaml")
STORES = {  # stage -> the variant's store of a shard; what a run lacks is left out
    "bestie": "bestie/default/{shard}.zarr.zip",
    "cim": "cim/default/{shard}.zarr.zip",
    "graph_cut": "graph_cut/partition/labels.zarr.zip",
    "match": "match/prm/{shard}.zarr.zip",
    "transfer": "transfer/joined/{shard}.zarr.zip",
    "cam": "cam/plain/{shard}.cam.zarr.zip",
    "semantic": "semantic/default/{shard}.zarr.zip",
    "saliency": "saliency/default/{shard}.zarr.zip",
    "edges": "edges/hed/{shard}.zarr.zip",
}
RECIPES = {  # what the recipes of config/recipes.yaml read that stand on tags alone
    "fused": ("bestie", "cim", "transfer", "cam", "semantic"),
    "fused_quick": ("cim", "transfer", "cam", "semantic"),
}
CHOSEN, MEASURED = 0, 1  # shards
THRESHOLDS = (0.25, 0.5, 0.75)
VOID = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def config_of():
    """The section `fuse` of the runs, with what the sources are cut from."""
    values = {}
    for file in FILES:
        update_config(values, yaml.safe_load(Path(file).read_text()))
    return Config(**Plan.load(values).section("fuse", "all")["config"])


def stores(run, shard):
    """stage -> path of what the run has."""
    found = {word: run / name.format(shard=f"{shard:04d}") for word, name in STORES.items()}
    return {word: path for word, path in found.items() if path.exists()}


def truth_of(run, shard):
    """(Index, Instances of the true masks of a shard's photos in index order)."""
    index = Index.load(run / "images/default/index.zarr.zip")
    truth = Instances.load(run / "images/default/truth.zarr.zip")
    return index, subset(truth, [index.image_id[i] for i in index.of_shard(shard)], where="the ground truth")


def looked_at(run, shard, config):
    """({name: (n,)} of `features` of all candidates of a shard, (n,) float best IoU with an object of the class)."""
    index, truth = truth_of(run, shard)
    given = stores(run, shard)
    named = [word for word in SOURCES if word in given]
    tables = [Instances.load(given[word]) for word in named]
    maps = {word: Maps.load(path) for word, path in given.items() if word not in SOURCES}
    places = [{name: k for k, name in enumerate(one.image_id)} for one in (*tables, *maps.values())]
    trust = [getattr(config, f"trust_{word}") for word in named]
    kin = kindred([config.cut_from[word] for word in named])
    parts, best = [], []
    for k, i in enumerate(index.of_shard(shard)):
        at = [place[index.image_id[i]] for place in places]
        found = gathered(tables, at[: len(tables)], index.tags(i))
        if not found.rles:
            continue
        found = with_consensus(found, trust, at=config.same)
        seen = {word: one.of(place) for (word, one), place in zip(maps.items(), at[len(tables) :])}
        parts.append(features(found, trust, kin, prepared(seen, found.category), config=config))
        iou = rle.iou(found.rles, truth.rles(truth.rows(k)))
        best.append((iou * (found.category[:, None] == truth.category[truth.rows(k)])).max(1, initial=0))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, np.concatenate(best)


def regression(seen, hit):
    """{name: weight, "price"} of the log odds that best tell hits from misses (logistic regression, a small ridge)."""
    columns = np.stack([*seen.values(), -np.ones(len(hit))], 1)

    def loss(weights):
        z = columns @ weights
        error = 1 / (1 + np.exp(-z)) - hit
        return np.logaddexp(0, z).mean() - (z * hit).mean() + 1e-4 * weights @ weights, (
            error @ columns / len(hit) + 2e-4 * weights
        )

    found = minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B").x
    return dict(zip([*seen, "price"], found))


def measured(truth, labels):
    """[mAP at THRESHOLDS, instances] of labels on the photos of the truth, as `evaluate` does."""
    found = overlaps(truth, align(truth, labels), top=100)
    categories = sorted(truth.categories)
    return [*np.nanmean(voc.per_class(found, categories, THRESHOLDS), 0), int(found.counted.sum())]


def fused(run, names, config, shard=MEASURED):
    """Instances of `fuse` of a shard, of the sources and maps `names`."""
    inputs = {word: path for word, path in stores(run, shard).items() if word in names}
    job = Job(shard=shard, shards=2)
    return fuse.run(SimpleNamespace(index=run / "images/default/index.zarr.zip", **inputs), config, job)["instances"]


def rows(runs, config):
    """[(name, [(run's numbers of `measured`)])] of single recipes, of all fused, and of all but one."""
    had = [set(stores(run, MEASURED)) for run in runs]
    sources = [word for word in SOURCES if all(word in one for one in had)]
    maps = [word for word in STORES if word not in SOURCES and all(word in one for one in had)]
    truths = [truth_of(run, MEASURED)[1] for run in runs]

    def row(make):
        return [measured(truth, make(run)) for truth, run in zip(truths, runs)]

    def of(names, config=config):
        return row(lambda run: fused(run, [*names, *maps], config))

    def alone(word):
        return row(lambda run: Instances.load(stores(run, MEASURED)[word]))

    found = [(f"`{one}` alone", alone(one)) for one in sources]
    for recipe, names in RECIPES.items():
        found.append((f"recipe `{recipe}`", row(lambda run: fused(run, names, config))))  # noqa: B023
    found.append((f"fused: {', '.join(sources)}", of(sources)))
    found += [(f"without {one}", of([word for word in sources if word != one])) for one in sources]
    found.append(("without maps", row(lambda run: fused(run, sources, config))))
    for name, change in (("without consensus", {"consensus": False}), ("kin like others", {"kin": 1.0})):
        found.append((name, of(sources, config.model_copy(update=change))))
    return found


def voided(runs, config):
    """[[threshold, shares]] of `fused` on the chosen shards: of pixels that are void, of the void ones that are of an
    object, of the object pixels without a label that are void."""
    found = []
    for threshold in VOID:
        counts = np.zeros(5)
        for run in runs:
            truth = truth_of(run, CHOSEN)[1]
            own = config.model_copy(update={"void": threshold})
            labels = fused(run, RECIPES["fused"], own, CHOSEN)  # photos in the order of the truth
            for i in range(truth.images):
                objects, void = truth.masks(i).any(0), labels.void_mask(i)
                missed = objects & ~labels.masks(i).any(0)
                counts += void.size, void.sum(), (void & objects).sum(), missed.sum(), (void & missed).sum()
        total, void, right, missed, hidden = counts
        found.append([f"{threshold:g}", *(f"{100 * a / max(b, 1):.1f}" for a, b in (
            (void, total), (right, void), (hidden, missed),
        ))])  # fmt: skip
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders, one a seed")
    parser.add_argument("--print", action="store_true", help="print, and leave the page as it is")
    given = parser.parse_args(argv)
    config = config_of()
    seen, best = zip(*(looked_at(run, CHOSEN, config) for run in given.runs))
    best = np.concatenate(best)
    seen = {name: np.concatenate([one[name] for one in seen]) for name in seen[0]}
    weights = ", ".join(f"{name} {value:.1f}" for name, value in regression(seen, best >= 0.5).items())
    body = []
    for name, numbers in rows(given.runs, config):
        means = np.mean(numbers, 0)
        by_seed = ", ".join(f"{100 * one[1]:.1f}" for one in numbers)
        body.append([name, *(f"{100 * value:.1f}" for value in means[:-1]), by_seed, f"{means[-1]:,.0f}"])
    seeds = f"{len(given.runs)} seeds, means" if len(given.runs) > 1 else "one seed"
    text = f"""## Several recipes fused

`make bench-fuse`

Labels on the second half of the training scenes ({seeds}), per cent; the saliency is
RBD's as in the demo, the edges are HED's. The weights were chosen on the first half, where a logistic regression gives
{weights}.

{grid(["labels", "mAP25", "mAP50", "mAP75", "mAP50 by seed", "instances"], body)}

`fuse.void` of `fused` on the first half, per cent:

{grid(["void", "void pixels", "of these on objects", "of missed object pixels void"], voided(given.runs, config))}"""
    print(text)
    if not given.print:
        sections.write("fuse", text)


if __name__ == "__main__":
    main()
