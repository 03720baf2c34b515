"""Mask R-CNN before it is trained: detectron2's bridge, weights, frozen stages, seed, rates."""

import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from refine_photos import PACKAGED, TINY, dataset

from stages import refine
from stages.refine.config import Config
from tag2mask.errors import UserError
from tag2mask.run.job import Job


def test_bridge_stands_in_for_the_compiled_part_and_says_so():
    from stages.refine import detectron

    before = sys.modules[detectron.NAME]
    detectron.bridge()
    assert sys.modules[detectron.NAME] is before and Image.LINEAR == Image.BILINEAR
    if not detectron._compiled():
        with pytest.raises(ImportError, match="compiled part of detectron2"):
            before.COCOevalAccumulate()
        assert not hasattr(before, "__path__")


def test_frozen_stages_and_fixed_statistics():
    from stages.refine.model import build

    model = build(Config(**{**TINY, **PACKAGED, "freeze_stages": 2}), 2)
    net = model.backbone.bottom_up.net.net
    trained = {
        name.split(".")[1] for name, p in net.named_parameters() if name.startswith("blocks") and p.requires_grad
    }
    assert trained == {"2", "3", "4", "5", "6"}  # blocks 0 and 1 are strides 2 and 4
    assert not net.conv_stem.weight.requires_grad
    before = net.blocks[2][0].bn1.running_mean.clone()
    model.train()
    model.backbone(torch.rand(2, 3, 64, 64) * 9)
    assert torch.equal(before, net.blocks[2][0].bn1.running_mean)


def test_packaged_weights_are_normalised_by_one_half():
    from stages.refine.model import build

    model = build(Config(**{**TINY, **PACKAGED}), 2)
    assert torch.allclose(model.pixel_mean.flatten(), torch.full((3,), 127.5))
    assert torch.allclose(model.pixel_std.flatten(), torch.full((3,), 127.5))


def test_all_of_a_sample_goes_to_the_device_before_detectron2_asks_for_it(monkeypatch, tmp_path):
    """Photos as bytes, a quarter of what floats would be on the way."""
    from stages.refine import data

    config, seen = Config(**TINY, ignore=0.3, score_weight=True), []
    masks = np.zeros((1, 48, 64), bool)
    masks[0, 10:30, 20:50] = True
    sample = data.training_sample(
        np.zeros((48, 64, 3), np.uint8), masks, [1], config=config, rng=np.random.default_rng(0),
        weights=np.ones(1, np.float32), hidden=~masks[0],
    )  # fmt: skip
    assert sample["image"].dtype == torch.uint8
    there = data.on_device(sample, "meta")
    fields, wanted = there["instances"].get_fields(), sample["instances"].get_fields()
    assert there.keys() == sample.keys() and {name: type(one) for name, one in fields.items()} == {
        name: type(one) for name, one in wanted.items()
    }
    assert {str(one.device) for one in (there["image"], there["hidden"], *fields.values())} == {"meta"}
    real = data.moved
    monkeypatch.setattr(data, "moved", lambda tensor, device: seen.append(tensor) or real(tensor, device))
    refine.train(dataset(tmp_path), Config(**TINY), Job())
    assert sum(one.dtype == torch.uint8 and len(one) == 3 for one in seen) == config.iterations * config.batch


def test_building_depends_on_the_seed_alone_and_leaves_the_random_state():
    from stages.refine.model import build

    state = torch.get_rng_state()
    a, b, c = (build(Config(**TINY), 2, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a) and any(not torch.equal(a[k], c[k]) for k in a)
    assert torch.equal(state, torch.get_rng_state())


def test_rate_and_linear_rule():
    from stages.refine.learn import optimiser_of, rate_of

    config = Config(batch=4)
    optimiser = optimiser_of(torch.nn.Linear(1, 1), config)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.005)
    rate = rate_of(config)
    assert [round(rate(t), 6) for t in (0, 500, 1000, 59_999, 60_000, 80_000)] == [0.001, 0.5005, 1, 1, 0.1, 0.01]


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_scale_and_shift_of_normalisation_layers_do_not_decay(optimiser):
    """With gradients of 0 a step is the decay alone: what is trained shrinks by rate x weight decay, norms do not."""
    from stages.refine.learn import optimiser_of
    from stages.refine.model import build

    config = Config(**{**TINY, "optimiser": optimiser, "weight_decay": 0.5, "batch": 4, "rate_batch": 4})
    model = build(config, 2)
    norms = {
        f"{name}.{kind}"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for kind in ("weight", "bias")
    }
    before = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.grad, p.data = torch.zeros_like(p), torch.ones_like(p)
            before[name] = p
    optimiser_of(model, config).step()
    kept = {name for name, p in before.items() if torch.equal(p, torch.ones_like(p))}
    assert kept == norms & before.keys() and kept
    wanted = 1 - 0.5 * config.learning_rate
    assert all(torch.allclose(p, torch.full_like(p, wanted)) for name, p in before.items() if name not in kept)


def test_resnet_weights_by_both_namings_and_another_architecture_refused(tmp_path):
    import timm
    from torchvision.models import resnet50

    from stages.refine.model import RESNET, build

    keys = {**TINY, "backbone": RESNET, "fpn_levels": [3, 4, 5], "anchor_sizes": [16, 32, 64]}
    state = resnet50().state_dict()
    torch.save(state, tmp_path / "tv.pth")
    model = build(Config(**{**keys, "weights": str(tmp_path / "tv.pth")}), 2)
    ours = model.backbone.bottom_up.state_dict()
    assert torch.equal(ours["stem.conv1.weight"], state["conv1.weight"])
    assert torch.equal(ours["res3.0.shortcut.norm.running_var"], state["layer2.0.downsample.1.running_var"])
    assert torch.equal(ours["res5.2.conv3.norm.weight"], state["layer4.2.bn3.weight"])
    x = torch.rand(1, 3, 64, 64)
    theirs = timm.create_model("resnet50", features_only=True)
    theirs.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc")})
    assert torch.allclose(model.backbone.bottom_up.eval()(x)["res4"], theirs.eval()(x)[3], atol=1e-5)

    detectron2 = {
        "whole model": {"model": {f"backbone.bottom_up.{k}": v for k, v in ours.items()}},
        "backbone": ours,
        "caffe2": {"conv1_w": ours["stem.conv1.weight"], "res2_0_branch2a_w": ours["res2.0.conv1.weight"]},
    }
    for name, content in detectron2.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(UserError, match=f"{name}.pth has detectron2's tensor names"):
            build(Config(**{**keys, "weights": str(tmp_path / f"{name}.pth")}), 2)
    content = {"model": {"stem.conv1.weight": np.zeros((64, 3, 7, 7))}}
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(UserError, match="R-50.pkl (would run code|is damaged)"):
        build(Config(**{**keys, "weights": str(tmp_path / "R-50.pkl")}), 2)

    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "r18.pth")
    with pytest.raises(UserError, match="r18.pth does not hold a ResNet-50"):
        build(Config(**{**keys, "weights": str(tmp_path / "r18.pth")}), 2)
    with pytest.raises(UserError, match="no packaged weights for R-50"):
        build(Config(**{**keys, "weights": "imagenet"}), 2)
    with pytest.raises(UserError, match="not those of the backbone"):
        build(Config(**{**TINY, "weights": str(tmp_path / "r18.pth")}), 2)
