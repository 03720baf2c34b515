"""Peak back-propagation (PRM): which parts of the photo a peak of a class map rests on.

x, maps = traced(network, x)
start = starts(yx, columns, size, maps.shape[1:])
response = responses(x, maps, start, at_once=16)     # (P, H, W), each sums to 1

A walk that starts at the peak goes back through the network, at every convolution from an output to one of its inputs
with a probability proportional to the input, less the smallest input, times the positive weight (PRM, "peak
back-propagation"). All other layers keep their own gradients: poolings, ReLU, ReLU6 and SiLU, batch norm in evaluation
mode (a scale of any sign), squeeze-and-excitation, linear layers. So only convolutions and what hands on unchanged
keep the sum; negative parts of the end are cut, and it is divided by its sum.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

LEAST = 1e-10  # a smaller sum of inputs is no way back; PRM's code
POINTWISE = {F.relu, F.relu6, F.hardtanh, F.silu, F.hardswish, F.gelu, F.elu, F.leaky_relu}


class Probabilistic(TorchFunctionMode):
    """Inside it every convolution, whoever calls it, has the backward pass of `Walk`; values do not change.

    What a gradient is multiplied by in batch norm and activations is the photo's and not the peak's. So that gradients
    are read and written once where they would be three times, a convolution and what follows it become one `Walk`.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in POINTWISE:
            return activated(func, *args, **(kwargs or {}))
        return {F.conv2d: walked, F.batch_norm: normed}.get(func, func)(*args, **(kwargs or {}))


class Way(NamedTuple):
    """How a gradient goes back from a tensor to x, the input of the convolution from which it was made.

    shifted, positive : x' and W+ of `Walk`. factor : (1, D, h', w'), of what arrives. how : stride, padding, dilation,
    groups. version : of the tensor; if it was changed in place since, this is not the way.
    """

    x: torch.Tensor
    shifted: torch.Tensor
    positive: torch.Tensor
    factor: torch.Tensor
    how: tuple
    version: int = 0


def walked(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """torch.nn.functional.conv2d by its own argument names, with the backward pass of `Walk`; paddings are numbers."""
    how = (*((n, n) if isinstance(n, int) else tuple(n) for n in (stride, padding, dilation)), groups)
    with torch.no_grad():
        shifted, positive = input - input.min(), weight.clamp(min=0)
        total = F.conv2d(shifted, positive, None, *how)
        inverse = torch.where(total < LEAST, 0, 1 / total)
    return made(Way(input, shifted, positive, inverse, how), lambda: F.conv2d(input, weight, bias, *how))


def normed(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """torch.nn.functional.batch_norm by its own argument names, with its own gradient; in evaluation mode."""
    if training:
        raise ValueError("a walk goes through networks in evaluation mode")
    with torch.no_grad():
        scale = (running_var + eps).rsqrt() * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - running_mean * scale
        scale, shift = scale.view(-1, 1, 1), shift.view(-1, 1, 1)
    return onward(input, scale, lambda: input * scale + shift)


def activated(func, input, *args, **kwargs):
    """func(input, ...), each value for itself, with its own gradient; never in place."""
    own = input.detach().requires_grad_()
    value = func(own.clone(), *args, **kwargs)  # a clone, since it may work in place
    (slope,) = torch.autograd.grad(value.sum(), own)
    return onward(input, slope, value.detach)


def onward(input, factor, value):
    """The tensor value(), whose gradient times `factor` is that of `input`."""
    way = getattr(input, "way", None)
    if way is None or way.version != input._version:
        return Times.apply(input, factor, value)
    return made(way._replace(factor=way.factor * factor), value)


def made(way, value):
    """The tensor value(), from which gradients go this way."""
    result = Walk.apply(*way[:5], value)
    result.way = way._replace(version=result._version)
    return result


class Times(torch.autograd.Function):
    """Any value, whose gradient is what arrives times a factor."""

    @staticmethod
    def forward(ctx, x, factor, value):
        ctx.save_for_backward(factor)
        return value()

    @staticmethod
    def backward(ctx, arriving):
        return arriving * ctx.saved_tensors[0], None, None


class Walk(torch.autograd.Function):
    """A convolution whose gradient is where a walk goes. Source: PRM, peak back-propagation, and released code.

    x : (1, C, h, w), any sign. With x' = x - min(x) and W+ = max(W, 0), what arrives at an output is divided by
    conv(x', W+), 0 where that is below LEAST (`factor`, see `Way`), goes back through W+ and is multiplied by x'. The
    convolution's own padding has x' = 0, so nothing is lost there; in that of a layer before it (TensorFlow's "same")
    x' may be more. Weights get no gradient.
    """

    @staticmethod
    def forward(ctx, x, shifted, positive, factor, how, value):
        ctx.save_for_backward(shifted, positive, factor)
        ctx.how = how
        return value()

    @staticmethod
    def backward(ctx, arriving):
        shifted, positive, factor = ctx.saved_tensors
        back = transposed(arriving * factor, positive, shifted.shape[2:], *ctx.how)
        return back.mul_(shifted), None, None, None, None, None


def transposed(values, weight, size, stride, padding, dilation, groups):
    """What a convolution's outputs (n, D, h', w') send back to its inputs, (n, C, *size), by its weights.

    Grouped and 1x1 ones of stride 1 as a convolution with the turned weights, which is faster on a CPU.
    """
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
    if (groups > 1 or not any(reach)) and stride == (1, 1) and all(p <= r for p, r in zip(padding, reach)):
        turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flip(2, 3)
        return F.conv2d(values, turned, None, 1, [r - p for r, p in zip(reach, padding)], dilation, groups)
    more = [n + 2 * p - r - 1 - (m - 1) * s for n, p, r, m, s in zip(size, padding, reach, values.shape[2:], stride)]
    return F.conv_transpose2d(values, weight, None, stride, padding, more, groups, dilation)


def traced(network, x):
    """(x, maps): class maps of one photo, from which `responses` find the way back to x.

    network : x -> (1, K, h, w), in evaluation mode. x : (1, 3, H, W) float32, normalised; not modified.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad(), Probabilistic():
        return x, network(x)


def starts(yx, columns, size, shape):
    """(P, K, h, w) float32: where the walks of P peaks begin, shares of cells that sum to 1.

    yx : (P, 2) int pixels of the photo of `size` (H, W), which the cells of the class maps tile. columns : (P,) int
    in 0..K-1. shape : (K, h, w). A peak begins in the (up to four) cells around it by the weights of bilinear
    interpolation, as PRM's does, whose peaks are those of enlarged maps; beyond the middle of the outermost cell in
    that cell alone.
    """
    start, cells = torch.zeros(len(yx), *shape), np.array(shape[1:])
    at = ((np.reshape(yx, (-1, 2)) + 0.5) * cells / np.asarray(size) - 0.5).clip(0, cells - 1)
    low = np.floor(at).astype(int)
    for side in np.ndindex(2, 2):
        y, x = np.minimum(low + side, cells - 1).T
        share = np.abs(1 - np.array(side) - (at - low)).prod(1)
        start[np.arange(len(at)), np.asarray(columns, int), y, x] += torch.from_numpy(share).float()
    return start


def responses(x, maps, start, *, at_once):
    """(P, H, W) float32: peak response maps, not negative, each with the sum 1, or all 0 where nothing gets back.

    x, maps : see `traced`. start : (P, K, h, w). at_once : so many go back together, by one backward pass: of every
    layer there are so many gradients, but the photo's activations once. A map is the sum over the channels of x,
    negative values set to 0, over its sum. Sources: PRM and released code; ICN, Eq. 2.
    """
    found = [torch.zeros(0, *x.shape[2:], device=x.device)]
    for part in start.to(x.device).split(at_once) if len(start) else ():
        back = torch.vmap(lambda one: torch.autograd.grad(maps, x, one, retain_graph=True)[0])(part[:, None])
        found.append(shares(back[:, 0].sum(1)))
    return torch.cat(found)


def shares(maps):
    """Maps (P, H, W) less their negative values, each over its sum; a map of sum 0 stays 0."""
    maps = maps.clamp(min=0)
    total = maps.sum((1, 2), keepdim=True)
    return torch.where(total > 0, maps / total, 0)
