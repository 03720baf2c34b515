"""evaluate as a stage and as a command: splits, stores and COCO JSON, what is refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from evaluate_tables import CROWD, maps_of, metrics, strip, table

from stages.evaluate import run
from stages.evaluate.config import Config
from tag2mask.cli import main
from tag2mask.data.instances import Instances
from tag2mask.errors import UserError
from tag2mask.run.job import Job


class FakeIndex:
    """An index as the stage reads it: photos p0 .. p3, the last one validation."""

    image_id = ("p0", "p1", "p2", "p3")

    def where(self, split):
        return {"with_masks": np.array([0, 2]), "val": np.array([3]), "train": np.arange(3)}[split]


@pytest.fixture
def stage(tmp_path, monkeypatch):
    index = pytest.importorskip("tag2mask.data.index")
    monkeypatch.setattr(index.Index, "load", staticmethod(lambda path: FakeIndex()))
    photos = [[(strip(0, 10), 1)], [(strip(0, 10), 2)], [(strip(0, 10), 1)], [(strip(0, 10), 1)]]
    table(*photos).save(tmp_path / "truth.zarr.zip")
    labels = table([(strip(0, 10), 1, 0.9)], [(strip(0, 10), 1, 0.8)], [(strip(0, 5), 1, 0.7)])
    labels.save(tmp_path / "labels.zarr")
    table({"id": "p3", "rows": [(strip(0, 10), 1, 0.5)]}).save(tmp_path / "predictions.zarr.zip")
    table([(strip(0, 10), 0, 0.5)], []).save(tmp_path / "0.zarr.zip")
    table({"id": "p2", "rows": [(strip(0, 8), 0, 0.5)]}).save(tmp_path / "1.zarr.zip")
    return tmp_path


def test_run_measures_each_on_its_split(stage):
    inputs = SimpleNamespace(
        index=stage / "index", truth=stage / "truth.zarr.zip", labels=stage / "labels.zarr",
        predictions=stage / "predictions.zarr.zip", proposals=[stage / "0.zarr.zip", stage / "1.zarr.zip"],
    )  # fmt: skip
    job = Job()
    result = run(inputs, Config(), job)["metrics"]
    assert result["labels"]["photos"] == 2 and result["labels"]["mAP75"] == 0.5
    assert result["predictions"]["photos"] == 1 and result["predictions"]["AP50"] == pytest.approx(1)
    assert result["proposals"]["counts"][0]["ABO"] == pytest.approx(0.9) and not job.warnings
    json.dumps(result, allow_nan=False)
    assert result["segmentation"] is None
    maps_of([1] * 10 + [0] * 20, names=("p3",)).save(stage / "maps.zarr.zip")
    inputs.segmentation = stage / "maps.zarr.zip"
    assert run(inputs, Config(), Job())["metrics"]["segmentation"]["mIoU"] == 1
    inputs.labels = inputs.proposals = None
    assert run(inputs, Config(), Job())["metrics"]["labels"] is None
    inputs.predictions = stage / "labels.zarr"  # none of the validation photos
    job = Job()
    assert run(inputs, Config(), job)["metrics"]["predictions"]["mAP50"] == 0
    assert "1 of 1 photos of split val are not in the predictions" in job.warnings[0]


def test_photos_without_ground_truth_are_left_out(stage):
    table([(strip(0, 10), 1)]).save(stage / "truth.zarr.zip")  # p0 alone: neither p2 of with_masks nor p3 of val
    inputs = SimpleNamespace(
        index=stage, truth=stage / "truth.zarr.zip", labels=stage / "labels.zarr",
        predictions=stage / "predictions.zarr.zip",
    )  # fmt: skip
    job = Job()
    metrics = run(inputs, Config(), job)["metrics"]
    assert metrics["labels"]["photos"] == 1 and metrics["labels"]["mAP75"] == 1
    assert metrics["predictions"] is None
    assert "1 photos of split with_masks have no ground truth" in job.warnings[0]
    assert "the split val has no photo with ground truth" in job.warnings[1]


def test_command_line_on_stores(stage, capsys):
    out = stage / "metrics.json"
    assert main(["evaluate", str(stage / "truth.zarr.zip"), str(stage / "labels.zarr"), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "1 of 4 photos of" in text and "cat" in text and "mAP50" in text and "objects" in text
    assert json.loads(out.read_text())["photos"] == 3
    assert main(["evaluate", str(stage / "truth.zarr.zip"), str(stage / "1.zarr.zip")]) == 0
    assert "recall70" in capsys.readouterr().out
    assert (
        main(["evaluate", str(stage / "truth.zarr.zip"), str(stage / "labels.zarr"), "--out", "/nowhere/x.json"]) == 1
    )
    assert "cannot write /nowhere/x.json" in capsys.readouterr().err
    maps_of([1] * 10 + [0] * 20, names=("p3",)).save(stage / "maps.zarr.zip")
    assert main(["evaluate", str(stage / "truth.zarr.zip"), str(stage / "maps.zarr.zip"), "--out", str(out)]) == 0
    assert "3 of 4 photos of" in (text := capsys.readouterr().out) and "pixel accuracy" in text
    assert json.loads(out.read_text())["mIoU"] == 1


def test_command_line_on_coco_json(tmp_path, capsys):
    images = [{"id": n, "file_name": f"{n:06d}.jpg", "height": 4, "width": 30} for n in (30, 7)]
    square = [[0, 0, 10, 0, 10, 4, 0, 4]]
    truth = {
        "images": images, "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": n, "image_id": k, "category_id": 1, "segmentation": square, "area": 40, "iscrowd": 0,
                         "bbox": [0, 0, 10, 4]} for n, k in ((5, 30), (6, 7))],
    }  # fmt: skip
    results = [{"image_id": 30, "category_id": 1, "segmentation": square, "score": 0.5}]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    for n, annotation in enumerate(truth["annotations"]):
        annotation["score"] = 0.5 + n / 10
    (tmp_path / "dataset.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    out = tmp_path / "out.json"
    assert main(["evaluate", str(tmp_path / "truth.json"), str(tmp_path / "results.json"), "--out", str(out)]) == 0
    # a list of results names no photos: those it leaves out are photos without predictions
    assert json.loads(out.read_text())["mAP50"] == 0.5
    assert main(["evaluate", str(tmp_path / "truth.json"), str(tmp_path / "dataset.json"), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["mAP75"] == 1
    capsys.readouterr()
    (tmp_path / "results.json").write_text(json.dumps([{**results[0], "image_id": 31}]))
    assert main(["evaluate", str(tmp_path / "truth.json"), str(tmp_path / "results.json")]) == 1
    error = capsys.readouterr().err
    assert "31" in error and "Traceback" not in error and error.count("\n") == 1


def test_what_does_not_fit_is_refused(tmp_path, capsys):
    truth = table([(strip(0, 10), 1)])
    with pytest.raises(UserError, match="category 3 is 'cow' in the predictions and 'owl'"):
        metrics(truth, table([(strip(0, 10), 3)], categories={3: "cow"}))
    with pytest.raises(UserError, match=r"category 9 \(elk\), which the ground truth does not list"):
        metrics(truth, table([(strip(0, 10), 9)], categories={9: "elk"}))
    small = {"rows": [(strip(0, 2, (4, 5)), 1)], "size": (4, 5)}
    with pytest.raises(UserError, match=r"p0 is \(4, 5\) pixels .* \(4, 30\) in the ground truth"):
        metrics(truth, table(small))
    truth.save(tmp_path / "a.zarr.zip")
    table({"id": "else", "rows": []}).save(tmp_path / "b.zarr.zip")
    assert main(["evaluate", str(tmp_path / "a.zarr.zip"), str(tmp_path / "b.zarr.zip")]) == 1
    assert "no photo in common (for example 'else' against for example 'p0')" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "a.zarr.zip"), str(tmp_path / "none.json")]) == 1
    assert "none.json does not exist" in capsys.readouterr().err


def test_stores_keep_what_evaluation_needs(tmp_path):
    truth = table({"rows": [(strip(0, 10), 1), (strip(3, 9), 2, None, CROWD)], "void": strip(28, 30)})
    predictions = table([(strip(0, 9), 1, 0.25)])
    before = metrics(truth, predictions)
    truth.save(tmp_path / "t.zarr.zip")
    predictions.save(tmp_path / "p.zarr")
    after = metrics(Instances.load(tmp_path / "t.zarr.zip"), Instances.load(tmp_path / "p.zarr"))
    assert before == after
