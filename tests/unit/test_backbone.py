"""Backbones: packaged weights give sane answers, wrong files give one sentence, cells lie where they should."""

import os
import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from tag2mask.errors import UserError
from tag2mask.learn import backbone

CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat


def test_packaged_weights_know_a_cat():
    data = pytest.importorskip("skimage.data")
    cv2 = pytest.importorskip("cv2")
    net = timm.create_model("tf_efficientnet_lite0")
    net.load_state_dict(backbone.packaged())
    photo = cv2.resize(data.chelsea()[:, 75:375], (224, 224), interpolation=cv2.INTER_AREA)
    with torch.no_grad():
        answer = net.eval()(backbone.normalise(photo[None], (0.5,) * 3, (0.5,) * 3)).softmax(1)[0]
    assert set(answer.topk(3).indices.tolist()) == CATS and answer[list(CATS)].sum() > 0.8


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
    full.load_state_dict(backbone.packaged())
    net = backbone.create(output_stride=16, head=True).eval()
    net.dropped = 0  # as timm has it, without the correction of half a cell
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32))
    with torch.no_grad():
        assert torch.allclose(net(x)[-1], full.eval().forward_features(x), atol=1e-5)


@pytest.mark.parametrize("stride, dilate", [(8, False), (16, False), (16, True)])
def test_a_cell_answers_to_its_own_square_of_the_photo(stride, dilate):
    net = backbone.create(output_stride=stride, dilate=dilate).eval()
    assert net.dropped == int(dilate)
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


def test_vgg_has_the_level_before_its_last_pool():
    net = backbone.create("vgg11", "none", output_stride=16)
    assert net.strides == [16] and net.channels == [512]


def test_vgg_is_dilated_as_bestie_has_it():
    """Pool 4 at stride 1, conv5 dilated by 2 and the deepest, no shift of the cells."""
    net = backbone.create("vgg11", "none", output_stride=8).eval()
    assert net.strides == [8] and net.channels == [512] and net.dropped == 0
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
        (("resnet50", "imagenet"), "no packaged weights for the backbone 'resnet50'"),
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
