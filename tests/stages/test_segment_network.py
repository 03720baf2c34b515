"""DeepLab's network by its weights' file, stride and seed; its loss and its rates by hand."""

import numpy as np
import pytest
import torch
from segment_photos import TINY

from stages.segment.config import Config
from tag2mask.errors import UserError


def test_pixel_loss_by_hand():
    from stages.segment.learn import pixel_loss

    # two pixels of two classes: p(0) = 3/4 and label 0; p(0) = 1/4 and label 0; the third is void
    scores = torch.log(torch.tensor([[[[0.75, 0.25, 0.5]], [[0.25, 0.75, 0.5]]]]))
    loss = pixel_loss(scores, torch.tensor([[[0, 0, 255]]]))
    assert float(loss) == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)
    assert float(pixel_loss(scores, torch.full((1, 1, 3), 255))) == 0


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

    config = Config(**{**TINY, "backbone": "efficientnet_lite0"})
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

    model, _, _ = build(Config(**{**TINY, "backbone": "efficientnet_lite0", "weights": "imagenet"}), 3)
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
    from stages.segment.learn import optimiser_of, rate_of
    from stages.segment.network import build

    config = Config(**{**TINY, "backbone": "efficientnet_lite0", "learning_rate": 0.01})
    groups = optimiser_of(build(config, 3)[0], config).param_groups
    # the backbone's norms are not trained, so it has one group; the head's norms and biases have no decay
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.01, 5e-4), (0.1, 5e-4), (0.1, 0.0)]
    assert all(g["momentum"] == 0.9 for g in groups)
    step = rate_of(Config())
    assert [step(t) for t in (0, 19_999, 20_000)] == [1, 1, 0.1]
    poly = rate_of(Config(schedule="poly", iterations=100))
    assert [poly(t) for t in (0, 50, 99)] == pytest.approx([1, 0.5**0.9, 0.01**0.9])
