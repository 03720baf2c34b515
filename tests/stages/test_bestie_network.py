"""The instance network: parts of Panoptic-DeepLab, shapes, strides, offsets in pixels, groups of parameters."""

import pytest
import torch

from stages.bestie import network
from stages.bestie.config import Config
from stages.bestie.learn import optimiser_of
from tag2mask.errors import UserError
from tag2mask.run.config import parse


def test_maps_have_the_input_s_size_and_every_class_its_centre_map():
    model, mean, std = network.build(Config(), 3, seed=1)
    with torch.no_grad():
        output = model.eval()(torch.rand(2, 3, 64, 96))
    assert output.semantic.shape == (2, 4, 64, 96) and output.center.shape == (2, 3, 64, 96)
    assert output.offset.shape == (2, 2, 64, 96) and output.semantic.dtype == torch.float32
    assert mean == std == (0.5, 0.5, 0.5) and model.backbone.strides == [4, 8, 32]


def test_channels_are_panoptic_deeplab_s():
    model, _, _ = network.build(Config(weights="none"), 20)
    first = lambda blocks: [part[0].weight.shape for part in blocks]  # noqa: E731
    # the levels of efficientnet_lite0: 24 channels at stride 4, 40 at 8, 320 at 32; 8 is taken in before 4
    assert first(model.semantic_decoder.project) == [(64, 40, 1, 1), (32, 24, 1, 1)]
    assert first(model.instance_decoder.project) == [(32, 40, 1, 1), (16, 24, 1, 1)]
    # separable 5x5: each channel alone, then 1x1; 256 + 64 -> 256, 256 + 32 -> 256; 256 + 32 -> 128, 128 + 16 -> 128
    for decoder, wide, narrow in ((model.semantic_decoder, (320, 288), 256), (model.instance_decoder, (288, 144), 128)):
        assert [fuse[0][0].weight.shape for fuse in decoder.fuse] == [(c, 1, 5, 5) for c in wide]
        assert [fuse[1][0].weight.shape for fuse in decoder.fuse] == [(narrow, c, 1, 1) for c in wide]
        branches = [branch[0] for branch in decoder.pyramid.branches]
        assert [conv.dilation[0] for conv in branches] == [1, 3, 6, 9]
        assert [conv.kernel_size[0] for conv in branches] == [1, 3, 3, 3]
        assert decoder.pyramid.project[0][0].weight.shape == (256, 5 * 256, 1, 1)
    heads = (model.semantic_head, model.center_head, model.offset_head)
    assert [part[-1].weight.shape[:2] for part in heads] == [(21, 256), (20, 32), (2, 32)]
    small = [float(part[-1].weight.detach().std()) < 0.002 and not part[-1].bias.any() for part in heads]
    assert small == [False, True, False]  # the centres alone begin at 0


def test_dropout_is_the_pyramids_alone():
    def dropouts(**keys):
        model, _, _ = network.build(Config(weights="none", **keys), 2)
        return {name: one.p for name, one in model.named_modules() if isinstance(one, torch.nn.Dropout) and one.p}

    assert dropouts() == {
        "semantic_decoder.pyramid.project.1": 0.5, "instance_decoder.pyramid.project.1": 0.5
    }  # fmt: skip
    assert dropouts(dropout=0.1).keys() == dropouts().keys() and not dropouts(dropout=0.0)


def test_offsets_are_in_pixels_and_the_heads_independent():
    model, _, _ = network.build(Config(weights="none"), 3)
    with torch.no_grad():
        for head, values in ((model.offset_head, (1.0, -2.0)), (model.center_head, (0.25, 0.5, 0.75))):
            head[-1].weight.zero_()
            head[-1].bias.copy_(torch.tensor(values))
        output = model.eval()(torch.rand(1, 3, 32, 32))
    # the finest level has stride 4: 1 and -2 cells are 4 and -8 pixels; centres are no pixels
    assert torch.allclose(output.offset, torch.tensor([4.0, -8.0]).view(1, 2, 1, 1).expand(1, 2, 32, 32))
    assert torch.allclose(output.center[0, :, 5, 5], torch.tensor([0.25, 0.5, 0.75]))


@pytest.mark.parametrize("name, channels", [("resnet50", [256, 512, 2048]), ("hrnet_w48", [128, 256, 1024])])
def test_the_papers_backbones(name, channels):
    model, _, _ = network.build(Config(backbone=name, weights="none"), 2)
    with torch.no_grad():
        output = model.eval()(torch.rand(1, 3, 32, 64))
    assert model.backbone.channels == channels and model.backbone.strides == [4, 8, 32]
    assert [tuple(one.shape[1:]) for one in output] == [(3, 32, 64), (2, 32, 64), (2, 32, 64)]


def test_dilated_levels_and_other_finer_ones():
    for keys, strides in ((dict(output_stride=16), [4, 8, 16]), (dict(low_levels=[16, 8]), [8, 16, 32])):
        model, _, _ = network.build(Config(weights="none", **keys), 2)
        with torch.no_grad():
            assert model.eval()(torch.rand(1, 3, 64, 32)).center.shape == (1, 2, 64, 32)
        assert model.backbone.strides == strides
    with pytest.raises(UserError, match="no features of stride 3"):
        network.build(Config(weights="none", low_levels=[8, 3]), 2)


def test_finer_levels_that_are_none_or_do_not_fall_are_refused_in_one_sentence():
    for levels, sentence in (
        ([], r"^bestie\.low_levels: .*at least 1 item"),
        ([4, 8], "^bestie: .*falling strides below output_stride"),
        ([32, 8], "^bestie: .*falling strides below output_stride"),
    ):
        with pytest.raises(UserError, match=sentence) as error:
            parse(Config, {"low_levels": levels}, where="bestie")
        assert "\n" not in str(error.value)


def test_one_photo_a_batch_can_be_trained_on_and_the_backbone_s_statistics_stay():
    model, _, _ = network.build(Config(weights="none"), 2)
    model.train()
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = norms[0].running_mean.clone()
    output = model(torch.rand(1, 3, 64, 64))
    sum(one.square().mean() for one in output).backward()
    assert torch.equal(before, norms[0].running_mean)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_building_depends_on_the_seed_alone_and_leaves_the_random_state():
    config, state = Config(weights="none"), torch.get_rng_state()
    a, b, c = (network.build(config, 3, seed=s)[0].state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a) and any(not torch.equal(a[k], c[k]) for k in a)
    assert torch.equal(state, torch.get_rng_state())


def test_rates_and_decay_by_group_and_frozen_stages():
    config = Config(weights="none", rate=0.01, rate_new=10, weight_decay=0.5, freeze=2)
    model, _, _ = network.build(config, 3)
    groups = optimiser_of(model, config).param_groups
    # the backbone's norms are not trained, so it has one group; the norms and biases of the rest have no decay
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.01, 0.5), (0.1, 0.5), (0.1, 0.0)]
    counted = sum(p.numel() for g in groups for p in g["params"])
    assert counted == sum(p.numel() for p in model.parameters() if p.requires_grad)
    free, _, _ = network.build(Config(weights="none"), 3)
    assert counted < sum(p.numel() for p in free.parameters() if p.requires_grad)


def test_what_the_manifest_calls_it():
    assert network.described(Config()) == "Panoptic-DeepLab, efficientnet_lite0 (ImageNet weights)"
    assert network.described(Config(backbone="hrnet_w48", weights="x.pth")) == (
        "Panoptic-DeepLab, HRNet-W48 (ImageNet weights)"
    )
    assert "random" in network.described(Config(weights="none"))
