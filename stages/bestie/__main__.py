"""Segment any photos with the trained instance network.

    python -m stages.bestie predict WEIGHTS FOLDER [--out DIR] [--tags CSV] [--threshold 0.1] [--device cuda:0]

WEIGHTS is the weights.pt of a run (results/<run>/bestie/<variant>/weights.pt). Of every photo in FOLDER
(subfolders included) the instances go to DIR/predictions.zarr.zip (instance table), DIR/predictions.json (COCO, with
scores) and DIR/overlays/<photo>.png. Bad images are named and skipped. CSV names photos of FOLDER and their classes,
in either form that a dataset of one's own has (`file,tags`, or `file,<class>,...`): a photo in it shows no others.
"""

import sys
from pathlib import Path

from tag2mask.view.prediction import command, write_instances

OPTIONS = [
    ("--tags", {"type": Path, "default": None, "help": "CSV of the photos' classes (default: all classes)"}),
    ("--threshold", {"type": float, "default": None, "help": "least value of a centre (default: 0.1)"}),
    ("--size", {"type": float, "default": None, "help": "factor of the photos' size (default: 1)"}),
    ("--score", {"type": float, "default": 0.1, "help": "least score that is drawn (default: 0.1)"}),
]


def main(arguments=None):
    return command("bestie", predict, doc=__doc__, out="instances", options=OPTIONS, arguments=arguments)


def predict(given, files, weights, job):
    """The command `predict`; see tag2mask.view.prediction."""
    from stages.bestie.infer import predict_photos
    from tag2mask.data.photo import readable

    tags = tags_of(given.tags, weights, files) if given.tags else {}
    photos = ((name, photo, tags.get(name), None) for name, photo in readable(files, job))
    chosen = {"test_threshold": given.threshold, "test_size": given.size}
    weights.meta["config"] |= {key: value for key, value in chosen.items() if value is not None}
    table = predict_photos(photos, weights, config=None, job=job, count=len(files))
    write_instances(table, files, out=given.out, least=given.score)
    return f"{table.images} photos, {len(table)} instances"


def tags_of(path, weights, files):
    """{photo: its category ids} of the CSV `path`; UserError for a photo that is not in `files` or an unknown class."""
    from stages.images.folder import read_tags
    from stages.images.listing import category_ids
    from tag2mask.errors import UserError

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
