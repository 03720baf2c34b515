"""edges with 8-bit integers: by hand, against float64, on the packaged network, and where torch lacks them."""

import numpy as np
import pytest
import torch
from torch import nn

from stages.edges import hed, int8, network

needed = pytest.mark.skipif(not int8.here(), reason="this torch has no oneDNN")


def convolution(weight, bias, **keys):
    made = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], **keys)
    made.load_state_dict({"weight": weight, "bias": bias})
    return made.requires_grad_(False)


@needed
def test_a_convolution_by_hand():
    # scales: weights 2 / 64 and 1 / 64, inputs 255 / 255 = 1; 0.52 * 64 = 33.28 becomes 33
    weight = torch.tensor([[[[2.0]], [[-2.0]]], [[[1.0]], [[0.52]]]])
    x = torch.tensor([255.0, 100, 0, 10.4]).view(1, 2, 1, 2)  # channels (255, 100) and (0, 10.4)
    found = int8.Convolution(convolution(weight, torch.tensor([1.0, -3])))(x)
    wanted = [[2 * 255 + 1, 2 * 100 - 2 * 10 + 1], [255 - 3, 100 + 10 * 33 / 64 - 3]]
    assert torch.allclose(found, torch.tensor(wanted).view(1, 2, 1, 2), rtol=1e-6)
    assert (int8.Convolution(convolution(-weight, torch.zeros(2)))(x)[0, 0] == 0).all()  # the ReLU


@needed
@pytest.mark.parametrize("size", [(1, 1), (17, 33)])
def test_a_convolution_is_that_of_the_rounded_numbers(size):
    torch.manual_seed(0)
    weight, bias, x = torch.randn(8, 5, 3, 3), torch.randn(8), torch.rand(1, 5, *size) * 7
    module = convolution(weight, bias, padding=1)
    scale, step = weight.abs().amax((1, 2, 3), keepdim=True) / 64, x.max() / 255
    rounded = (weight / scale).round().double() * scale.double(), (x / step).round().double() * step.double()
    wanted = torch.relu(nn.functional.conv2d(rounded[1], rounded[0], bias.double(), padding=1))
    found = int8.Convolution(module)(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(found.double(), wanted, atol=1e-4)
    assert torch.allclose(found, torch.relu(module(x)), atol=2) and not torch.equal(found, torch.relu(module(x)))


@needed
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_products_are_summed_exactly_on_every_processor(sign):
    """All inputs and weights at their largest: two such products of 255 x 127 would not fit 16 bits."""
    module = convolution(sign * torch.ones(4, 16, 3, 3), torch.full((4,), 200.0))
    assert torch.allclose(int8.Convolution(module)(torch.ones(1, 16, 3, 3)), torch.tensor(200.0 + sign * 144))


@needed
def test_nothing_and_a_channel_without_weights():
    weight = torch.zeros(2, 1, 3, 3)
    weight[1] = 1
    found = int8.Convolution(convolution(weight, torch.tensor([2.0, 0]), padding=1))(torch.zeros(1, 1, 4, 4))
    assert (found[0, 0] == 2).all() and (found[0, 1] == 0).all()


@needed
def test_the_packaged_network_sees_what_it_sees_in_float32():
    rng = np.random.default_rng(0)
    photo = np.full((90, 121, 3), (60, 120, 80), np.uint8)
    photo[30:70, 50:100] = (200, 60, 50)
    photo += rng.integers(0, 20, photo.shape, np.uint8)
    exact, rounded = (hed.edges(network(int8=flag), photo, side=448) for flag in (False, True))
    assert exact.shape == rounded.shape == (90, 121) and exact.max() > 0.7
    difference = np.abs(exact - rounded)
    assert 0 < difference.mean() < 0.01 and difference.max() < 0.1
    kinds = [type(module).__name__ for block in network(int8=True).blocks for module in block]
    assert kinds.count("Conv2d") == 1 and kinds.count("Convolution") == 12  # the first sees signs
    assert kinds[:4] == ["Conv2d", "ReLU", "Convolution", "Identity"]


def test_without_onednn_float32_stays(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    made = hed.Hed([(2, 2), (2, 2), (2,), (2,), (2,)]).rounded()
    assert not any(isinstance(module, int8.Convolution) for module in made.modules())
