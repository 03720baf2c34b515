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

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

LEAST = 1e-10  # a smaller sum of inputs is no way back; PRM's code


class Probabilistic(TorchFunctionMode):
    """Inside it every convolution, whoever calls it, has the backward pass of `Walk`; values do not change."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (walked if func is F.conv2d else func)(*args, **(kwargs or {}))


def walked(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """torch.nn.functional.conv2d by its own argument names, with the backward pass of `Walk`; paddings are numbers."""
    stride, padding, dilation = ((n, n) if isinstance(n, int) else tuple(n) for n in (stride, padding, dilation))
    return Walk.apply(input, weight, bias, stride, padding, dilation, groups)


class Walk(torch.autograd.Function):
    """A convolution whose gradient is where a walk goes. Source: PRM, peak back-propagation, and released code.

    x : (1, C, h, w), any sign. With x' = x - min(x) and W+ = max(W, 0), what arrives at an output is divided by
    conv(x', W+), 0 where that is below LEAST, goes back through W+ and is multiplied by x'. The convolution's own
    padding has x' = 0, so nothing is lost there; in that of a layer before it (TensorFlow's "same") x' may be more.
    Weights get no gradient.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, *how):
        shifted, positive = x - x.min(), weight.clamp(min=0)
        total = F.conv2d(shifted, positive, None, *how)
        ctx.save_for_backward(shifted, positive, torch.where(total < LEAST, 0, 1 / total))
        ctx.how = how
        return F.conv2d(x, weight, bias, *how)

    @staticmethod
    def backward(ctx, arriving):
        shifted, positive, inverse = ctx.saved_tensors
        back = transposed(arriving * inverse, positive, shifted.shape[2:], *ctx.how)
        return back.mul_(shifted), *(None,) * (2 + len(ctx.how))


def transposed(values, weight, size, stride, padding, dilation, groups):
    """What a convolution's outputs (n, D, h', w') send back to its inputs, (n, C, *size), by its weights.

    Grouped ones of stride 1 as a convolution with the turned weights, which is several times as fast on a CPU.
    """
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
    if groups > 1 and stride == (1, 1) and all(p <= r for p, r in zip(padding, reach)):
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
