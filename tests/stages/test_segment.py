"""DeepLab on the label store: configuration, merging, samples, training, resume, inference, command line."""

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

from stages import evaluate, segment
from stages.common import store
from stages.common.errors import UserError
from stages.common.index import Index
from stages.common.instances import Instances, InstancesBuilder
from stages.common.job import Job
from stages.common.maps import Maps
from stages.common.weights import Weights
from stages.evaluate.config import Config as EvaluateConfig
from stages.segment.config import Config

CATEGORIES = {3: "disc", 7: "box"}
TINY = dict(
    weights="none", output_stride=16, atrous_rates=[1, 2], batch=2, iterations=4, crop=64, scales=(0.8, 1.2),
    checkpoint_every=2,
)  # fmt: skip
LEARNS = dict(
    weights="imagenet", output_stride=16, atrous_rates=[1, 2], batch=4, iterations=25, crop=96, scales=(0.8, 1.2),
    optimiser="adamw", learning_rate=1e-3, rate_new=1.0, schedule="poly",
)  # fmt: skip


def photo_with(category, *, size=(96, 96), at=(20, 16), side=48, seed=0):
    """A grey photo with a red disc (3) or a blue box (7); returns photo and mask (1, H, W)."""
    rng = np.random.default_rng(seed)
    photo = rng.integers(60, 100, (*size, 3)).astype(np.uint8)
    y, x = np.ogrid[: size[0], : size[1]]
    if category == 3:
        mask = (y - at[0] - side / 2) ** 2 + (x - at[1] - side / 2) ** 2 < (side / 2) ** 2
    else:
        mask = (y >= at[0]) & (y < at[0] + side) & (x >= at[1]) & (x < at[1] + side)
    photo[mask] = (230, 40, 40) if category == 3 else (40, 60, 230)
    return photo, mask[None]


def dataset(folder, count=8):
    """Index, label store and ground truth of `count` photos, the last two for validation; paths."""
    (folder / "photos").mkdir(parents=True)
    labels, truth = InstancesBuilder(CATEGORIES), InstancesBuilder(CATEGORIES)
    names, tags = [f"p{k}" for k in range(count)], []
    for k, name in enumerate(names):
        category = 3 if k % 2 == 0 else 7
        photo, masks = photo_with(category, at=(6 + 4 * k, 42 - 4 * k), seed=k)
        Image.fromarray(photo).save(folder / "photos" / f"{name}.png")
        tags.append((category,))
        truth.add(name, photo.shape[:2], masks, category=category)
        if k < count - 2:
            labels.add(name, photo.shape[:2], masks, category=category)
    flags = np.arange(count) < count - 2
    index = Index.build(
        folder / "photos", CATEGORIES, image_id=names, path=[f"{n}.png" for n in names], size=[(96, 96)] * count,
        tags=tags, train=flags, with_masks=flags & (np.arange(count) < 2), val=~flags,
    )  # fmt: skip
    inputs = SimpleNamespace(
        index=folder / "index.zarr.zip", labels=folder / "labels.zarr", truth=folder / "truth.zarr.zip"
    )
    index.save(inputs.index)
    labels.finish().save(inputs.labels)
    truth.finish().save(inputs.truth)
    return inputs


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


# ---- labels merged by class


def strip(first, last, size=(2, 12)):
    mask = np.zeros(size, bool)
    mask[:, first:last] = True
    return mask


def test_instances_are_merged_by_class():
    from stages.segment.data import class_map

    table = InstancesBuilder(CATEGORIES)
    masks = np.array([strip(0, 4), strip(2, 6), strip(3, 5), strip(8, 9), strip(9, 11), strip(4, 5)])
    table.add(
        "a", (2, 12), masks, category=[3, 3, 7, 7, 7, 0], score=[0.9, 0.4, 0.5, 1, 1, 1], ignore=[0, 0, 0, 0, 1, 0],
        void=strip(11, 12),
    )  # fmt: skip
    # disc 0-4 (0.9) goes before box 3-5 (0.5), that before disc 2-6 (0.4): one class of two discs, 1 at 0-4 and 5;
    # box 8; the crowd 9-11 and the void column 11 are 255; the row without a class is nothing
    assert class_map(table.finish(), 0, [3, 7]).tolist() == [[1, 1, 1, 1, 2, 1, 0, 0, 2, 255, 255, 255]] * 2


def test_equal_scores_the_smaller_mask_wins_then_the_earlier_row():
    from stages.segment.data import class_map

    table = InstancesBuilder(CATEGORIES)
    masks = np.array([strip(0, 6), strip(2, 4), strip(8, 10), strip(9, 11)])
    table.add("a", (2, 12), masks, category=[3, 7, 7, 3])
    assert class_map(table.finish(), 0, [3, 7])[0].tolist() == [1, 1, 2, 2, 1, 1, 0, 0, 2, 2, 1, 0]


# ---- samples


def test_entering_size_by_hand():
    from stages.segment.data import entering

    assert entering((375, 500), scale=1.0, max_side=640, stride=8) == (376, 496)  # 46.9, 62.5 cells: 47, 62
    assert entering((300, 600), scale=1.0, max_side=300, stride=16) == (144, 304)  # 150 and 300 pixels: 9.4, 18.75
    assert entering((100, 100), scale=0.5, max_side=640, stride=16) == (48, 48)
    assert entering((3, 3), scale=1.0, max_side=640, stride=16) == (16, 16)


def test_sample_moves_photo_and_labels_together():
    from stages.segment.data import training_sample

    label = np.zeros((40, 60), np.uint8)
    label[10:20, 5:25] = 2
    photo = np.where(label == 2, 200, 50).astype(np.uint8)[..., None].repeat(3, 2)
    same = Config(**{**TINY, "scales": (1, 1)})
    for flip, columns in ((0.0, (5, 25)), (1.0, (35, 55))):
        config = same.model_copy(update={"flip": flip})
        crop, target = training_sample(photo, label, config=config, mean=(0.5,) * 3, rng=np.random.default_rng(1))
        assert crop.shape == (64, 64, 3) and target.shape == (64, 64)
        assert ((crop[..., 0] == 200) == (target == 2)).all() and ((crop == 128).all(2) == (target == 255)).all()
        inside = target != 255
        y, x = np.flatnonzero(inside.any(1))[0], np.flatnonzero(inside.any(0))[0]
        part = target[y : y + 40, x : x + 60]
        assert inside.sum() == 40 * 60 and (part[10:20, slice(*columns)] == 2).all() and (part == 2).sum() == 200
    large = Config(**{**TINY, "scales": (3, 3)})  # 120 x 180: the crop lies inside and has no border
    crop, target = training_sample(photo, label, config=large, mean=(0.5,) * 3, rng=np.random.default_rng(1))
    assert set(np.unique(target)) <= {0, 2} and np.mean((crop[..., 0] > 125) == (target == 2)) > 0.97
    small = Config(**{**TINY, "scales": (1, 1), "max_side": 30})  # 20 x 30
    _, target = training_sample(photo, label, config=small, mean=(0.5,) * 3, rng=np.random.default_rng(1))
    assert (target != 255).sum() == 600


def test_every_window_of_a_crop_is_drawn():
    from stages.segment.data import window

    rng = np.random.default_rng(0)
    assert {window(5, 3, rng) for _ in range(100)} == {(0, 0, 3), (1, 0, 3), (2, 0, 3)}
    assert {window(3, 5, rng) for _ in range(100)} == {(0, 0, 3), (0, 1, 3), (0, 2, 3)}


def test_pixel_loss_by_hand():
    from stages.segment.learn import pixel_loss

    # two pixels of two classes: p(0) = 3/4 and label 0; p(0) = 1/4 and label 0; the third is void
    scores = torch.log(torch.tensor([[[[0.75, 0.25, 0.5]], [[0.25, 0.75, 0.5]]]]))
    loss = pixel_loss(scores, torch.tensor([[[0, 0, 255]]]))
    assert float(loss) == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)
    assert float(pixel_loss(scores, torch.full((1, 1, 3), 255))) == 0


# ---- network


def test_resnet101_is_torchvision_s_deeplab(tmp_path):
    from torchvision.models import resnet101
    from torchvision.models.segmentation import deeplabv3_resnet101

    from stages.segment.network import build

    state = resnet101().state_dict()
    torch.save(state, tmp_path / "r101.pth")
    model, mean, _ = build(Config(backbone="resnet101", weights=str(tmp_path / "r101.pth")), 3, seed=1)
    assert torch.equal(model.backbone["layer4"][2].conv3.weight, state["layer4.2.conv3.weight"])
    assert mean == (0.485, 0.456, 0.406)
    theirs = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=3, aux_loss=None)
    missing, unexpected = theirs.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    x = torch.rand(1, 3, 65, 72)
    with torch.no_grad():
        ours, same = model.eval()(x)["out"], theirs.eval()(x)["out"]
    assert ours.shape == (1, 3, 65, 72) and torch.allclose(ours, same, rtol=1e-3, atol=1e-4 * float(same.abs().max()))


def test_resnets_by_file_stride_and_frozen_stages(tmp_path):
    import timm

    from stages.segment.network import build

    config = Config(backbone="resnet50", weights="none", output_stride=16, atrous_rates=[6], freeze=2)
    model, _, _ = build(config, 3)
    assert model.backbone(torch.rand(1, 3, 64, 64))["out"].shape == (1, 2048, 4, 4)
    trained = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad and "backbone" in name}
    assert trained == {"layer2", "layer3", "layer4"}
    with pytest.raises(UserError, match="no packaged weights for the backbone 'resnet101'"):
        build(Config(backbone="resnet101"), 3)
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "r18.pth")
    with pytest.raises(UserError, match="not those of the backbone 'resnet50'"):
        build(Config(backbone="resnet50", weights=str(tmp_path / "r18.pth")), 3)
    with pytest.raises(UserError, match="not known to timm"):
        build(Config(backbone="resnet51", weights="none"), 3)


def test_network_shapes_statistics_and_what_it_is_called():
    from stages.segment import network

    config = Config(**TINY)
    model, mean, std = network.build(config, 3)
    model.train()
    assert mean == std == (0.5, 0.5, 0.5)
    norm = next(m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d))
    before = norm.running_mean.clone()
    out = model(torch.rand(2, 3, 64, 96))["out"]
    assert out.shape == (2, 3, 64, 96) and torch.equal(before, norm.running_mean)
    assert network.described(config) == "DeepLab v3, efficientnet_lite0 (random weights)"
    papers = Config(backbone="resnet101", weights="x.pth")
    assert network.described(papers) == "DeepLab v3, ResNet-101 (ImageNet weights)"


def test_cells_lie_where_they_lie_in_testing():
    """A dilated level is put back in its place by evaluation mode alone: the head must not be trained on another."""
    from stages.segment.network import build

    model, _, _ = build(Config(**{**TINY, "weights": "imagenet"}), 3)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.train().backbone(x)["out"], model.eval().backbone(x)["out"])


def test_building_depends_on_the_seed_alone_and_leaves_the_random_state():
    from stages.segment.network import build

    state = torch.get_rng_state()
    a, b, c = (build(Config(**TINY), 3, seed=s)[0].state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a) and any(not torch.equal(a[k], c[k]) for k in a)
    assert torch.equal(state, torch.get_rng_state())


def test_rates_and_schedules():
    from stages.segment.learn import make_optimiser, rate_of
    from stages.segment.network import build

    config = Config(**{**TINY, "learning_rate": 0.01})
    groups = make_optimiser(build(config, 3)[0], config).param_groups
    # the backbone's norms are not trained, so it has one group; the head's norms and biases have no decay
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.01, 5e-4), (0.1, 5e-4), (0.1, 0.0)]
    assert all(g["momentum"] == 0.9 for g in groups)
    step = rate_of(Config())
    assert [step(t) for t in (0, 19_999, 20_000)] == [1, 1, 0.1]
    poly = rate_of(Config(schedule="poly", iterations=100))
    assert [poly(t) for t in (0, 50, 99)] == pytest.approx([1, 0.5**0.9, 0.01**0.9])


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


def test_resumed_training_ends_with_the_same_bytes(tmp_path, monkeypatch):
    from stages.segment import learn as module

    inputs, config = dataset(tmp_path), Config(**TINY)
    whole = segment.train(inputs, config, Job(seed=5))["weights"]
    original, calls = module.pixel_loss, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 4:  # iterations 0, 1, 2 done, the checkpoint stands after 2
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(module, "pixel_loss", dies)
    with pytest.raises(KeyboardInterrupt):
        segment.train(inputs, config, Job(seed=5, checkpoints=tmp_path))
    torch.manual_seed(999)  # whatever the new process drew before
    again = segment.train(inputs, config, Job(seed=5, checkpoints=tmp_path))["weights"]
    assert len(calls) == 6  # two iterations were left
    assert store.digest(again.arrays()) == store.digest(whole.arrays())
    other = segment.train(inputs, config, Job(seed=6))["weights"]
    assert store.digest(other.arrays()) != store.digest(whole.arrays())


def test_which_photos_are_trained_on(tmp_path):
    from stages.segment.learn import labelled_photos

    inputs = dataset(tmp_path)
    index, labels = Index.load(inputs.index), Instances.load(inputs.labels)
    labels.category[2], labels.ignore[1], labels.ignore[3] = 0, 1, 2  # no class; a crowd; difficult, but of its class
    assert labelled_photos(index, labels, "all") == [(0, 0), (3, 3), (4, 4), (5, 5)]
    assert labelled_photos(index, labels, "with_masks") == [(0, 0)]


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
    with pytest.raises(UserError, match="one device"):
        segment.train(inputs, Config(**TINY), Job(devices=("0", "1")))


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
    label = label_photo(painter, photo, config=config, mean=(0,) * 3, std=(1,) * 3)
    assert painter.seen == [(32, 48)] and label.shape == (70, 90)  # 35 x 45 pixels: 2.2 and 2.8 cells of 16
    assert (label[:, :40] == 2).all() and (label[:, 50:55] == 0).all() and (label[:, 66:] == 1).all()
    # mirrored, "left" is the photo's right half: averaged with the background's 1 / 3 and more nothing of it is left
    config = config.model_copy(update={"test_flip": True, "test_scales": [1.0, 2.0]})
    painter.seen.clear()
    both = label_photo(painter, photo, config=config, mean=(0,) * 3, std=(1,) * 3)
    assert painter.seen == [(32, 48)] * 2 + [(64, 96)] * 2
    assert (both[:, :40] == 2).all() and (both[:, 48:55] == 2).all() and (both[:, 66:] == 1).all()


def test_equal_probabilities_go_to_the_smaller_number():
    from stages.segment.predict import best_class

    maps = torch.tensor([[[0.2, 0.4]], [[0.4, 0.2]], [[0.4, 0.4]]])
    assert best_class(maps, (1, 2)).tolist() == [[1, 0]]


# ---- command line


def test_predict_command_on_a_folder(trained, tmp_path, capsys):
    from stages.segment.__main__ import main

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
    with Image.open(out / "maps" / "a.png.png") as picture:
        assert picture.mode == "P" and picture.size == (90, 70)
        label = np.array(picture)
        colours = np.array(picture.convert("RGB"))
        assert colours[label == 3].any() and not colours[label == 0].any()
    assert set(np.unique(label)) <= {0, 3, 7} and np.mean((label == 3) == masks[0]) > 0.8
    with Image.open(out / "overlays" / "deep" / "b.jpg.png") as picture:
        assert picture.size == (64, 100)
    assert json.loads((out / "classes.json").read_text()) == {"0": "background", "3": "disc", "7": "box"}
    assert main(["predict", str(tmp_path / "none.pt"), str(tmp_path / "in")]) == 1
    assert "none.pt does not exist" in capsys.readouterr().err
    assert main(["predict", str(inputs.weights), str(tmp_path / "missing")]) == 1


def test_inspect_and_evaluate_read_its_maps(trained, tmp_path, capsys):
    from stages.evaluate.__main__ import main as measure
    from stages.inspect.__main__ import main as inspect

    inputs, config, _, _ = trained
    path = tmp_path / "predictions.zarr.zip"
    segment.run(inputs, config, Job())["predictions"].save(path)
    assert Maps.load(path).images == 2
    assert inspect([str(path), "--png", str(tmp_path / "sheet.png")]) == 0
    assert "label map" in capsys.readouterr().out and (tmp_path / "sheet.png").stat().st_size
    assert measure([str(inputs.truth), str(path), "--out", str(tmp_path / "metrics.json")]) == 0
    text = capsys.readouterr().out
    assert "mIoU" in text and "disc" in text and "6 of 8 photos" in text
    assert json.loads((tmp_path / "metrics.json").read_text())["mIoU"] > 0.5
