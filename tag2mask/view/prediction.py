"""The command `predict` of the stages whose network segments any photos, and the files that it writes.

python -m stages.<stage> predict WEIGHTS FOLDER [--out DIR] [--device cuda:0] [options of the stage]
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from tag2mask.errors import UserError


def command(stage, predict, *, doc, out, options=(), arguments=None):
    """Run the command of `stage`; returns its exit status. What is wrong is said in one sentence.

    predict(given, files, weights, job) -> what it did, a few words for the last line. files : {name: Path} of the
    photos of FOLDER. weights : Weights of kind `stage`. out : default folder, a word. options : (name, keywords of
    add_argument) of the stage's own. doc : the module's docstring, shown as help.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{stage}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    one = parser.add_subparsers(required=True).add_parser("predict", help="segment a folder of photos")
    one.add_argument("weights", type=Path)
    one.add_argument("folder", type=Path)
    one.add_argument("--out", type=Path, default=Path(out), help=f"output folder (default: {out})")
    for name, keywords in options:
        one.add_argument(name, **keywords)
    one.add_argument("--device", default=None, help="cpu or cuda:0 (default: a GPU if there is one)")
    one.add_argument("--threads", type=int, default=1, help="processor threads (default: 1)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))
    try:
        print(run(stage, predict, given))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        where = error.filename or given.out
        print(f"{where} cannot be written ({error.strerror}); make room or choose another --out.", file=sys.stderr)
        return 1
    return 0


def run(stage, predict, given):
    """The last line of the command, after `predict` has done its work."""
    import torch

    from tag2mask.data.photo import photos_in
    from tag2mask.run.job import Job
    from tag2mask.store.weights import Weights

    files = photos_in(given.folder, but=given.out)
    weights = Weights.load(given.weights, stage)
    job = Job(device=given.device or ("cuda:0" if torch.cuda.is_available() else "cpu"), threads=given.threads)
    done = predict(given, files, weights, job)
    skipped = f", {len(job.warnings)} bad images skipped" if job.warnings else ""
    return f"{done}{skipped}: {given.out}"


def write_instances(table, files, *, out, least):
    """Write predictions.zarr.zip, predictions.json (COCO, with scores) and overlays/<photo>.png into the folder `out`.

    table : Instances of photos of `files` ({name: Path}). least : least score that is drawn; all are in the files.
    """
    from tag2mask.data.coco import to_coco
    from tag2mask.data.photo import read_photo
    from tag2mask.store.manifest import write_text
    from tag2mask.view import draw

    out.mkdir(parents=True, exist_ok=True)
    table.save(out / "predictions.zarr.zip")
    coco = to_coco(table, file_names={name: name for name in table.image_id})
    write_text(out / "predictions.json", json.dumps(coco))
    palette = draw.Palette(table.categories)
    for i, name in enumerate(table.image_id):
        rows = table.rows(i)
        drawn = table.score[rows] >= least
        category, score = table.category[rows][drawn], table.score[rows][drawn]
        labels = [f"{table.categories[int(c)]} {s:.2f}" for c, s in zip(category, score)]
        colours = draw.shades(category, palette)
        picture = draw.labelled(read_photo(files[name]), table.masks(i)[drawn], colours, labels)
        write_picture(out / "overlays" / f"{name}.png", picture)


def write_picture(path, picture):
    """Write a PIL image or an array (H, W, 3) uint8 to `path`; its folder is made."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path)
