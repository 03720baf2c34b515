"""DeepLab on the label store: configuration, training, resume, inference, command line."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from segment_photos import TINY, dataset, photo_with
from shape_photos import CATEGORIES

from stages import evaluate, segment
from stages.evaluate.config import Config as EvaluateConfig
from stages.segment.config import Config
from tag2mask.cli import main
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.maps import Maps
from tag2mask.errors import UserError
from tag2mask.learn.photos import labelled_photos
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights

LEARNS = dict(
    weights="imagenet", output_stride=16, atrous_rates=[1], batch=4, iterations=25, max_side=80, crop=80,
    scales=(0.8, 1.2), optimiser="adamw", learning_rate=1e-3, rate_new=1.0, schedule="poly",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Inputs, configuration and weights of a training of 25 iterations."""
    folder = tmp_path_factory.mktemp("segment")
    inputs, config, job = dataset(folder), Config(**LEARNS), Job(seed=5)
    weights = segment.train(inputs, config, job)["weights"]
    inputs.weights = folder / "weights.pt"
    weights.save(inputs.weights)
    return inputs, config, weights, job


# ---- configuration


def test_defaults_are_fan_s_and_deeplab_s():
    config = Config()
    assert (config.learning_rate, config.steps, config.gamma) == (2.5e-4, [20_000], 0.1)
    assert (config.weight_decay, config.momentum, config.optimiser, config.schedule) == (5e-4, 0.9, "sgd", "step")
    assert (config.batch, config.output_stride, config.atrous_rates) == (10, 8, [12, 24, 36])


@pytest.mark.parametrize(
    "keys, word",
    [
        (dict(crop=321), "multiple of output_stride"),
        (dict(scales=(1.5, 0.5)), "smaller one first"),
        (dict(test_scales=[0.0]), "above 0"),
        (dict(atrous_rates=[0]), "at least 1"),
        (dict(batch=1), "batch"),
        (dict(cropp=64), "cropp"),
    ],
)
def test_wrong_keys_are_refused(keys, word):
    with pytest.raises(ValidationError, match=word):
        Config(**keys)


def test_the_stage_is_cheap_to_import():
    code = "import sys, stages.segment, stages.segment.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


# ---- training and inference


def test_it_learns_and_evaluate_measures_it(trained, tmp_path):
    inputs, config, _, job = trained
    assert job.numbers["network"] == "DeepLab v3, efficientnet_lite0 (ImageNet weights)" and job.numbers["photos"] == 6
    made = segment.run(inputs, config, Job())["predictions"]
    assert made.image_id == ["p6", "p7"] and made.size.tolist() == [[96, 96]] * 2 and made.data.dtype == np.uint8
    assert made.category.tolist() == [0, 0] and made.meta["categories"] == {"3": "disc", "7": "box"}
    made.save(tmp_path / "predictions.zarr.zip")
    given = SimpleNamespace(index=inputs.index, truth=inputs.truth, segmentation=tmp_path / "predictions.zarr.zip")
    found = evaluate.run(given, EvaluateConfig(), Job())["metrics"]["segmentation"]
    assert found["photos"] == 2 and found["mIoU"] > 0.5 and found["pixel_accuracy"] > 0.75


def test_which_photos_are_trained_on(tmp_path):
    from stages.segment.learn import teaching

    def found(images):
        chosen = labelled_photos(index, labels, teaching(labels), images=images, stage="segment")
        return [(i, k) for i, k, _ in chosen]

    inputs = dataset(tmp_path)
    index, labels = Index.load(inputs.index), Instances.load(inputs.labels)
    labels.category[2], labels.ignore[1], labels.ignore[3] = 0, 1, 2  # no class; a crowd; difficult, but of its class
    assert found("all") == [(0, 0), (3, 3), (4, 4), (5, 5)]
    assert found("with_masks") == [(0, 0)]


def test_no_label_at_all_and_ids_that_do_not_fit(tmp_path):
    inputs = dataset(tmp_path)
    labels = Instances.load(inputs.labels)
    empty = SimpleNamespace(index=inputs.index, labels=tmp_path / "empty.zarr")
    labels.select(np.zeros(len(labels), bool)).save(empty.labels)
    with pytest.raises(UserError, match="no photo of the split 'train' has a pseudo label"):
        segment.train(empty, Config(**TINY), Job())
    labels.replaced(categories={**CATEGORIES, 255: "many"}).save(tmp_path / "many.zarr")
    with pytest.raises(UserError, match="Category id 255 does not fit"):
        segment.train(SimpleNamespace(index=inputs.index, labels=tmp_path / "many.zarr"), Config(**TINY), Job())


def test_weights_of_something_else_are_refused(trained, tmp_path):
    inputs, config, weights, _ = trained
    given = SimpleNamespace(index=inputs.index, weights=tmp_path / "c.pt")
    Weights({"kind": "refine"}, weights.tensors).save(given.weights)
    with pytest.raises(UserError, match="weights of 'refine', needed are those of 'segment'"):
        segment.run(given, config, Job())
    wrong = {**weights.meta, "config": {**weights.meta["config"], "atrous_rates": [1, 2, 3]}}
    Weights(wrong, weights.tensors).save(given.weights)
    with pytest.raises(UserError, match="not those of the segment network"):
        segment.run(given, config, Job())


class Painter(torch.nn.Module):
    """Answers class 1 where the first channel is bright, class 2 in the left half of what it sees."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.ones(1)), []

    def forward(self, x):
        self.seen.append(tuple(x.shape[2:]))
        left = torch.zeros_like(x[:, :1])
        left[..., : x.shape[3] // 2] = 2.0
        return {"out": torch.cat([torch.zeros_like(left), 10 * (x[:, :1] > 0.5), left], 1)}


def test_maps_come_back_in_photo_pixels_and_are_averaged():
    from stages.segment.predict import label_photo

    photo = np.zeros((70, 90, 3), np.uint8)
    photo[:, 60:] = 255
    config, painter = Config(**{**TINY, "max_side": 45}), Painter()
    label = label_photo(painter, photo, size=(70, 90), config=config, mean=(0,) * 3, std=(1,) * 3)
    assert painter.seen == [(32, 48)] and label.shape == (70, 90)  # 35 x 45 pixels: 2.2 and 2.8 cells of 16
    assert (label[:, :40] == 2).all() and (label[:, 50:55] == 0).all() and (label[:, 66:] == 1).all()
    larger = label_photo(painter, photo, size=(140, 180), config=config, mean=(0,) * 3, std=(1,) * 3)
    assert larger.shape == (140, 180) and (larger[::2, ::2] == label).mean() > 0.95
    painter.seen.pop()
    # mirrored, "left" is the photo's right half: averaged with the background's 1 / 3 and more nothing of it is left
    config = config.model_copy(update={"test_flip": True, "test_scales": [1.0, 2.0]})
    painter.seen.clear()
    both = label_photo(painter, photo, size=(70, 90), config=config, mean=(0,) * 3, std=(1,) * 3)
    assert painter.seen == [(32, 48)] * 2 + [(64, 96)] * 2
    assert (both[:, :40] == 2).all() and (both[:, 48:55] == 2).all() and (both[:, 66:] == 1).all()


def test_equal_probabilities_go_to_the_smaller_number():
    from stages.segment.predict import best_class

    maps = torch.tensor([[[0.2, 0.4]], [[0.4, 0.2]], [[0.4, 0.4]]])
    assert best_class(maps, (1, 2)).tolist() == [[1, 0]]


# ---- command line


def test_predict_command_on_a_folder(trained, tmp_path, capsys):
    inputs, _, _, _ = trained
    (tmp_path / "in" / "deep").mkdir(parents=True)
    photo, masks = photo_with(3, size=(70, 90))
    Image.fromarray(photo).save(tmp_path / "in" / "a.png")
    Image.fromarray(photo_with(7, size=(100, 64))[0]).save(tmp_path / "in" / "deep" / "b.jpg")
    (tmp_path / "in" / "c.jpg").write_bytes(b"")
    out = tmp_path / "in" / "out"
    command = ["predict", str(inputs.weights), str(tmp_path / "in"), "--out", str(out), "--flip", "--device", "cpu"]
    assert main(command) == 0 and main(command) == 0  # its own pictures are no photos the second time
    text = capsys.readouterr().out
    assert "2 photos, 1 bad images skipped" in text and "disc: " in text
    with Image.open(out / "maps" / "a.png") as picture:
        assert picture.mode == "P" and picture.size == (90, 70)
        label = np.array(picture)
        colours = np.array(picture.convert("RGB"))
        assert colours[label == 3].any() and not colours[label == 0].any()
    assert set(np.unique(label)) <= {0, 3, 7} and np.mean((label == 3) == masks[0]) > 0.8
    with Image.open(out / "overlays" / "deep" / "b.png") as picture:
        assert picture.size == (64, 100)
    assert json.loads((out / "classes.json").read_text()) == {"0": "background", "3": "disc", "7": "box"}
    assert main(["predict", str(tmp_path / "none.pt"), str(tmp_path / "in")]) == 1
    assert "none.pt does not exist" in capsys.readouterr().err
    assert main(["predict", str(inputs.weights), str(tmp_path / "missing")]) == 1


def test_inspect_and_evaluate_read_its_maps(trained, tmp_path, capsys):
    inputs, config, _, _ = trained
    path = tmp_path / "predictions.zarr.zip"
    segment.run(inputs, config, Job())["predictions"].save(path)
    assert Maps.load(path).images == 2
    assert main(["inspect", str(path), "--png", str(tmp_path / "sheet.png")]) == 0
    assert "label map" in capsys.readouterr().out and (tmp_path / "sheet.png").stat().st_size
    assert main(["evaluate", str(inputs.truth), str(path), "--out", str(tmp_path / "metrics.json")]) == 0
    text = capsys.readouterr().out
    assert "mIoU" in text and "disc" in text and "6 of 8 photos" in text
    assert json.loads((tmp_path / "metrics.json").read_text())["mIoU"] > 0.5
