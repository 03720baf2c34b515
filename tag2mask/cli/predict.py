"""Segment any photos with trained weights: tag2mask predict WEIGHTS FOLDER [--out DIR] [--device cuda:0]

WEIGHTS is the weights.pt of a run, as results/<run>/refine/<recipe>/weights.pt. Of every photo in FOLDER (subfolders
included) a network of instances writes DIR/predictions.zarr.zip (instance table), DIR/index.zarr.zip (which file every
photo is), DIR/predictions.json (COCO, with scores) and DIR/overlays/<photo>.png; a network of classes
DIR/maps/<photo>.png (a byte a pixel: category id, 0 background; the palette has the overlays' colours),
DIR/overlays/<photo>.png and DIR/classes.json. Bad images are named and skipped. An option that not all weights have
names those that have it in brackets, with its default there.
"""

import argparse
import importlib
import logging
import os
from pathlib import Path
from types import ModuleType

from tag2mask.errors import UserError
from tag2mask.run.registry import stages

# Nothing here imports numpy or torch: they look for their number of threads once, when they are imported.

COMMON = ("--out", "--device", "--threads")


def arguments(parser: argparse.ArgumentParser) -> None:
    """WEIGHTS, FOLDER, the options of all weights and those of some."""
    parser.add_argument("weights", metavar="WEIGHTS", type=Path)
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="output folder (default: predictions-<stage of the weights>)"
    )
    parser.add_argument("--device", help="cpu or cuda:0 (default: a GPU if there is one)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    for name, kinds in options().items():
        keywords = next(iter(kinds.values()))
        defaults = [kind if one.get("default") is None else f"{kind}: {one['default']}" for kind, one in kinds.items()]
        text = f"{keywords['help']} ({', '.join(defaults)})"
        parser.add_argument(name, **{**keywords, "default": argparse.SUPPRESS, "help": text})


def main(given: argparse.Namespace) -> None:
    """Find whose the weights are, and let that stage segment the photos."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))
    import torch

    from tag2mask.data.photo import photos_in
    from tag2mask.run.job import Job
    from tag2mask.store.weights import Weights

    weights = Weights.load(given.weights)
    stage = chosen(given, weights.meta.get("kind"))
    files = photos_in(given.folder, but=given.out)
    job = Job(device=given.device or ("cuda:0" if torch.cuda.is_available() else "cpu"), threads=given.threads)
    done = stage.predict(given, files, weights, job)
    skipped = f", {len(job.warnings)} bad images skipped" if job.warnings else ""
    print(f"{done}{skipped}: {given.out}")


def predicting() -> dict[str, ModuleType]:
    """kind of weights -> module of every stage whose network segments photos by itself."""
    return {word: importlib.import_module(stage.predict) for word, stage in stages().items() if stage.predict}


def options() -> dict[str, dict[str, dict]]:
    """option -> {kind of the weights that have it: keywords of add_argument}."""
    found: dict[str, dict[str, dict]] = {}
    for kind, module in predicting().items():
        for name, keywords in module.OPTIONS.items():
            found.setdefault(name, {})[kind] = keywords
    return found


def chosen(given: argparse.Namespace, kind: str | None) -> ModuleType:
    """The module for weights of this kind; options that were not typed get its defaults.

    UserError where these weights segment nothing, or an option was typed that they don't have.
    """
    modules = predicting()
    if kind not in modules:
        raise UserError(
            f"{given.weights} holds weights of {kind!r}, which segment no photos by themselves; name weights of "
            f"{', '.join(modules)}."
        )
    own = modules[kind].OPTIONS
    for name in options():
        if name not in own and attribute(name) in given:
            raise UserError(f"{name} is no option with weights of {kind}; they have {', '.join((*own, *COMMON))}.")
    for name, keywords in own.items():
        if attribute(name) not in given:
            setattr(given, attribute(name), keywords.get("default"))
    given.out = given.out or Path(f"predictions-{kind}")
    return modules[kind]


def attribute(option: str) -> str:
    """What argparse calls the value of an option."""
    return option.removeprefix("--").replace("-", "_")
