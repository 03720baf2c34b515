"""Segment any photos with trained weights.

    python -m stages.refine predict WEIGHTS FOLDER [--out DIR] [--score 0.5] [--device cuda:0]

WEIGHTS is the weights.pt of a run (results/<run>/refine/<recipe>/weights.pt). Of every photo in FOLDER (subfolders
included) the instances go to DIR/predictions.zarr.zip (instance table), DIR/predictions.json (COCO, with scores) and
DIR/overlays/<photo>.png. Bad images are named and skipped.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m stages.refine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("predict", help="segment a folder of photos")
    command.add_argument("weights", type=Path)
    command.add_argument("folder", type=Path)
    command.add_argument("--out", type=Path, default=Path("predictions"), help="output folder (default: predictions)")
    command.add_argument("--score", type=float, default=0.5, help="least score that is drawn (default: 0.5)")
    command.add_argument("--device", default=None, help="cpu or cuda:0 (default: a GPU if there is one)")
    command.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))

    from stages.common.errors import UserError

    try:
        predict(given)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        where = error.filename or given.out
        print(f"{where} cannot be written ({error.strerror}); make room or choose another --out.", file=sys.stderr)
        return 1
    return 0


def predict(given):
    """The command `predict`."""
    import torch
    from PIL import Image

    from stages.common import draw
    from stages.common.coco import to_coco
    from stages.common.job import Job
    from stages.common.manifest import write_text
    from stages.common.photo import photos_in, read_photo, readable
    from stages.common.weights import Weights
    from stages.refine.predict import predict_photos

    files = photos_in(given.folder, but=given.out)
    weights = Weights.load(given.weights, "refine")
    device = given.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    job = Job(device=device, threads=given.threads)
    table = predict_photos(readable(files, job), weights, config=None, job=job, count=len(files))
    given.out.mkdir(parents=True, exist_ok=True)
    table.save(given.out / "predictions.zarr.zip")
    coco = to_coco(table, file_names={name: name for name in table.image_id})
    write_text(given.out / "predictions.json", json.dumps(coco))
    palette = draw.Palette(table.categories)
    for i, name in enumerate(table.image_id):
        rows = table.rows(i)
        drawn = table.score[rows] >= given.score
        labels = [
            f"{table.categories[int(c)]} {s:.2f}" for c, s in zip(table.category[rows][drawn], table.score[rows][drawn])
        ]
        colours = draw.shades(table.category[rows][drawn], palette)
        picture = draw.labelled(read_photo(files[name]), table.masks(i)[drawn], colours, labels)
        target = given.out / "overlays" / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(target)
    skipped = f", {len(job.warnings)} bad images skipped" if job.warnings else ""
    print(f"{table.images} photos, {len(table)} instances{skipped}: {given.out}")


if __name__ == "__main__":
    sys.exit(main())
