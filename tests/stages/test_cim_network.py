"""The network of CIM: shapes of every backbone, MaskFuse and the heads by hand, what is trained, at which rate."""

import numpy as np
import pytest
import torch

from stages.cim.config import Config
from stages.cim.learn import optimiser_of, rate_of
from stages.cim.network import MaskFuse, build
from tag2mask.errors import UserError
from tag2mask.store.weights import Weights

SMALL = {"backbone": "test_efficientnet", "weights": "none", "roi": 3, "fuse_channels": 4, "widths": (8, 6)}
BOX = np.array([[0.0, 0.0, 1.0, 1.0], [0.25, 0.5, 0.5, 1.0]], np.float32)


def photo(height=64, width=96, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet50", 1024), ("vgg16", 512), ("hrnet_w48", 512), ("efficientnet_lite0", 112)]
)
def test_shapes_of_every_backbone(name, channels):
    """Stride 16; ResNet-50 up to its third block (1,024 channels), VGG-16 up to conv5_3 (512)."""
    model = build(Config(backbone=name, widths=(16, 8)), 5).eval()
    assert model.backbone.channels[-1] == channels and model.backbone.strides[-1] == 16
    with torch.no_grad():
        pooled = model.pooled(photo(), BOX)
        (found,) = model([photo()], [BOX], [np.ones((2, 7, 7), np.float32)])
    assert pooled.shape == (2, channels, 7, 7)
    assert found.log_y.shape == found.t.shape == (4, 2, 6)
    assert model.maskfuse.fuse.weight.shape == (channels, 2 * channels, 3, 3)
    assert torch.isfinite(found.log_y).all()


def test_defaults_are_the_paper_s_and_its_code_s():
    model = build(Config(), 20)
    assert [layer.out_features for layer in (model.maskfuse.full[0], model.maskfuse.full[2])] == [4096, 4096]
    assert model.maskfuse.full[0].in_features == 112 * 49  # the packaged backbone's channels
    assert model.heads.out_features == 2 * 4 * 21  # a class and an integrity head of 3 + 1 branches, K + 1 classes


def test_mask_fuse_by_hand():
    """B = 2, mask 0.5: [B, mask x B] = [2, 1]; the convolution adds both: 3; the linear layers double, then add 1."""
    fuse = MaskFuse(1, bins=1, fused=1, widths=(1, 1))
    with torch.no_grad():
        fuse.fuse.weight.zero_()
        fuse.fuse.weight[0, :, 1, 1] = 1
        fuse.fuse.bias.zero_()
        for layer, weight, bias in ((fuse.full[0], 2, 0), (fuse.full[2], 1, 1)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
        found = fuse(torch.tensor([[[[2.0]]], [[[-2.0]]]]), torch.tensor([[[0.5]], [[0.5]]]))
    assert found.tolist() == [[7.0], [1.0]]  # 2 x 3 + 1; -3 is cut off at 0 by the ReLU


def test_scores_by_hand():
    """Class scores are a softmax over classes; t of the anti-noise branch one over proposals, else a sigmoid."""
    model = build(Config(**SMALL, branches=1), 1)
    raw = torch.zeros(2, 2, 2, 2)  # proposals, branches, class or integrity, classes
    raw[0, 0, 0, 1] = np.log(3)  # class scores of the first proposal: 1/4, 3/4
    raw[1, 0, 1, 1] = np.log(4)  # detection of class 1: 1/5, 4/5
    raw[0, 1, 1, 1] = np.log(9)  # integrity 0.9
    found = model.scores(raw)
    np.testing.assert_allclose(found.log_y.exp()[0], [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(found.t[0], [[0.5, 0.2], [0.5, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(found.t[1], [[0.5, 0.9], [0.5, 0.5]], rtol=1e-6)


def test_without_integrity_heads_every_proposal_is_whole():
    model = build(Config(**SMALL, branches=2, integrity=False, mining="mist"), 3).eval()
    with torch.no_grad():
        (found,) = model([photo()], [BOX], [np.ones((2, 3, 3), np.float32)])
    assert (found.t[1:] == 1).all() and not (found.t[0] == 1).any()


def test_photos_do_not_see_each_other():
    """Two photos together answer as each alone; detection scores sum to 1 in each."""
    model = build(Config(**SMALL), 2).eval()
    photos, masks = (
        [photo(seed=0), photo(64, 64, seed=1)],
        [np.ones((2, 3, 3), np.float32), np.ones((1, 3, 3), np.float32)],
    )
    shares = [BOX, BOX[:1]]
    with torch.no_grad():
        both = model(photos, shares, masks)
        alone = [model([a], [b], [c])[0] for a, b, c in zip(photos, shares, masks)]
    for one, other in zip(both, alone):
        torch.testing.assert_close(one.t, other.t)
        torch.testing.assert_close(one.log_y, other.log_y)
        torch.testing.assert_close(one.t[0].sum(0), torch.ones(3))


def test_a_mask_changes_what_its_box_alone_does_not():
    torch.manual_seed(0)
    model = build(Config(**SMALL | {"widths": (64, 64)}), 2).eval()  # wide enough that some ReLU lets it through
    with torch.no_grad():
        whole, half = (
            model([photo()], [BOX[:1]], [np.full((1, 3, 3), value, np.float32)])[0].log_y for value in (1.0, 0.5)
        )
    assert not torch.allclose(whole, half)


def test_groups_and_schedule_are_the_paper_s():
    config = Config(**SMALL | {"iterations": 9000})
    model = build(config, 2)
    optimiser = optimiser_of(model, config)
    assert isinstance(optimiser, torch.optim.SGD)
    assert {group["lr"] for group in optimiser.param_groups} == {2.5e-4}
    assert {group["momentum"] for group in optimiser.param_groups} == {0.9}
    assert {group["weight_decay"] for group in optimiser.param_groups} == {5e-4, 0.0}
    rate = rate_of(config)
    assert rate(0) == pytest.approx(1 / 3) and rate(250) == pytest.approx(2 / 3)  # 500 iterations from a third
    assert rate(500) == 1 and rate(5999) == 1 and rate(6000) == pytest.approx(0.1)  # a tenth after two thirds
    assert Config().iterations == 45_000 and Config().batch == 4


def test_the_released_code_s_biases_learn_at_twice_the_rate():
    config = Config(**SMALL, bias_rate=2)
    groups = optimiser_of(build(config, 2), config).param_groups
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {(2.5e-4, 5e-4), (5e-4, 0.0)}
    assert all(p.ndim == 1 for group in groups if group["lr"] == 5e-4 for p in group["params"])


def test_the_first_stages_are_frozen():
    """ResNet's stem and first block; statistics of batch norm stay everywhere."""
    model = build(Config(backbone="resnet50", weights="none", widths=(8, 8)), 2)
    model.backbone.freeze(2)
    trained = {name.split(".")[0] for name, p in model.backbone.net.named_parameters() if p.requires_grad}
    assert {"layer2", "layer3"} <= trained and not {"conv1", "layer1"} & trained
    assert not any(m.training for m in model.train().modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_it_may_begin_with_the_classifier_s_backbone():
    """All that both have; a classifier of a finer stride has fewer blocks. Another architecture is one sentence."""
    from test_classifier import META

    from stages.cim.network import take_over
    from stages.classifier.model import build as classifier

    torch.manual_seed(0)
    model, trained = build(Config(**SMALL), 3), classifier(META | {"head": "prm"})
    weights = Weights(META | {"kind": "classifier"}, trained.state_dict())
    assert take_over(model.backbone, weights) == len(model.backbone.state_dict())
    before = dict(trained.backbone.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())
    finer = classifier(META | {"head": "plain", "output_stride": 8, "dilate": False})
    fewer = take_over(build(Config(**SMALL), 3).backbone, Weights(weights.meta, finer.state_dict()))
    assert 0 < fewer < len(model.backbone.state_dict())
    other = Weights(weights.meta | {"backbone": "resnet50"}, trained.state_dict())
    with pytest.raises(UserError, match="the classifier's backbone is resnet50, that of cim test_efficientnet"):
        take_over(model.backbone, other)
