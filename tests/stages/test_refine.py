"""Mask R-CNN on the label store: configuration, data, training, resume, inference, command line."""

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pydantic import ValidationError
from refine_photos import PACKAGED, TINY, dataset, photo_with
from shape_photos import CATEGORIES

from stages import refine
from stages.refine.config import Config
from tag2mask.cli import main
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.errors import UserError
from tag2mask.learn.photos import labelled_photos
from tag2mask.run.job import Job
from tag2mask.store import store
from tag2mask.store.weights import Weights

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Inputs, configuration and weights of a tiny training of four iterations."""
    folder = tmp_path_factory.mktemp("refine")
    inputs, config = dataset(folder), Config(**TINY)
    weights = refine.train(inputs, config, Job(seed=5))["weights"]
    inputs.weights = folder / "weights.pt"
    weights.save(inputs.weights)
    return inputs, config, weights


def test_defaults_are_the_1x_schedule():
    config = Config()
    assert (config.iterations, config.batch, config.learning_rate, config.steps) == (90_000, 16, 0.02, [60_000, 80_000])
    assert (config.roi_batch, config.detections, config.nms, config.mask_threshold) == (512, 100, 0.5, 0.5)


def shipped():
    """Names of the shipped configurations: the demo's, and those of real photos alone and below every overlay."""
    files = {path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "config").glob("*.yaml"))}
    kinds = {name: values.get("dataset", {}).get("kind") for name, values in files.items()}
    real = [name for name, kind in kinds.items() if kind not in (None, "scenes")]
    overlays = [name for name, kind in kinds.items() if kind is None]
    return [["config.yaml"], *([name] for name in real), *([name, over] for name in real for over in overlays)]


@pytest.mark.parametrize("names", shipped(), ids="+".join)
def test_every_pyramid_level_pools_boxes(names):
    """By FPN's Eq. 1 the anchors' boxes and one as large as the photo's short side reach every level below 6."""
    keys = {}
    for name in names:
        keys |= yaml.safe_load((ROOT / "config" / name).read_text()).get("refine", {})
    config = Config(**keys)
    levels = [level for level in config.fpn_levels if level < 6]
    sides = [*config.anchor_sizes, min(config.test_short_side, *config.short_side)]
    wanted = [config.roi_canonical_level + math.log2(side / config.roi_canonical_size) for side in sides]
    assert {min(max(math.floor(k), levels[0]), levels[-1]) for k in wanted} == set(levels)


@pytest.mark.parametrize(
    "keys, word",
    [
        (dict(fpn_levels=[2, 4], anchor_sizes=[1, 2]), "consecutive"),
        (dict(fpn_levels=[6], anchor_sizes=[512]), "below 6"),
        (dict(anchor_sizes=[32, 64]), "one size per entry"),
        (dict(fpn_chanels=64), "fpn_chanels"),
    ],
)
def test_wrong_keys_are_refused(keys, word):
    with pytest.raises(ValidationError, match=word):
        Config(**keys)


def test_the_stage_is_cheap_to_import():
    code = "import sys, stages.refine, stages.refine.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_scaled_size_by_hand():
    from stages.refine.data import scaled_size

    assert scaled_size((300, 600), 100, 1000) == (100, 200)
    assert scaled_size((600, 300), 100, 120) == (120, 60)  # the long side binds
    assert scaled_size((375, 500), 800, 1333) == (800, 1067)


def test_sample_scales_and_flips_photo_boxes_and_masks_together():
    from stages.refine.data import training_sample

    photo = np.zeros((40, 60, 3), np.uint8)
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 10:20, 5:25] = True
    masks[1, 0:40, 59] = True
    photo[masks[0]] = 200
    for flip, expected in [(0.0, [[10, 20, 50, 40], [118, 0, 120, 80]]), (1.0, [[70, 20, 110, 40], [0, 0, 2, 80]])]:
        config = Config(**TINY).model_copy(update={"short_side": [80], "max_side": 200, "flip": flip})
        sample = training_sample(photo, masks, [1, 0], config=config, rng=np.random.default_rng(0))
        targets = sample["instances"]
        assert sample["image"].shape == (3, 80, 120) and targets.gt_masks.tensor.shape == (2, 80, 120)
        assert targets.gt_boxes.tensor.tolist() == expected and targets.gt_classes.tolist() == [1, 0]
        inside = sample["image"][0][targets.gt_masks.tensor[0]]
        assert inside.median() == 200 and (sample["image"][0] > 150).sum() <= 22 * 42


def test_objects_that_vanish_when_scaled_are_left_out():
    from stages.refine.data import training_sample

    masks = np.zeros((2, 200, 200), bool)
    masks[0, 50:150, 50:150], masks[1, 0, 0] = True, True
    sample = training_sample(
        np.zeros((200, 200, 3), np.uint8), masks, [0, 1], config=Config(**TINY), rng=np.random.default_rng(0)
    )
    assert sample["instances"].gt_classes.tolist() == [0]


def test_inference_normalises_as_training_did(tmp_path):
    from stages.refine.predict import load

    config = Config(**{**TINY, **PACKAGED, "iterations": 1})
    weights = refine.train(dataset(tmp_path), config, Job())["weights"]
    weights.save(tmp_path / "weights.pt")
    model, _ = load(Weights.load(tmp_path / "weights.pt"))
    assert model.pixel_mean.flatten().tolist() == model.pixel_std.flatten().tolist() == [127.5] * 3
    assert not model.training


def test_training_lowers_the_loss(tmp_path):
    config = Config(**{**TINY, **PACKAGED, "iterations": 25, "schedule": "step", "steps": [], "warmup": 0})
    inputs, losses = dataset(tmp_path), []
    from stages.refine import model as networks

    original = networks.losses

    def recorded(*arguments):
        losses.append(original(*arguments))
        return losses[-1]

    networks.losses = recorded
    try:
        refine.train(inputs, config, Job(seed=0))
    finally:
        networks.losses = original
    values = [float(v.detach()) for v in losses]
    assert np.isfinite(values).all() and np.mean(values[-5:]) < 0.6 * np.mean(values[:3])


def test_which_photos_are_trained_on(tmp_path):
    from stages.refine.learn import teaching

    def found(images):
        return labelled_photos(index, labels, teaching(labels), images=images, stage="refine")

    inputs = dataset(tmp_path, ignore=(1,))
    index, labels = Index.load(inputs.index), Instances.load(inputs.labels)
    labels.category[2] = 0  # not labelled
    assert [one[0] for one in found("all")] == [0, 3]
    assert [one[0] for one in found("with_masks")] == [0]
    labels.ignore[:] = 2
    with pytest.raises(UserError, match="nothing to train on"):
        found("all")


def test_predictions_are_the_validation_photos_with_dataset_categories(trained):
    inputs, config, _ = trained
    table = refine.run(inputs, config, Job())["predictions"]
    assert table.image_id == ["p4", "p5"] and table.categories == CATEGORIES
    assert len(table) > 0 and set(table.category.tolist()) <= {3, 7}
    assert table.score.min() >= 0 and table.score.max() <= 1 and table.area.min() > 0
    assert np.diff(table.first).max() <= config.detections
    again = refine.run(inputs, config, Job())["predictions"]
    assert store.digest(table.arrays()) == store.digest(again.arrays())
    few = refine.run(inputs, config.model_copy(update={"detections": 1}), Job())["predictions"]
    assert np.diff(few.first).max() <= 1  # test keys come from the configuration, not from the weights


@pytest.mark.parametrize("whole", [True, False])
def test_detections_come_back_in_photo_pixels(monkeypatch, whole):
    """The network sees the photo at half size; a box and a full mask there become twice as large here."""
    from detectron2.structures import Boxes
    from detectron2.structures import Instances as Found

    from stages.refine.predict import predict_photo

    def inference(batch, do_postprocess):
        assert batch[0]["image"].shape == (3, 64, 96)
        found = Found((64, 96))
        found.pred_boxes = Boxes(torch.tensor([[10.0, 20.0, 30.0, 40.0], [0.0, 0.0, 10.0, 10.0]]))
        found.pred_masks = torch.stack([torch.ones(1, 28, 28), torch.zeros(1, 28, 28)])
        found.pred_classes, found.scores = torch.tensor([1, 0]), torch.tensor([0.9, 0.8])
        return [found]

    config = Config(**TINY)
    photo, size = np.zeros((128, 192, 3), np.uint8) if whole else np.zeros((64, 96, 3), np.uint8), (128, 192)
    if not whole:  # the photo itself is larger than what was read of it, and masks are made one after the other
        monkeypatch.setattr("stages.refine.predict.PASTED", 1)
    rles, classes, scores, boxes = predict_photo(SimpleNamespace(inference=inference), photo, size=size, config=config)
    table = InstancesBuilder(CATEGORIES)
    table.add("a", (128, 192), rles, category=classes + 1, score=scores, bbox=boxes)
    mask = table.finish().mask(0)
    assert classes.tolist() == [1] and boxes.tolist() == [[20, 40, 40, 40]]  # the empty mask is gone
    expected = np.zeros((128, 192), bool)
    expected[40:80, 20:60] = True
    assert np.array_equal(mask, expected)


def test_weights_of_something_else_are_refused(trained, tmp_path):
    inputs, config, weights = trained
    Weights({"kind": "classifier"}, weights.tensors).save(tmp_path / "c.pt")
    with pytest.raises(UserError, match="classifier"):
        refine.run(SimpleNamespace(index=inputs.index, weights=tmp_path / "c.pt"), config, Job())
    wrong = {**weights.meta, "config": {**weights.meta["config"], "mask_channels": 24}}
    Weights(wrong, weights.tensors).save(tmp_path / "d.pt")
    with pytest.raises(UserError, match="not those of the refine network"):
        refine.run(SimpleNamespace(index=inputs.index, weights=tmp_path / "d.pt"), config, Job())


def test_predict_command_on_a_folder(trained, tmp_path, capsys):
    inputs, _, _ = trained
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.fromarray(photo_with(3, size=(70, 90))[0]).save(tmp_path / "in" / "a.png")
    Image.fromarray(photo_with(7, size=(100, 64))[0]).save(tmp_path / "in" / "deep" / "b.jpg")
    (tmp_path / "in" / "c.jpg").write_bytes(b"")
    out = tmp_path / "in" / "out"
    command = [
        "predict",
        str(inputs.weights),
        str(tmp_path / "in"),
        "--out",
        str(out),
        "--score",
        "0",
        "--device",
        "cpu",
    ]
    assert main(command) == 0 and main(command) == 0  # its own overlays are no photos the second time
    assert "2 photos" in capsys.readouterr().out
    table = Instances.load(out / "predictions.zarr.zip")
    assert table.image_id == ["a", "deep/b"] and table.size.tolist() == [[70, 90], [100, 64]]
    coco = json.loads((out / "predictions.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "deep/b.jpg"]
    assert len(coco["annotations"]) == len(table) > 0
    with Image.open(out / "overlays" / "deep" / "b.png") as picture:
        assert picture.size == (64, 100)
    assert main(["predict", str(tmp_path / "none.pt"), str(tmp_path / "in")]) == 1
    assert main(["predict", str(inputs.weights), str(tmp_path / "missing")]) == 1
