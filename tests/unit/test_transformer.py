"""DINOv2's vision transformer as a backbone, random and narrow: its maps, their places, who builds on it."""

from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from test_backbone import off_center

from stages.cam.maps import class_maps
from stages.classifier.model import build
from stages.mil import extractor, network
from stages.mil.features import crop_features, entering
from stages.mil.infer import features
from stages.prm.photo import peak_maps
from tag2mask.errors import UserError
from tag2mask.learn import backbone

DINO = "vit_small_patch14_dinov2"
META = {
    "backbone": DINO, "classes": [1, 2], "head": "plain", "alpha": 0.7, "pam_layers": 1, "pam_context": None,
    "pam_channels": 8, "enlarge": 8, "output_stride": 16, "dilate": True, "last_conv": True, "frozen_norm": True,
    "size": 56,
}  # fmt: skip


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """timm's DINOv2 ViT-S/14 with 24 of its 384 channels and 4 of its 12 blocks; its 37 x 37 positions stay."""
    whole = timm.create_model
    small = {"embed_dim": 24, "depth": 4, "num_heads": 2}
    monkeypatch.setattr(timm, "create_model", lambda name, **more: whole(name, **more, **small))
    torch.manual_seed(0)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stride", [16, 32])
def test_one_level_at_the_patch_s_stride(stride):
    net = backbone.create(DINO, "none", output_stride=stride).eval()
    assert net.strides == [14] and net.channels == [24] and net.shift == 0
    with torch.no_grad():
        assert net(noise(2, 3, 56, 84))[-1].shape == (2, 24, 4, 6)
        assert net(noise(1, 3, 57, 70))[-1].shape == (1, 24, 5, 5)  # ceil: 4 x 14 = 56 < 57
    assert backbone.create(DINO, "none", strides=(14,)).strides == [14]


def test_the_map_is_dinov2_s_own_normalised_patch_tokens():
    """At 518 pixels, where no position is interpolated, against timm's network as a whole."""
    net = backbone.create(DINO, "none").eval()
    full = timm.create_model(DINO, num_classes=0).eval()
    full.load_state_dict(net.net.vit.state_dict())
    x = noise(1, 3, 518, 518)
    with torch.no_grad():
        tokens = full.forward_features(x)[:, 1:]  # without the class token
        assert torch.allclose(net(x)[-1], tokens.transpose(1, 2).view(1, 24, 37, 37), atol=1e-4)


def test_positions_are_interpolated_to_the_photo():
    """A ramp over the 37 columns, and nothing else in the tokens, is a ramp over any number of columns."""
    net = backbone.create(DINO, "none").eval()
    vit, seen = net.net.vit, []
    with torch.no_grad():
        vit.pos_embed.zero_()
        vit.pos_embed[0, 1:] = torch.linspace(0, 1, 37).repeat(37)[:, None]  # rows of patches, each from 0 to 1
        vit.patch_embed.proj.weight.zero_()
        vit.patch_embed.proj.bias.zero_()
        vit.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0][0, 1:, 0]))
        net(noise(1, 3, 3 * 14, 10 * 14))
    wanted = (torch.arange(10) + 0.5) / 10 * 37 / 36 - 0.5 / 36  # centres of 10 cells on the ramp of the 37
    assert torch.allclose(seen[0].view(3, 10)[:, 1:-1], wanted[1:-1].expand(3, 8), atol=0.01)


def test_a_cell_looks_at_its_own_square():
    net = backbone.create(DINO, "none").eval()
    for name, value in net.named_parameters():
        if name.endswith("gamma"):  # blocks start with a say of 1e-5; here they have one
            torch.nn.init.constant_(value, 0.1)
    assert abs(off_center(net, size=252)) < 2


def test_frozen_stages_are_the_first_blocks_and_what_is_before_them():
    net = backbone.create(DINO, "none").train()
    net.freeze(2)
    net(noise(1, 3, 28, 28))[-1].sum().backward()
    trained = {name.removeprefix("net.vit.") for name, p in net.named_parameters() if p.requires_grad}
    assert {name.split(".")[1] for name in trained if name.startswith("blocks.")} == {"2", "3"}
    assert not any(name.startswith(("patch_embed", "pos_embed", "cls_token")) for name in trained)
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


def test_strides_that_it_has_not_are_one_sentence():
    with pytest.raises(UserError, match=f"'{DINO}' has no features of stride 8 or finer, its stride is 14: set outp"):
        backbone.create(DINO, "none", output_stride=8)
    with pytest.raises(UserError, match=f"'{DINO}' has no features of stride 4, but of 14"):
        backbone.create(DINO, "none", strides=(4, 8, 16, 32))


def test_a_file_with_the_network_s_own_names(tmp_path):
    """As timm and DINOv2's authors publish it; theirs has a mask token too."""
    state = timm.create_model(DINO, num_classes=0).state_dict()
    torch.save({**state, "mask_token": torch.zeros(1, 24)}, tmp_path / "dino.pth")
    net = backbone.create(DINO, str(tmp_path / "dino.pth"))
    assert all(torch.equal(value, state[name]) for name, value in net.net.vit.state_dict().items())
    del state["blocks.3.norm1.weight"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(UserError, match=f"not those of the backbone '{DINO}' .has no tensor blocks.3.norm1.weight"):
        backbone.create(DINO, str(tmp_path / "less.pth"))


@pytest.mark.parametrize("head", ["plain", "pam"])
def test_the_classifier_s_maps_lie_on_the_patches(head):
    model = build(META | {"head": head}).eval()
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    [(maps, _)] = class_maps(model, [photo], [[1]], side=56)
    assert model.stride == 14 and maps.shape == (1, 3, 5)  # 46 x 69 pixels, rounded to patches
    model.train()(noise(1, 3, 56, 56))[0].sum().backward()
    assert model.backbone.net.vit.pos_embed.grad.abs().sum() > 0


def test_peaks_are_not_walked_back_through_attention():
    photo = np.zeros((56, 56, 3), np.uint8)
    with pytest.raises(UserError, match=f"prm goes back through convolutions, which {DINO} has not: train the classif"):
        model = build(META | {"head": "prm"}).eval()
        peak_maps(model, photo, np.array([[3, 3]]), [0], of=(56, 56), size=56, side=56, at_once=1)


def test_features_of_proposals():
    """LIID's network, and the features of the graph: by RoI and by crops."""
    keys = {key: META[key] for key in ("backbone", "output_stride", "dilate", "last_conv", "frozen_norm", "size")}
    model = network.build(keys | {"labels": [0, 1, 2], "roi": 2, "roi_kind": "align"}).eval()
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    boxes = np.array([[0, 0, 30, 30], [20, 10, 70, 50]])
    config = SimpleNamespace(features="roi", size=56, roi=2, roi_kind="align")
    f, p = features(model, model.backbone, photo, boxes, size=(60, 90), config=config)
    of_larger, same = features(model, model.backbone, photo, 2 * boxes, size=(120, 180), config=config)
    assert np.array_equal(f, of_larger) and np.array_equal(p, same)  # boxes are in pixels of the photo itself
    assert f.shape == (2, 24) and p.shape == (2, 3) and np.allclose(p.sum(1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(f.astype(np.float32), axis=1), 1, atol=1e-2) and not np.allclose(f[0], f[1])
    assert entering(photo, 56, stride=14).shape == (42, 70, 3)
    assert crop_features(model.backbone, photo, boxes, size=56).shape == (2, 24)
    fans = extractor.Extractor(model.backbone, 2)
    assert [tuple(one.shape) for one in fans(noise(1, 3, 56, 56))] == [(1, 24), (1, 2)]
