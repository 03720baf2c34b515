"""Segment any photos by class with trained weights.

    python -m stages.segment predict WEIGHTS FOLDER [--out DIR] [--flip] [--device cuda:0]

WEIGHTS is the weights.pt of a run (results/<run>/segment/<recipe>/weights.pt). Of every photo in FOLDER (subfolders
included) the label map goes to DIR/maps/<photo>.png (a byte a pixel: category id, 0 background; the palette has the
overlays' colours) and a picture to DIR/overlays/<photo>.png; the classes' names stand in DIR/classes.json. Bad images
are named and skipped.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m stages.segment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("predict", help="segment a folder of photos")
    command.add_argument("weights", type=Path)
    command.add_argument("folder", type=Path)
    command.add_argument("--out", type=Path, default=Path("segmentation"), help="output folder (default: segmentation)")
    command.add_argument("--flip", action="store_true", help="average with the mirrored photo, twice the time")
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
    """The command `predict`; photo by photo, so that a folder may be of any size."""
    import numpy as np
    import torch
    from PIL import Image

    from stages.common import draw
    from stages.common.job import Job
    from stages.common.manifest import write_text
    from stages.common.photo import photos_in, readable
    from stages.common.weights import Weights
    from stages.segment.config import Config
    from stages.segment.predict import label_photos

    files = photos_in(given.folder, but=given.out)
    weights = Weights.load(given.weights, "segment")
    device = given.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    job = Job(device=device, threads=given.threads)
    config = Config.model_validate({**weights.meta["config"], **({"test_flip": True} if given.flip else {})})
    classes = {int(c): name for c, name in weights.meta["categories"].items()}
    palette = draw.Palette(classes)
    colours = np.zeros((256, 3), np.uint8)
    for c in classes:
        colours[c] = palette(c)
    done, share = 0, dict.fromkeys(classes, 0.0)
    for name, photo, label in label_photos(readable(files, job), weights, config=config, job=job, count=len(files)):
        picture = Image.fromarray(label)
        picture.putpalette(colours.ravel().tolist())
        for folder, image in (("maps", picture), ("overlays", Image.fromarray(draw.label_map(photo, label, palette)))):
            target = given.out / folder / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target)
        for c in classes:
            share[c] += float((label == c).mean())
        done += 1
    given.out.mkdir(parents=True, exist_ok=True)
    write_text(given.out / "classes.json", json.dumps({"0": "background", **weights.meta["categories"]}, indent=1))
    skipped = f", {len(job.warnings)} bad images skipped" if job.warnings else ""
    print(f"{done} photos{skipped}: {given.out}")
    for c, name in classes.items():
        print(f"{name}: {100 * share[c] / max(1, done):.1f} % of the pixels")


if __name__ == "__main__":
    sys.exit(main())
