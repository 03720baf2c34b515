"""COCO's AP by pycocotools itself: Instances tables in, its numbers out.

pycocotools looks at some photos at a time, for of a whole dataset it keeps a dict a photo, class and range of areas;
what it finds in them is then put together by it, as if it had seen all.
"""

import contextlib
import io
import itertools
from array import array
from dataclasses import dataclass, field

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from tag2mask.data import rle

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the first six of COCOeval.stats
CROWD, DIFFICULT = 1, 2  # values of `ignore`
BATCH = 10  # photos that pycocotools has before it at a time: it goes over all their classes in each of them


@dataclass
class Found:
    """What pycocotools found of a class in a range of areas, photo after photo: D predictions, G objects.

    scores : D float64. matched, ignored : D rows of one byte a threshold. passed : G bytes, objects that are ignored.
    """

    scores: array = field(default_factory=lambda: array("d"))
    matched: bytearray = field(default_factory=bytearray)
    ignored: bytearray = field(default_factory=bytearray)
    passed: bytearray = field(default_factory=bytearray)

    def add(self, photo):
        """The dict of COCOeval.evaluateImg."""
        self.scores.extend(photo["dtScores"])
        self.matched += (photo["dtMatches"] > 0).T.tobytes()
        self.ignored += (photo["dtIgnore"] > 0).T.tobytes()
        self.passed += (np.asarray(photo["gtIgnore"]) > 0).tobytes()

    def whole(self, thresholds):
        """All photos as one, as COCOeval.accumulate takes it."""
        matched, ignored = (
            np.frombuffer(rows, bool).reshape(-1, thresholds).T for rows in (self.matched, self.ignored)
        )  # fmt: skip
        scores, passed = np.array(self.scores, np.float64), np.frombuffer(self.passed, np.uint8)
        return {"dtScores": scores, "dtMatches": matched, "dtIgnore": ignored, "gtIgnore": passed}


def measure(truth, predictions):
    """({"AP", "AP50", "AP75", "APs", "APm", "APl"}, {category: {"AP", "AP50", "AP75"}}); nan where COCO has -1.

    truth, predictions : Instances over the same images. Every category of the ground truth is asked for, at most 100
    predictions of a class in a photo, void pixels as any other, crowds as COCO has them: pycocotools, unchanged.
    """
    categories = sorted(c for c in truth.categories if c > 0)
    areas = range(len(Params("segm").areaRng))
    found = {pair: Found() for pair in itertools.product(categories, areas)}
    order = by_number(truth.image_id)
    for k in range(0, len(order), BATCH):
        look(truth, predictions, order[k : k + BATCH], found)
    return summary(found, categories)


def by_number(image_id):
    """Images in the order of their ids as numbers (as text if some id is none), so that equal scores keep the order
    that they have in the dataset's own JSON."""
    numeric = all(name.isdigit() for name in image_id)
    return sorted(range(len(image_id)), key=lambda i: (int(image_id[i]) if numeric else 0, image_id[i]))


def look(truth, predictions, images, found):
    """Adds what pycocotools finds in some images to `found`, {(category, number of the range of areas): Found}."""
    given = dataset(truth, images, truth=True), dataset(predictions, images, truth=False)
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(*given, "segm")
        run.params.catIds = sorted({one["category_id"] for side in given for one in side.dataset["annotations"]})
        run.evaluate()
    of = itertools.product(run.params.catIds, range(len(run.params.areaRng)), run.params.imgIds)
    for (category, area, _), photo in zip(of, run.evalImgs):
        if photo is not None:  # there is neither an object nor a prediction
            found[category, area].add(photo)


def dataset(table, images, *, truth):
    """A COCO object of some images of an Instances table, which are numbered from 1.

    Areas are the annotations' own for ground truth, pixels for predictions, as `COCO.loadRes` has them. COCOeval
    knows only crowds as ignored: a difficult object gets an area outside every range, which makes it ignored with the
    plain IoU.
    """
    annotations = [
        {
            "image_id": number, "category_id": int(table.category[row]), "segmentation": mask,
            "area": -1.0 if table.ignore[row] == DIFFICULT else float(table.area[row]),
            "bbox": table.bbox[row].tolist(), "iscrowd": int(table.ignore[row] == CROWD),
            "score": float(table.score[row]),
        }
        for number, i in enumerate(images, 1)
        for row, mask in zip(table.numbers(i), table.rles(table.rows(i)))
        if table.category[row] > 0
    ]  # fmt: skip
    for number, one in enumerate(annotations, 1):
        one["id"] = number
    if not truth:
        pixels = rle.area([one["segmentation"] for one in annotations])
        for one, count in zip(annotations, pixels.tolist()):
            one.update(area=float(count), iscrowd=0)
    made = COCO()
    made.dataset = {
        "images": [
            {"id": number, "height": int(table.size[i][0]), "width": int(table.size[i][1])}
            for number, i in enumerate(images, 1)
        ],
        "annotations": annotations,
        "categories": [{"id": c, "name": name} for c, name in sorted(table.categories.items()) if c > 0],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        made.createIndex()
    return made


def summary(found, categories):
    """The two dicts of `measure`, of all that was found."""
    run = COCOeval(iouType="segm")
    # one photo that holds all: what lies beyond COCO's 100 predictions of a photo was left out in each
    most = max((len(one.scores) for one in found.values()), default=0)
    run.params.imgIds, run.params.catIds, run.params.maxDets = [0], categories, [most]
    run._paramsEval = run.params
    thresholds = len(run.params.iouThrs)
    run.evalImgs = [one.whole(thresholds) if one.scores or one.passed else None for one in found.values()]
    with contextlib.redirect_stdout(io.StringIO()):
        run.accumulate()
    precision = run.eval["precision"][..., 0]  # (T, R, K, A), thresholds 0.5 : 0.05 : 0.95, areas all, s, m, l
    rows = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}
    whole = [mean_precision(precision[part, :, :, 0]) for part in rows.values()]
    by_area = [mean_precision(precision[..., area]) for area in (1, 2, 3)]
    by_class = {
        int(c): {name: mean_precision(precision[part, :, k, 0]) for name, part in rows.items()}
        for k, c in enumerate(categories)
    }
    return dict(zip(NAMES, [*whole, *by_area])), by_class


def mean_precision(values):
    """Mean of the precisions that exist (COCO marks the others -1), nan for none."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")
