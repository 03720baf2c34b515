"""python -m stages.images points TRUTH OUT.csv: one point inside every object of a ground truth, for experiments.

OUT.csv: image_id,x,y,class; x, y in pixels from the upper left, whole numbers. Crowds and difficult objects get none.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from stages.common.errors import UserError
from stages.common.instances import Instances


def inner_point(mask):
    """(x, y) of the pixel of `mask` (H, W) bool that is farthest from all pixels outside it; None where it is empty.

    Beyond the photo's border counts as outside; of equals the first in row order is taken.
    """
    if not mask.any():
        return None
    distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), mask.shape)
    return int(x), int(y)


def points(truth):
    """Yield (image id, x, y, class name) of every counted object of an Instances table, in its order."""
    for i, name in enumerate(truth.image_id):
        rows = truth.rows(i)
        for mask, category, ignore in zip(truth.masks(i), truth.category[rows], truth.ignore[rows]):
            point = None if ignore else inner_point(mask)
            if point is not None:
                yield name, *point, truth.categories[int(category)]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m stages.images", description=__doc__)
    command = parser.add_subparsers(dest="command", required=True).add_parser("points", help="make a file of points")
    command.add_argument("truth", type=Path, help="instance store with ground truth")
    command.add_argument("out", type=Path, help="CSV to write")
    given = parser.parse_args(arguments)
    try:
        rows = list(points(Instances.load(given.truth)))
    except UserError as error:
        sys.exit(str(error))
    try:
        with given.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("image_id", "x", "y", "class"))
            writer.writerows(rows)
    except OSError as error:
        sys.exit(f"{given.out} cannot be written ({error.strerror}); name another file.")
    print(f"{len(rows)} points in {given.out}")


if __name__ == "__main__":
    main()
