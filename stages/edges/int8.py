"""Convolutions with 8-bit integers on a CPU: a third to a half of the time, an answer that differs in the third digit.

if int8.here():
    int8.replace(network.blocks[1])  # what enters is not negative
"""

import torch
from torch import nn

LARGEST = 64  # not 127: processors without VNNI cut the sum of two products, here at most 2 * 64 * 255, at 2^15 - 1


def here():
    """Whether torch has the operators, which come with oneDNN."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qconv2d_pointwise")


def replace(block, *, start=0):
    """Every nn.Conv2d of a Sequential from place `start` on becomes a `Convolution`, with the ReLU that follows it."""
    for k, module in enumerate(block):
        if k >= start and isinstance(module, nn.Conv2d):
            block[k], block[k + 1] = Convolution(module), nn.Identity()


class Convolution(nn.Module):
    """(B, C, H, W) float32, not negative, -> (B, D, H, W) float32: ReLU of a convolution of stride 1.

    Weights are rounded to -LARGEST..LARGEST times a scale of each output channel, inputs to 0..255 times one scale, of
    which 255 is the largest input; products are summed exactly. Nothing is calibrated on photos.
    """

    def __init__(self, module):
        super().__init__()
        weight = module.weight.detach()
        self.scale = (weight.abs().amax((1, 2, 3)) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
        self.zero = torch.zeros(len(weight), dtype=torch.long)
        self.bias = module.bias.detach()
        self.where = [list(pair) for pair in (module.stride, module.padding, module.dilation)]
        rounded = (weight / self.scale[:, None, None, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qconv_prepack(rounded, self.scale, 1.0, 0, *self.where, 1)

    def forward(self, x):
        step = float(x.amax()) / 255 or 1.0  # `max` would copy what is channels last
        rounded = torch.quantize_per_tensor(x, step, 0, torch.quint8).int_repr()
        return torch.ops.onednn.qconv2d_pointwise(
            rounded, step, 0, self.weight, self.scale, self.zero, self.bias, *self.where, 1, 1.0, 0,
            torch.float32, "relu", [], "",
        )  # fmt: skip
