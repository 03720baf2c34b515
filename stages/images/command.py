"""tag2mask points TRUTH OUT [--format txt]: one point inside every object of a ground truth.

For experiments with point supervision (dataset.points). OUT is a CSV: image_id,x,y,class; x, y in pixels from the upper
left, whole numbers. With --format txt it is a folder of text files <image id>.txt with lines `x y class`. Crowds and
difficult objects get none.
"""

import csv
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from stages.images.listing import inside
from tag2mask.data.instances import Instances
from tag2mask.errors import UserError


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


def arguments(parser):
    """TRUTH, OUT and --format."""
    parser.add_argument("truth", metavar="TRUTH", type=Path, help="instance store with ground truth")
    parser.add_argument("out", metavar="OUT", type=Path, help="CSV (or, with --format txt, folder) to write")
    parser.add_argument("--format", choices=("csv", "txt"), default="csv", help="default: csv")


def main(given):
    """Write the points of the ground truth."""
    rows = list(points(Instances.load(given.truth)))
    (write_csv if given.format == "csv" else write_folder)(given.out, rows)
    print(f"{len(rows)} points in {given.out}")


def write_csv(path, rows):
    """One line a point of `rows`, as `points` yields them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image_id", "x", "y", "class"))
        writer.writerows(rows)


def write_folder(path, rows):
    """One text file a photo that has points; an image id with a slash lies in a subfolder."""
    if path.is_dir() and any(path.iterdir()):  # an older file of a photo without points would count as its points
        raise UserError(f"{path} is a folder with files in it; name a new one.")
    path.mkdir(parents=True, exist_ok=True)
    lines = {}
    for image_id, x, y, name in rows:
        lines.setdefault(inside(image_id, "The truth"), []).append(f"{x} {y} {name}\n")
    for image_id, written in lines.items():
        file = path / f"{image_id}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(written), encoding="utf-8")
