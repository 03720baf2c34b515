"""f of a proposal: the backbone's features in its box, RoI-aligned and averaged (LIID, Sec. 4.1)."""

import cv2
import numpy as np
import torch
from torchvision.ops import roi_align


def entering(photo, size):
    """The photo resized so that its area is size x size pixels, sides at least 32. (H, W, 3) uint8 in and out."""
    height, width = photo.shape[:2]
    factor = size / np.sqrt(height * width)
    new = (max(32, round(width * factor)), max(32, round(height * factor)))
    return cv2.resize(photo, new, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def pooled(feature_map, boxes, *, size, bins):
    """(n, D) float32 at unit length: the mean over RoI-aligned bins of each box.

    feature_map : (1, D, h, w) float32 tensor of one photo. boxes : (n, 4) float x, y, width, height in photo pixels.
    size : (H, W) of the photo. bins : per side. The length is divided out, since LIID's Eq. 10 looks at the cosine
    alone and float16 then holds every backbone; features that are all 0 stay 0.
    """
    height, width = feature_map.shape[2:]
    x, y, w, h = np.asarray(boxes, np.float64).T
    corners = np.stack([x, y, x + w, y + h], 1) * np.array([width / size[1], height / size[0]] * 2)
    rois = torch.from_numpy(corners.astype(np.float32)).to(feature_map.device)
    aligned = roi_align(feature_map, [rois], bins, sampling_ratio=2, aligned=True)
    f = aligned.mean((2, 3))
    return f / f.norm(dim=1, keepdim=True).clamp_min(1e-12)
