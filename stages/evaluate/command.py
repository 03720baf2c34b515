"""Measure masks against ground truth: tag2mask evaluate GROUND_TRUTH PREDICTIONS [--out FILE]

GROUND_TRUTH, PREDICTIONS: a store (.zarr.zip or directory) or a COCO JSON; PREDICTIONS may also be a COCO list of
results, or a store of semantic label maps (as of `segment`), which are measured by mIoU. Photos that both sides name
are compared (with a list of results: all of the ground truth). Masks without a class (category 0) are measured as
proposals.
"""

import json
from pathlib import Path

import numpy as np

from stages.evaluate import measures
from stages.evaluate.config import Config
from tag2mask.data.coco import from_coco
from tag2mask.data.instances import Instances
from tag2mask.data.maps import SCHEMA as MAPS
from tag2mask.data.maps import Maps
from tag2mask.errors import UserError
from tag2mask.store import store


def arguments(parser):
    """GROUND_TRUTH, PREDICTIONS and --out."""
    parser.add_argument("truth", metavar="GROUND_TRUTH", type=Path)
    parser.add_argument("predictions", metavar="PREDICTIONS", type=Path)
    parser.add_argument("--out", metavar="FILE", type=Path, help="also write the numbers as JSON, in [0, 1]")


def main(given):
    """Measure, print, and write the numbers where --out says."""
    truth, predictions, notes = load(given.truth, given.predictions)
    if isinstance(predictions, Maps):
        metrics = measures.segmentation_metrics(truth, predictions)
        lines = measures.segmentation_lines(metrics)
    elif len(predictions) and not np.any(predictions.category):
        metrics = measures.proposal_metrics(truth, [predictions], Config())
        lines = measures.proposal_lines(metrics)
    else:
        metrics = measures.instance_metrics(truth, predictions, Config())
        lines = measures.instance_lines(metrics)
    if given.out:
        write(given.out, metrics)
    print("\n".join([*notes, *lines]))


def load(truth_path, predictions_path):
    """(truth, predictions, notes): two tables over the photos to compare, or a table and Maps; notes for the reader."""
    truth = table(truth_path)
    results = is_json(predictions_path) and starts_with_list(predictions_path)
    like = truth_path if is_json(truth_path) else truth  # a JSON knows its own image ids
    if results:
        predictions = from_coco(predictions_path, like=like)
    else:
        predictions = Maps.load(predictions_path) if holds_maps(predictions_path) else table(predictions_path)
    held = set(predictions.image_id)
    both = [name for name in truth.image_id if name in held]
    if not both:
        raise UserError(
            f"{predictions_path} and {truth_path} have no photo in common "
            f"({example(predictions)} against {example(truth)}); give the ground truth of the same photos."
        )
    notes = []
    for path, one in ((truth_path, truth), (predictions_path, predictions)):
        rest = one.images - len(both)
        if rest:
            notes.append(f"note: {rest} of {one.images} photos of {path} are not in the other file and left out.")
    return measures.subset(truth, both, where=str(truth_path)), predictions, notes


def example(found):
    return f"for example {found.image_id[0]!r}" if found.images else "no photo at all"


def table(path):
    return from_coco(path) if is_json(path) else Instances.load(path)


def holds_maps(path):
    """Whether a store of maps lies at `path`."""
    return not is_json(path) and store.open(path).attrs.get("schema") == MAPS


def is_json(path):
    return path.suffix == ".json" and not path.is_dir()


def starts_with_list(path):
    """Whether the JSON file at `path` holds a list, so results without images; a missing file is reported later."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(1000).lstrip("\ufeff \t\r\n").startswith("[")


def write(path, metrics):
    try:
        path.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from None
