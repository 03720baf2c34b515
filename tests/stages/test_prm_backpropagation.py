"""Peak back-propagation (PRM; ICN, Eq. 2): by hand, against a slow walk, what it conserves, backbones."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import prm_maps
from stages.prm.backpropagation import responses, shares, starts, traced
from tag2mask.learn import backbone


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def one_cell(maps, *places):
    """Starts (P, K, h, w) with 1 at (class, y, x)."""
    start = torch.zeros(len(places), *maps.shape[1:])
    for k, place in enumerate(places):
        start[k][place] = 1
    return start


def back(network, x, *places, at_once=16):
    x, maps = traced(network.eval(), x)
    return responses(x, maps, one_cell(maps, *places), at_once=at_once)


def test_eq_2_of_two_layers_by_hand():
    """Two 1 x 2 convolutions on a row of 3. x' = x - 1 = [0, 1, 3]; W1+ = [2, 1], so the ways into U are [1, 5] and
    U = 2 x + x_next - 1 = [3, 9]; U' = U - 3 = [0, 6]: all of the walk goes into the second cell of U, from there 2 of
    5 parts to the second pixel and 3 of 5 to the third."""
    network = nn.Sequential(nn.Conv2d(1, 1, (1, 2)), nn.Conv2d(1, 1, (1, 2)))
    with torch.no_grad():
        network[0].weight[:], network[0].bias[:] = torch.tensor([2.0, 1.0]), -1
        network[1].weight[:], network[1].bias[:] = torch.tensor([5.0, 0.5]), 7
    x = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    assert network[0](x).flatten().tolist() == [3, 7]
    np.testing.assert_allclose(back(network, x, (0, 0, 0)), [[[0, 0.4, 0.6]]], rtol=1e-6)
    assert torch.equal(traced(network, x)[1], network(x))  # no value changes


def test_negative_weights_are_no_way():
    network = nn.Conv2d(2, 1, 1, bias=False)
    with torch.no_grad():
        network.weight[:] = torch.tensor([3.0, -9.0]).view(1, 2, 1, 1)
    x = torch.zeros(1, 2, 1, 2)
    x[0, :, 0, 0] = torch.tensor([5.0, 7.0])
    np.testing.assert_array_equal(back(network, x, (0, 0, 0)), [[[1, 0]]])
    np.testing.assert_array_equal(back(network, x, (0, 0, 1)), [[[0, 0]]])  # no input there is above the smallest


def slow_walk(layers, x, start):
    """The distribution of a walk over the pixels of x (C, H, W), from `start` over the last layer's outputs; one layer,
    output and input at a time, in float64."""
    inputs = [np.asarray(x, np.float64)]
    for layer in layers:
        with torch.no_grad():
            inputs.append(layer(torch.from_numpy(inputs[-1])[None].float())[0].double().numpy())
    share = np.asarray(start, np.float64)
    for layer, given in zip(layers[::-1], inputs[-2::-1]):
        before = np.zeros_like(given)
        if isinstance(layer, nn.ReLU):
            before = share * (given > 0)
        elif isinstance(layer, nn.MaxPool2d):
            for c, y, x in np.ndindex(share.shape):
                window = given[c, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
                dy, dx = np.unravel_index(window.argmax(), window.shape)
                before[c, 2 * y + dy, 2 * x + dx] += share[c, y, x]
        else:
            before = one_layer(layer, given, share)
        share = before
    return share.sum(0)


def one_layer(conv, given, share):
    """A convolution's inputs: each output's share goes to its inputs by (x - min) max(W, 0)."""
    weight, before = conv.weight.detach().double().numpy(), np.zeros_like(given)
    shifted, outputs = given - given.min(), len(weight)
    for o, y, x in np.ndindex(share.shape):
        group = o * conv.groups // outputs
        ways = []
        for i, dy, dx in np.ndindex(weight.shape[1:]):
            at = (
                group * weight.shape[1] + i,
                y * conv.stride[0] - conv.padding[0] + dy * conv.dilation[0],
                x * conv.stride[1] - conv.padding[1] + dx * conv.dilation[1],
            )
            if 0 <= at[1] < given.shape[1] and 0 <= at[2] < given.shape[2]:
                ways.append((at, shifted[at] * max(weight[o, i, dy, dx], 0)))
        total = sum(way for _, way in ways)
        for at, way in ways if total >= 1e-10 else ():
            before[at] += share[o, y, x] * way / total
    return before


def small(bias=False, seed=3):
    """Strided, grouped, dilated, depthwise, pooled."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias), nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=bias), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, bias=bias), nn.ReLU(), nn.Conv2d(6, 2, 1, bias=bias),
    )  # fmt: skip


def highest(network, x):
    """The three places (class, y, x) of the highest responses: without a bias there is a way to them."""
    with torch.no_grad():
        maps = network(x)[0]
    return [tuple(np.unravel_index(int(n), maps.shape)) for n in maps.flatten().topk(3).indices]


@pytest.mark.parametrize("at_once", [1, 2, 16])
@pytest.mark.parametrize("bias", [False, True])
def test_it_agrees_with_a_slow_walk_layer_by_layer(bias, at_once):
    network, x = small(bias), drawn(1, 3, 16, 12)
    places = highest(network, x)
    found, sums = back(network, x, *places, at_once=at_once), []
    for k, place in enumerate(places):
        start = np.zeros((2, 4, 3))
        start[place] = 1
        walk = slow_walk(list(network), x[0].numpy(), start)
        sums.append(walk.sum())
        np.testing.assert_allclose(found[k], walk / (walk.sum() or 1), atol=1e-6)
    assert bias or sums == pytest.approx([1, 1, 1])  # with a bias a walk may end where the bias alone speaks


def test_layers_without_norms_conserve_the_sum():
    """Convolutions, ReLU before a convolution and max pooling hand on all that arrives where there is a way on."""
    network, x = small(), drawn(1, 3, 32, 32, seed=5)
    places = highest(network, x)
    x, maps = traced(network, x)
    (grad,) = torch.autograd.grad(maps, x, one_cell(maps, *places)[:, None], is_grads_batched=True)
    np.testing.assert_allclose(grad.sum((1, 2, 3, 4)), [1, 1, 1], rtol=1e-4)
    assert grad.min() >= 0


def test_batch_norm_keeps_its_own_gradient():
    """A scale of -2 turns the sign, so nothing is left; one of 2 is undone by the sum."""
    norm = nn.BatchNorm2d(1).eval()
    network, x = nn.Sequential(nn.Conv2d(1, 1, 1), norm, nn.Conv2d(1, 1, 1)), drawn(1, 1, 4, 4)
    x[0, 0, 1, 2], x[0, 0, 0, 0], x[0, 0, 3, 3] = 0.5, -9, 9  # neither the smallest before nor after the norm
    with torch.no_grad():
        network[0].weight[:] = network[2].weight[:] = 1
        norm.weight[:] = 2
    np.testing.assert_allclose(back(network, x, (0, 1, 2))[0, 1, 2], 1)
    with torch.no_grad():
        norm.weight[:] = -2
    assert back(network, x, (0, 1, 2)).sum() == 0


NAMES = ["resnet18", "test_efficientnet", "efficientnet_lite0", "vgg11_bn", "mobilenetv3_small_050", "hrnet_w18_small"]


@pytest.mark.parametrize("name", NAMES)
def test_backbones(name):
    """Residuals, sums in place, squeeze-and-excitation, SiLU, ReLU6, hard swish, "same" padding, dilation: as with
    PRM's hooks around every convolution and torch's own backward passes, one a peak; sum 1."""
    torch.manual_seed(0)
    net = backbone.create(name, "none", output_stride=16).eval().requires_grad_(False)
    score = nn.Conv2d(net.channels[-1], 3, 1, bias=False).requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after a training: scales of both signs
            nn.init.normal_(module.weight, 0.5)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)

    def network(x):
        return score(net(x)[-1])

    x = drawn(1, 3, 64, 96)
    *traces, start = prm_maps.forward(network, x, peaks=3, hooks=True)
    slow = prm_maps.back(*traces, start, at_once=None)
    x, maps = traced(network, x)
    np.testing.assert_allclose(
        maps.detach(), network(x).detach(), rtol=1e-3, atol=1e-5 * float(maps.detach().abs().max())
    )
    found = responses(x, maps, start, at_once=2)
    assert found.shape == (3, 64, 96) and found.min() >= 0
    np.testing.assert_allclose(found, slow, rtol=1e-2, atol=1e-5 * float(slow.max()))
    np.testing.assert_allclose(found.sum((1, 2)), 1, rtol=1e-4)


def test_fifty_peaks_none_and_a_constant_photo():
    network = small()
    x, maps = traced(network, drawn(1, 3, 80, 80))
    places = [(k % 2, k // 10, k % 10) for k in range(50)]
    many = responses(x, maps, one_cell(maps, *places), at_once=16)
    assert many.shape == (50, 80, 80)
    np.testing.assert_allclose(many[49], responses(x, maps, one_cell(maps, places[49]), at_once=1)[0], atol=1e-7)
    assert responses(x, maps, torch.zeros(0, *maps.shape[1:]), at_once=4).shape == (0, 80, 80)
    nothing = back(network, torch.full((1, 3, 16, 16), 0.3), (0, 0, 0))
    assert nothing.shape == (1, 16, 16) and nothing.abs().sum() == 0  # no pixel is above the smallest


def test_starts_by_hand():
    """4 x 2 cells on 40 x 20 pixels: pixel (14, 9) is at cell (0.95, 0.45); corners begin in the corner cells."""
    start = starts([[14, 9], [0, 0], [39, 19]], [1, 0, 0], (40, 20), (2, 4, 2))
    assert start[0, 1, :2].numpy() == pytest.approx(np.outer([0.05, 0.95], [0.55, 0.45]), abs=1e-6)
    assert start[1, 0, 0, 0] == 1 and start[2, 0, 3, 1] == 1
    np.testing.assert_allclose(start.sum((1, 2, 3)), 1, rtol=1e-6)
    assert starts([[25, 35]], [0], (50, 70), (1, 1, 1)).tolist() == [[[[1]]]]
    assert starts(np.zeros((0, 2), int), [], (50, 70), (3, 4, 4)).shape == (0, 3, 4, 4)


def test_shares_are_not_negative_and_sum_to_1():
    maps = torch.tensor([[[3.0, -5.0], [1.0, 0.0]], [[-1.0, 0.0], [0.0, -2.0]]])
    assert shares(maps).tolist() == [[[0.75, 0], [0.25, 0]], [[0, 0], [0, 0]]]
