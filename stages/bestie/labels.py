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
    """center : (B, K, H, W) float32 in [0, 1]. offset : (B, 2, H, W) float32, y then x, pixels, 0 outside instances.
    weight : (B, H, W) float32, W of the pixel's instance, 0 outside. inside : (B, H, W) bool, P of Eq. 3 and 4."""

    center: torch.Tensor
    offset: torch.Tensor
    weight: torch.Tensor
    inside: torch.Tensor


def drawn(labels, classes, *, sigma):
    """The maps of `labels` (Labels) for K = `classes` classes.

    Centre map: exp(-d^2 / 2 sigma^2) around every instance's centre on its class's map, the larger where two overlap,
    0 beyond 3 sigma. Offset: from a pixel (y, x) to the centre of its instance. Source: BESTIE, Sec. 3.3, Eq. 2.
    """
    batch, height, width = labels.number.shape
    device = labels.number.device
    inside = labels.number > 0
    row = (labels.number - 1).clamp(min=0)
    y = torch.arange(height, device=device, dtype=torch.float32).view(1, -1, 1)
    x = torch.arange(width, device=device, dtype=torch.float32).view(1, 1, -1)
    offset = torch.zeros((batch, 2, height, width), device=device)
    weight = torch.zeros((batch, height, width), device=device)
    if len(labels.photo):
        center = labels.center[row]  # (B, H, W, 2)
        offset[:, 0] = torch.where(inside, center[..., 0] - y, 0.0)
        offset[:, 1] = torch.where(inside, center[..., 1] - x, 0.0)
        weight = torch.where(inside, labels.weight[row], 0.0)
    return Drawn(gaussians(labels, classes, sigma=sigma), offset, weight, inside)


def gaussians(labels, classes, *, sigma):
    """(B, K, H, W) float32: the centre map of `labels`, see `drawn`; classes lie side by side, as the network's do."""
    batch, height, width = labels.number.shape
    device = labels.number.device
    found = torch.zeros(batch * classes * height * width, device=device)
    reach = int(REACH * sigma) + 1
    step = torch.arange(-reach, reach + 1, device=device)
    for part in range(0, len(labels.photo), 256):  # windows of 256 instances at a time bound the memory
        rows = slice(part, part + 256)
        middle = labels.center[rows].round().long()
        y = middle[:, 0, None, None] + step.view(1, -1, 1)
        x = middle[:, 1, None, None] + step.view(1, 1, -1)
        away = (y - labels.center[rows, 0, None, None]) ** 2 + (x - labels.center[rows, 1, None, None]) ** 2
        value = torch.exp(-away / (2 * sigma**2))
        kept = (away <= (REACH * sigma) ** 2) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        photo, column = labels.photo[rows].view(-1, 1, 1), labels.column[rows].view(-1, 1, 1)
        place = ((photo * height + y) * width + x) * classes + column
        found.scatter_reduce_(0, place[kept], value[kept], "amax")
    return found.view(batch, height, width, classes).permute(0, 3, 1, 2)
