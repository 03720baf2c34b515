"""Instance labels of a batch, and the centre, offset and guidance maps that they are drawn into (BESTIE, Sec. 3.3).

Pseudo labels (from the transferred masks) and refined labels (from the network's own answers) are the same thing here
and are drawn by the same function, on the device that they lie on.
"""

from typing import NamedTuple

import torch

REACH = 3  # standard deviations at which a Gaussian is cut off (below 1.2 % of its top); Panoptic-DeepLab's code


class Labels(NamedTuple):
    """N instances of a batch of B photos.

    number : (B, H, W) int64, 0 where no instance lies, else 1 + the row of its instance below.
    photo : (N,) int64, place in the batch. column : (N,) int64 in [0, K), place of its class. center : (N, 2) float32
    y, x in pixels, a given point may lie outside the map. weight : (N,) float32, W of Eq. 2; 1 for pseudo
    labels.
    """

    number: torch.Tensor
    photo: torch.Tensor
    column: torch.Tensor
    center: torch.Tensor
    weight: torch.Tensor


class Points(NamedTuple):
    """P given points of a batch: photo, column as in Labels; y, x : (P,) float32 pixels, may lie outside the map;
    score : (P,) float32 in [0, 1]."""

    photo: torch.Tensor
    column: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor
    score: torch.Tensor


class Drawn(NamedTuple):
    """What labels draw at the P pixels that a loss looks at, whose place among all B x H x W is `at`, (P,) int64.

    center : (P, K) float32 in [0, 1]. offset : (P, 2) float32, y then x, pixels, 0 outside instances. weight : (P,)
    float32, W of the pixel's instance, 0 outside.
    """

    at: torch.Tensor
    center: torch.Tensor
    offset: torch.Tensor
    weight: torch.Tensor


def drawn(labels, classes, *, sigma, everywhere=False):
    """What `labels` (Labels) draw for K = `classes` classes, in their instances (P of Eq. 3 and 4) or `everywhere`.

    Centre map: exp(-d^2 / 2 sigma^2) around every instance's centre on its class's map, the larger where two overlap,
    0 beyond 3 sigma. Offset: from a pixel (y, x) to the centre of its instance. There are as many centre maps as the
    dataset has classes, so they are drawn where they are needed alone. Source: BESTIE, Sec. 3.3, Eq. 2.
    """
    _, height, width = labels.number.shape
    number = labels.number.flatten()
    at = torch.arange(len(number), device=number.device) if everywhere else number.nonzero()[:, 0]
    row, inside = (number[at] - 1).clamp(min=0), number[at] > 0
    offset, weight = torch.zeros((len(at), 2), device=at.device), torch.zeros(len(at), device=at.device)
    if len(labels.photo):
        place = torch.stack([at // width % height, at % width], 1)
        offset = torch.where(inside[:, None], labels.center[row] - place, 0.0)
        weight = torch.where(inside, labels.weight[row], 0.0)
    return Drawn(at, gaussians(labels, classes, sigma=sigma, at=at), offset, weight)


def gaussians(labels, classes, *, sigma, at):
    """(P, K) float32: the centre maps of `labels` at the pixels `at`, see `drawn`."""
    batch, height, width = labels.number.shape
    device = labels.number.device
    count = len(at) * classes
    row = torch.full((batch * height * width,), -1, device=device)
    row[at] = torch.arange(len(at), device=device)
    found = torch.zeros(count + 1, device=device)  # the last is for what nobody looks at
    reach = int(REACH * sigma) + 1
    step = torch.arange(-reach, reach + 1, device=device)
    for part in range(0, len(labels.photo), 256):  # windows of 256 instances at a time bound the memory
        rows = slice(part, part + 256)
        middle = labels.center[rows].round().long()
        y = middle[:, 0, None, None] + step.view(1, -1, 1)
        x = middle[:, 1, None, None] + step.view(1, 1, -1)
        away = (y - labels.center[rows, 0, None, None]) ** 2 + (x - labels.center[rows, 1, None, None]) ** 2
        value = torch.exp(-away / (2 * sigma**2))
        photo, column = labels.photo[rows].view(-1, 1, 1), labels.column[rows].view(-1, 1, 1)
        seen = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        place = row[torch.where(seen, (photo * height + y) * width + x, 0)]
        kept = seen & (place >= 0) & (away <= (REACH * sigma) ** 2)
        found.scatter_reduce_(0, torch.where(kept, place * classes + column, count).flatten(), value.flatten(), "amax")
    return found[:count].view(-1, classes)
