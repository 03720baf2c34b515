"""f of a proposal: the backbone's features in its box (LIID, Sec. 4.1), or of the box cut out (Fan, Sec. 3.2)."""

import math

import cv2
import numpy as np
import torch
from torchvision.ops import roi_pool

from tag2mask.learn.crops import resize
from tag2mask.learn.device import moved


def entering(photo, size, *, stride=1):
    """The photo resized so that its area is size x size pixels. (H, W, 3) uint8 in and out.

    Sides are rounded to multiples of `stride`, so that the feature map's cells tile the photo; at least 32.
    """
    factor = size / math.sqrt(photo.shape[0] * photo.shape[1])
    least = math.ceil(32 / stride)
    height, width = (max(least, round(side * factor / stride)) * stride for side in photo.shape[:2])
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def pooled(feature_maps, shares, *, bins, kind):
    """(N, D): RoI pooling of each box, then the mean over its bins x bins values; rows in the photos' order.

    feature_maps : (B, D, h, w). shares : list of B (n, 4) float tensors on the CPU, see `corners`. kind : "pool" or
    "align".
    Source: LIID, Sec. 4.1.
    """
    height, width = feature_maps.shape[2:]
    scale, device = torch.tensor([width, height, width, height], dtype=torch.float32), feature_maps.device
    cells = [one.float() * scale for one in shares]
    if kind == "pool":
        boxes = [moved(nearest_cells(one, height, width), device) for one in cells]
        return roi_pool(feature_maps, boxes, bins).mean((2, 3))
    rows = []
    for one, feature_map in zip((moved(one, device) for one in cells), feature_maps):
        across = sample_weights(one[:, 0], one[:, 2], bins=bins, cells=width)
        down = sample_weights(one[:, 1], one[:, 3], bins=bins, cells=height)
        weight = (down[:, :, None] * across[:, None, :]).flatten(1)  # (n, h w)
        rows.append(weight @ feature_map.permute(1, 2, 0).reshape(height * width, -1))
    return torch.cat(rows)


def nearest_cells(cells, height, width):
    """(n, 4) first and last column and row that a box in cells covers: its edges at the nearest border of cells.

    Fast R-CNN's rounding, with cell k being the interval [k, k + 1]; a thin box has one row or column.
    """
    top = torch.tensor([width - 1, height - 1], dtype=cells.dtype)
    low = torch.minimum((cells[:, :2] + 0.5).floor(), top)
    high = torch.maximum((cells[:, 2:] + 0.5).floor() - 1, low)
    return torch.cat([low, high], 1)


def sample_weights(start, stop, *, bins, cells):
    """(n, cells) weights, rows sum to 1: RoIAlign (two samples a bin and axis) and the mean over bins in one.

    start, stop : (n,) in cells. Bilinear interpolation and means are products of one factor per axis, so the mean over
    all bins is a weighted mean of cells: one matrix product where torchvision's kernel visits every sample.
    """
    step = (torch.arange(2 * bins, device=start.device) + 0.5) / (2 * bins)
    at = (start[:, None] + (stop - start)[:, None] * step - 0.5).clamp(0, cells - 1)  # (n, 2 bins), centres at integers
    centre = torch.arange(cells, device=start.device)
    return (1 - (at[:, :, None] - centre).abs()).clamp_min(0).mean(1)


def crops(photo, boxes, size):
    """(n, size, size, 3) uint8: what the boxes (n, 4) x, y, width, height show of the photo, resized to squares.

    Edges are rounded outwards and clipped to the photo; at least one pixel. Source: Fan, Sec. 3.2.
    """
    limit = np.array([photo.shape[1], photo.shape[0]])
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    low = np.clip(np.floor(boxes[:, :2]), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(boxes[:, :2] + boxes[:, 2:]), low + 1, limit).astype(int)
    parts = [photo[y0:y1, x0:x1] for (x0, y0), (x1, y1) in zip(low, high)]
    squares = [resize(part, (size, size)) for part in parts]
    return np.stack(squares) if squares else np.zeros((0, size, size, 3), np.uint8)


@torch.no_grad()
def crop_features(net, photo, boxes, *, size, batch=16):
    """(n, D): the backbone's map of each cut-out box, averaged over the map. net : Backbone. Source: Fan, Sec. 3.2."""
    squares = crops(photo, boxes, size)
    parts = [
        net(net.normalise(squares[k : k + batch]), placed=False)[-1].mean((2, 3)) for k in range(0, len(squares), batch)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, net.channels[-1])


def unit(f):
    """Rows (n, D) at unit length; rows of 0 stay 0.

    LIID's Eq. 10 and Fan's Eq. 5 look at the cosine alone, and float16 then holds the features of every backbone.
    """
    return f / f.norm(dim=1, keepdim=True).clamp_min(1e-12)
