"""The classifier's head with PAM: peak attention by hand, its context, its beginning, finer strides."""

import pytest
import torch

from stages.classifier.model import PeakAttention, build, sides_of

META = {
    "backbone": "test_efficientnet", "classes": [2, 5, 9], "head": "plain", "alpha": 0.7, "pam_layers": 2,
    "pam_context": None, "pam_channels": 8, "enlarge": 8, "output_stride": 16, "dilate": True, "last_conv": False,
    "frozen_norm": True, "size": 64,
}  # fmt: skip


def test_pam_zeroes_what_is_below_alpha_times_the_maximum():
    x = torch.tensor([[[[10.0, 7.0], [6.9, 0.0]], [[2.0, 1.3], [1.4, 1.5]]]])  # tau = 7 and 1.4
    wanted = torch.tensor([[[[10.0, 7.0], [0.0, 0.0]], [[2.0, 0.0], [1.4, 1.5]]]])
    assert torch.equal(PeakAttention(0.7)(x), wanted)
    assert torch.equal(PeakAttention(0.0)(x), x)  # alpha 0: nothing is below the boundary
    even = torch.tensor([[[[8.0, 4.0, 3.9]]]])
    assert PeakAttention(0.5)(even).tolist() == [[[[8, 4, 0]]]]  # a value at the boundary stays (Fig. 4: "lower than")
    assert torch.equal(PeakAttention(1.0)(x), torch.where(x == x.amax((2, 3), keepdim=True), x, 0.0))


def test_pam_looks_at_each_photo_of_a_batch_and_passes_no_gradient_to_noise():
    x = torch.tensor([[[[10.0, 7.5, 1.0]]], [[[1.0, 0.75, 0.1]]]], requires_grad=True)
    y = PeakAttention(0.7)(x)
    assert y.flatten().tolist() == [10.0, 7.5, 0.0, 1.0, 0.75, 0.0]
    y.sum().backward()
    assert x.grad.flatten().tolist() == [1, 1, 0, 1, 1, 0]


def test_pam_of_nothing_is_nothing():
    assert torch.equal(PeakAttention(0.7)(torch.zeros(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3))


def test_pam_head_has_convolutions_relu_and_pam_in_this_order():
    names = [type(m).__name__ for m in build(META | {"head": "pam"}).blocks]
    assert names == ["Conv2d", "ReLU", "PeakAttention"] * 2
    assert len(build(META).blocks) == 0


@pytest.mark.parametrize(
    ("context", "stride", "sides"),
    [
        (None, 32, [3, 3, 3]),  # 192 px
        (48, 8, [3, 3, 3]),  # BESTIE's
        (48, 16, [3, 1, 1]),  # 32 px: two would see 64
        (64, 16, [3, 3, 1]),
        (48, 32, [1, 1, 1]),
        (1000, 16, [3, 3, 3]),
    ],
)
def test_the_context_of_pam_by_hand(context, stride, sides):
    assert sides_of(3, context, stride=stride) == sides


@pytest.mark.parametrize("finer", [1, 2])
def test_no_cell_of_pam_s_maps_sees_beyond_its_context(finer):
    """At stride 32 a context of 64 px is one cell each way, at 16 by dilation two; the middle of 15 x 15 cells."""
    meta = META | {"head": "pam", "alpha": 0.0, "output_stride": 32, "stride": 32, "pam_context": 64}
    model = build(meta, output_stride=32 // finer)
    for block in model.blocks:
        if isinstance(block, torch.nn.Conv2d):
            torch.nn.init.uniform_(block.weight, 0.1, 1)
    x = torch.rand(1, model.backbone.channels[-1], 15, 15, requires_grad=True)
    given = model.blocks(x)
    given[0, :, 7, 7].sum().backward()
    seen = x.grad[0].abs().sum(0).nonzero()
    assert given.shape[2:] == (15, 15) and seen.min() == 7 - finer and seen.max() == 7 + finer and len(seen) == 9


def test_bestie_s_vgg_form_by_hand():
    """VGG-16's 13 convolutions, three pools at stride 2, the fourth 3x3 at stride 1 and conv5 dilated by 2 (maps of
    stride 8); three 3x3 convolutions with ReLU and PAM, one 1x1, the mean: with random weights, layer by layer."""
    meta = META | {"backbone": "vgg16", "head": "pam", "pam_layers": 3, "pam_channels": 16, "output_stride": 8}
    torch.manual_seed(0)
    model = build(meta).eval().double()
    for block in model.blocks:
        if isinstance(block, torch.nn.Conv2d):
            torch.nn.init.normal_(block.weight, std=0.05)
    model.bias.data = torch.tensor([0.5, 0, -1], dtype=torch.float64)
    state, conv = model.state_dict(), torch.nn.functional.conv2d
    x = first = torch.randn(2, 3, 32, 40, dtype=torch.float64)
    layers = iter([k for k in state if k.startswith("backbone.net.") and k.endswith("weight")])
    for block, count in enumerate((2, 2, 3, 3, 3)):
        wide = 2 if block == 4 else 1
        for _ in range(count):
            key = next(layers)
            x = conv(x, state[key], state[key.replace("weight", "bias")], padding=wide, dilation=wide).clamp(min=0)
        if block < 3:
            x = torch.nn.functional.max_pool2d(x, 2)
        elif block == 3:
            x = torch.nn.functional.max_pool2d(x, 3, stride=1, padding=1)
    assert x.shape == (2, 512, 4, 5) and next(layers, None) is None
    for k in (0, 3, 6):
        x = conv(x, state[f"blocks.{k}.weight"], state[f"blocks.{k}.bias"], padding=1).clamp(min=0)
        top = x.flatten(2).max(2).values[:, :, None, None]
        assert ((x > 0) & (x < 0.7 * top)).any()  # PAM has something to do
        x = x * (x >= 0.7 * top)
    maps = torch.einsum("bchw,kc->bkhw", x, state["score.weight"][:, :, 0, 0])
    with torch.no_grad():
        found, given = model(first)
    assert model.stride == 8 and given.shape == (2, 3, 4, 5)
    assert torch.allclose(given, maps) and torch.allclose(found, maps.mean((2, 3)) + model.bias)


def test_the_pam_head_starts_with_all_of_the_backbones_features():
    wide, widths = build(META).backbone.channels[-1], {}
    x = torch.rand(1, wide, 5, 4)
    for width in (8, wide, wide + 1):
        model = build(META | {"head": "pam", "alpha": 0.0, "pam_channels": width}).eval()
        widths[width] = model.blocks(x)  # alpha 0 lets everything pass
    parts = [x[:, c::8].mean(1) for c in range(8)]
    assert torch.allclose(widths[8], torch.stack(parts, 1))
    assert torch.equal(widths[wide], x)
    assert torch.equal(widths[wide + 1], torch.cat([x, x[:, :1]], 1))


def test_a_finer_stride_of_the_same_weights_passes_through_the_coarser_maps():
    coarse = build(META | {"output_stride": 32, "stride": 32, "head": "pam", "alpha": 0.0}).eval()
    fine = build(
        coarse_meta := META | {"output_stride": 32, "stride": 32, "head": "pam", "alpha": 0.0}, output_stride=16
    )
    assert coarse_meta["output_stride"] == 32
    fine.load_state_dict(coarse.state_dict())
    x = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = coarse.train()(x)[1], fine.train()(x)[1]  # in evaluation mode cells are moved to their place
    assert b.shape[2] == 2 * a.shape[2]
    assert torch.allclose(a, b[:, :, ::2, ::2], atol=1e-5)
