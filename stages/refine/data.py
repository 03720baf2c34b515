"""From photos and instance masks to what Mask R-CNN takes: scaling, flip, boxes. No I/O.

Coordinates here are detectron2's: boxes x0, y0, x1, y1 in pixels of the scaled photo, edges at whole numbers.
"""

from stages.refine import detectron  # isort: skip  # noqa: F401  before the first import of detectron2

import numpy as np
import torch
from detectron2.structures import BitMasks, Boxes
from detectron2.structures import Instances as Targets
from PIL import Image

from tag2mask.data.scale import resized
from tag2mask.learn.device import moved


def scaled_size(size, short_side, max_side):
    """(h, w) whose shorter side is `short_side`, the longer at most `max_side`, aspect kept up to rounding; det2."""
    scale = min(short_side / min(size), max_side / max(size))
    return tuple(max(1, int(n * scale + 0.5)) for n in size)


def scaled_photo(photo, size):
    """photo : (H, W, 3) uint8 RGB, not modified. Returns (3, h, w) uint8, anti-aliased bilinear."""
    if photo.shape[:2] != tuple(size):
        photo = np.asarray(Image.fromarray(photo).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)))


def scaled_masks(masks, size):
    """masks : (n, H, W) bool. Returns (n, h, w) bool, nearest pixel by centres."""
    if masks.shape[1:] == tuple(size):
        return masks
    new = np.zeros((len(masks), *size), bool)
    for k, mask in enumerate(masks):
        new[k] = resized(mask.view(np.uint8), size)
    return new


def training_sample(photo, masks, classes, *, config, rng, weights=None, hidden=None):
    """One photo with its objects, scaled and perhaps flipped at random.

    photo : (H, W, 3) uint8 RGB. masks : (n, H, W) bool. classes : (n,) int in [0, K). rng : np.random.Generator.
    weights : (n,) float32, how much each object counts, or None. hidden : (H, W) bool, where an object may be that is
    none of these, or None.
    Returns {"image": (3, h, w) uint8, "instances": detectron2 Instances with gt_boxes, gt_classes, gt_masks,
    and gt_weight where weights are given, "hidden": (h, w) bool where it is given}; objects that vanish when scaled are
    left out.
    """
    short_side = config.short_side[rng.integers(len(config.short_side))]
    flip = rng.random() < config.flip
    size = scaled_size(photo.shape[:2], short_side, config.max_side)
    image, masks = scaled_photo(photo, size), scaled_masks(masks, size)
    if flip:
        image, masks = image.flip(2), masks[:, :, ::-1]
    seen = masks.any(axis=(1, 2))
    bits = BitMasks(torch.from_numpy(np.ascontiguousarray(masks[seen])))
    targets = Targets(size)
    targets.gt_boxes = boxes_of(masks[seen])
    targets.gt_classes = torch.as_tensor(np.asarray(classes)[seen], dtype=torch.int64)
    targets.gt_masks = bits
    if weights is not None:
        targets.gt_weight = torch.as_tensor(np.asarray(weights, np.float32)[seen])
    if hidden is None:
        return {"image": image, "instances": targets}
    hidden = torch.from_numpy(scaled_masks(hidden[None], size)[0])
    return {"image": image, "instances": targets, "hidden": hidden.flip(1) if flip else hidden}


def on_device(sample, device):
    """A `training_sample` on `device`; detectron2, which moves it too, waits for the copy of every field."""
    targets = Targets(sample["instances"].image_size)
    for name, value in sample["instances"].get_fields().items():
        tensor = isinstance(value, torch.Tensor)
        targets.set(name, moved(value, device) if tensor else type(value)(moved(value.tensor, device)))
    maps = {name: moved(value, device) for name, value in sample.items() if name != "instances"}
    return {**maps, "instances": targets}


def boxes_of(masks):
    """Tight Boxes (n, 4) of non-empty masks (n, h, w) bool."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for k, mask in enumerate(masks):
        y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes[k] = x[0], y[0], x[-1] + 1, y[-1] + 1
    return Boxes(torch.from_numpy(boxes))


def test_sample(photo, *, config):
    """One photo for inference: {"image": (3, h, w) uint8, "height": H, "width": W of `photo`}."""
    size = scaled_size(photo.shape[:2], config.test_short_side, config.max_side)
    return {"image": scaled_photo(photo, size), "height": photo.shape[0], "width": photo.shape[1]}
