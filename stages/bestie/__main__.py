"""Segment any photos with the trained instance network.

    python -m stages.bestie predict WEIGHTS FOLDER [--out DIR] [--tags CSV] [--threshold 0.1] [--device cuda:0]

WEIGHTS is the weights.pt of a run (results/<run>/bestie/<variant>/weights.pt). Of every photo in FOLDER
(subfolders included) the instances go to DIR/predictions.zarr.zip (instance table), DIR/predictions.json (COCO, with
scores) and DIR/overlays/<photo>.png. Bad images are named and skipped. CSV names photos of FOLDER and their classes,
in either form that a dataset of one's own has (`file,tags`, or `file,<class>,...`): a photo in it shows no others.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m stages.bestie", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("predict", help="segment a folder of photos")
    command.add_argument("weights", type=Path)
    command.add_argument("folder", type=Path)
    command.add_argument("--out", type=Path, default=Path("instances"), help="output folder (default: instances)")
    command.add_argument("--tags", type=Path, default=None, help="CSV of the photos' classes (default: all classes)")
    command.add_argument("--threshold", type=float, default=None, help="least value of a centre (default: 0.1)")
    command.add_argument("--size", type=float, default=None, help="factor of the photos' size (default: 1)")
    command.add_argument("--score", type=float, default=0.1, help="least score that is drawn (default: 0.1)")
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

    from stages.bestie.infer import predict_photos
    from stages.common import draw
    from stages.common.coco import to_coco
    from stages.common.job import Job
    from stages.common.manifest import write_text
    from stages.common.photo import photos_in, read_photo, readable
    from stages.common.weights import Weights

    files = photos_in(given.folder, but=given.out)
    weights = Weights.load(given.weights, "bestie")
    tags = tags_of(given.tags, weights, files) if given.tags else {}
    job = Job(device=given.device or ("cuda:0" if torch.cuda.is_available() else "cpu"), threads=given.threads)
    photos = ((name, photo, tags.get(name), None) for name, photo in readable(files, job))
    chosen = {"test_threshold": given.threshold, "test_size": given.size}
    weights.meta["config"] |= {key: value for key, value in chosen.items() if value is not None}
    table = predict_photos(photos, weights, config=None, job=job, count=len(files))
    given.out.mkdir(parents=True, exist_ok=True)
    table.save(given.out / "predictions.zarr.zip")
    coco = to_coco(table, file_names={name: name for name in table.image_id})
    write_text(given.out / "predictions.json", json.dumps(coco))
    palette = draw.Palette(table.categories)
    for i, name in enumerate(table.image_id):
        rows = table.rows(i)
        drawn = table.score[rows] >= given.score
        category, score = table.category[rows][drawn], table.score[rows][drawn]
        labels = [f"{table.categories[int(c)]} {s:.2f}" for c, s in zip(category, score)]
        colours = draw.shades(category, palette)
        picture = draw.labelled(read_photo(files[name]), table.masks(i)[drawn], colours, labels)
        target = given.out / "overlays" / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(target)
    skipped = f", {len(job.warnings)} bad images skipped" if job.warnings else ""
    print(f"{table.images} photos, {len(table)} instances{skipped}: {given.out}")


def tags_of(path, weights, files):
    """{photo: its category ids} of the CSV `path`; UserError for a photo that is not in `files` or an unknown class."""
    from stages.common.errors import UserError
    from stages.images.folder import read_tags
    from stages.images.listing import category_ids

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--tags: {path} is not a text file that can be read; name a CSV in UTF-8") from None
    categories = {int(c): name for c, name in weights.meta["categories"].items()}
    rows = read_tags([line.strip(" ") for line in lines if line.strip()], path)
    lacking = next((name for name, _ in rows if name not in files), None)
    if lacking is not None:
        raise UserError(f"--tags: {path} names {lacking}, which is no photo of the folder; drop the line")
    return {name: category_ids(tags, categories, f"{path}: {name}") for name, tags in rows}


if __name__ == "__main__":
    sys.exit(main())
