"""COCO's AP by pycocotools itself: Instances tables in, its numbers out."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tag2mask.data import rle

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the first six of COCOeval.stats
CROWD, DIFFICULT = 1, 2  # values of `ignore`


def dataset(table, *, truth):
    """A COCO object of an Instances table, images numbered in the order of their ids as numbers (as text if some id
    is none), so that equal scores keep the order they have in the dataset's own JSON.

    Areas are the annotations' own for ground truth, pixels for predictions, as `COCO.loadRes` has them. COCOeval
    knows only crowds as ignored: a difficult object gets an area outside every range, which makes it ignored with the
    plain IoU.
    """
    numeric = all(name.isdigit() for name in table.image_id)
    order = sorted(range(table.images), key=lambda i: (int(table.image_id[i]) if numeric else 0, table.image_id[i]))
    number = np.empty(table.images, np.int64)
    number[order] = np.arange(1, table.images + 1)
    image = number[table.image_of_row].tolist()
    area = np.where(table.ignore == DIFFICULT, -1.0, table.area).tolist()
    annotations = [
        {
            "id": row + 1, "image_id": image[row], "category_id": int(table.category[row]), "segmentation": mask,
            "area": area[row], "bbox": table.bbox[row].tolist(), "iscrowd": int(table.ignore[row] == CROWD),
            "score": float(table.score[row]),
        }
        for row, mask in enumerate(table.rles(slice(None)))
        if table.category[row] > 0
    ]  # fmt: skip
    if not truth:
        pixels = rle.area([one["segmentation"] for one in annotations])
        for one, count in zip(annotations, pixels.tolist()):
            one.update(area=float(count), iscrowd=0)
    made = COCO()
    made.dataset = {
        "images": [
            {"id": int(number[i]), "height": int(table.size[i][0]), "width": int(table.size[i][1])} for i in order
        ],
        "annotations": annotations,
        "categories": [{"id": c, "name": name} for c, name in sorted(table.categories.items()) if c > 0],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        made.createIndex()
    return made


def measure(truth, predictions):
    """({"AP", "AP50", "AP75", "APs", "APm", "APl"}, {category: {"AP", "AP50", "AP75"}}); nan where COCO has -1.

    truth, predictions : Instances over the same images. Every category of the ground truth is asked for, at most 100
    predictions of a class in a photo, void pixels as any other, crowds as COCO has them: pycocotools, unchanged.
    """
    return evaluate(dataset(truth, truth=True), dataset(predictions, truth=False))


def evaluate(truth, predictions):
    """As `measure`, of two COCO objects."""
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(truth, predictions, "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    stats = [float(v) if v > -1 else float("nan") for v in run.stats[: len(NAMES)]]
    precision = run.eval["precision"][:, :, :, 0, -1]  # (T, R, K), all areas, 100 predictions
    rows = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}  # thresholds 0.5 : 0.05 : 0.95
    by_class = {
        int(c): {name: mean_precision(precision[part, :, k]) for name, part in rows.items()}
        for k, c in enumerate(run.params.catIds)
    }
    return dict(zip(NAMES, stats)), by_class


def mean_precision(values):
    """Mean of the precisions that exist (COCO marks the others -1), nan for none."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")
