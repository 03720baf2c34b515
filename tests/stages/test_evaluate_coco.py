"""Agreement with pycocotools on the same annotations read straight from COCO JSON, crowds included."""

import contextlib
import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stages.evaluate import coco, measures
from stages.evaluate.config import Config
from tag2mask.data.coco import from_coco
from tag2mask.data.instances import Instances, InstancesBuilder

PHOTOS = Path(__file__).parents[2] / ".." / "shared" / "data" / "photos20" / "coco"
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def perturbed(path, *, seed=0):
    """A COCO list of results: true masks shifted, cut, doubled, mislabelled or left out; some scores equal."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
    rng, results = np.random.default_rng(seed), []
    kinds = truth.getCatIds()
    for annotation in truth.dataset["annotations"]:
        mask = truth.annToMask(annotation)
        for _ in range(rng.integers(0, 3)):
            moved = np.roll(mask, rng.integers(-4, 5, 2), (0, 1))
            if rng.random() < 0.3:
                moved[: rng.integers(1, len(moved))] = 0
            encoded = coco_mask.encode(np.asfortranarray(moved))
            kind = annotation["category_id"] if rng.random() < 0.9 else int(rng.choice(kinds))
            results.append({
                "image_id": annotation["image_id"], "category_id": kind, "score": float(rng.integers(1, 65)) / 64,
                "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
            })  # fmt: skip
    return results


def direct(path, results):
    """(six numbers, precision array) of pycocotools on the JSON itself."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        run = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "segm")  # loadRes writes into its list
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats[:6], run.eval["precision"]


def check(path, tmp_path):
    """Through our stores and back, the numbers are pycocotools' own to the last digit; returns them."""
    results = perturbed(path)
    wanted, precision = direct(path, results)
    from_coco(str(path)).save(tmp_path / "truth.zarr.zip")
    truth = Instances.open(tmp_path / "truth.zarr.zip")
    (tmp_path / "results.json").write_text(json.dumps(results))
    from_coco(tmp_path / "results.json", like=str(path)).save(tmp_path / "predictions.zarr")
    predictions = Instances.open(tmp_path / "predictions.zarr")
    given, by_class = coco.measure(truth, predictions)
    np.testing.assert_array_equal([given[name] for name in NAMES], np.where(wanted < 0, np.nan, wanted))
    for k, kind in enumerate(sorted(by_class)):
        one = precision[:, :, k, 0, -1]
        np.testing.assert_array_equal(by_class[kind]["AP"], one[one > -1].mean() if (one > -1).any() else np.nan)
    return truth, predictions, given


@pytest.mark.parametrize("split", ["val", "train"])
def test_photos20_crowds_included(split, tmp_path):
    path = PHOTOS / f"instances_{split}.json"
    if not path.is_file():
        pytest.skip("the photographs in ../shared/data/photos20 are not here")
    truth, _, given = check(path, tmp_path)
    assert np.sum(truth.ignore == 1) > 0 and len(truth.categories) == 80
    assert 0.1 < given["AP"] < 0.9  # neither trivial nor perfect


def synthetic(path):
    """A small COCO JSON: polygons, uncompressed RLE crowds, own areas, ids in no order, photos without objects."""
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for n in rng.permutation(40):
        images.append({"id": int(n) * 3, "file_name": f"{n * 3:012d}.jpg", "height": 90, "width": 120})
        for _ in range(rng.integers(0, 6)):
            x, y = rng.integers(0, 70, 2)
            w, h = rng.integers(5, 50, 2)
            mask = np.zeros((90, 120), np.uint8)
            mask[y : y + h, x : x + w] = 1
            crowd = int(rng.random() < 0.15)
            if crowd:
                flat = mask.ravel(order="F")
                edges = np.flatnonzero(np.diff(flat)) + 1
                runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
                segment = {"size": [90, 120], "counts": [0, *runs] if flat[0] else runs}
            else:
                segment = [[float(v) for v in (x, y, x + w, y, x + w, y + h, x, y + h)]]
            annotations.append({
                "id": len(annotations) + 11, "image_id": int(n) * 3, "category_id": int(rng.choice([2, 5, 9])),
                "segmentation": segment, "area": float(w * h) * rng.choice([1.0, 0.7]), "iscrowd": crowd,
                "bbox": [float(v) for v in (x, y, w, h)],
            })  # fmt: skip
    categories = [{"id": c, "name": f"kind {c}"} for c in (2, 5, 9, 17)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_synthetic_crowds_included(tmp_path, monkeypatch, batch):
    """However many photos pycocotools has before it at a time."""
    monkeypatch.setattr(coco, "BATCH", batch)
    synthetic(tmp_path / "truth.json")
    truth, predictions, given = check(tmp_path / "truth.json", tmp_path)
    assert np.sum(truth.ignore == 1) > 5 and 0.1 < given["AP"] < 0.9
    assert np.isfinite(given["APs"]) and np.isfinite(given["APm"])
    result = measures.instance_metrics(truth, predictions, Config())
    assert result["AP50"] == given["AP50"]
    loaded = Instances.load(tmp_path / "truth.zarr.zip"), Instances.load(tmp_path / "predictions.zarr")
    assert measures.instance_metrics(*loaded, Config()) == result
    assert {one["category"] for one in result["classes"]} == {2, 5, 9}  # 17 never occurs


def test_difficult_objects_are_ignored_in_coco_numbers():
    def strip(a, b):
        mask = np.zeros((10, 40), bool)
        mask[:, a:b] = True
        return mask

    def table(masks, **keys):
        builder = InstancesBuilder({1: "cat"})
        builder.add("a", (10, 40), np.array(masks), category=1, **keys)
        return builder.finish()

    truth = table([strip(0, 10), strip(20, 30)], ignore=[2, 0])
    both = coco.measure(truth, table([strip(0, 10), strip(20, 30)], score=[0.9, 0.8]))[0]
    assert both["AP"] == pytest.approx(1)
    inside = coco.measure(truth, table([strip(0, 3), strip(20, 30)], score=[0.9, 0.8]))[0]  # a part is no match
    assert inside["AP"] == pytest.approx(0.5)
