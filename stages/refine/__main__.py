"""Segment any photos with trained weights.

    python -m stages.refine predict WEIGHTS FOLDER [--out DIR] [--score 0.5] [--device cuda:0]

WEIGHTS is the weights.pt of a run (results/<run>/refine/<recipe>/weights.pt). Of every photo in FOLDER (subfolders
included) the instances go to DIR/predictions.zarr.zip (instance table), DIR/predictions.json (COCO, with scores) and
DIR/overlays/<photo>.png. Bad images are named and skipped.
"""

import sys

from tag2mask.view.prediction import command, write_instances

OPTIONS = [("--score", {"type": float, "default": 0.5, "help": "least score that is drawn (default: 0.5)"})]


def main(arguments=None):
    return command("refine", predict, doc=__doc__, out="predictions", options=OPTIONS, arguments=arguments)


def predict(given, files, weights, job):
    """The command `predict`; see tag2mask.view.prediction."""
    from stages.refine.predict import predict_photos
    from tag2mask.data.photo import readable

    table = predict_photos(readable(files, job), weights, config=None, job=job, count=len(files))
    write_instances(table, files, out=given.out, least=given.score)
    return f"{table.images} photos, {len(table)} instances"


if __name__ == "__main__":
    sys.exit(main())
