"""Inference of a trained DeepLab, one photo at a time, in the photo's own pixels."""

import numpy as np
import torch
from torch.nn import functional

from stages.segment import network
from stages.segment.config import Config
from stages.segment.data import entering
from tag2mask.data.labelmaps import VOID
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.scale import LARGEST, resized, size_within
from tag2mask.learn.backbone import normalise
from tag2mask.learn.crops import resize
from tag2mask.learn.loop import start
from tag2mask.learn.photos import read_ahead


def load(weights, *, device="cpu", **test):
    """(model in evaluation mode on `device`, its Config) from Weights of kind "segment"; test: values of Config.TEST.

    Raises UserError when the tensors are not those of the network that the file describes.
    """
    config = Config.model_validate({**weights.meta["config"], **test, "weights": "none"})
    model, _, _ = network.build(config, len(weights.meta["categories"]) + 1)
    weights.fill(model)
    return model.to(device).eval(), config


@torch.no_grad()
def label_photo(model, photo, *, size, config, mean, std):
    """(H, W) uint8 class numbers, at its own `size`, of one photo (h, w, 3) uint8 RGB: 0 background, k the k-th class.

    Probabilities are averaged over config.test_scales and, with config.test_flip, the mirrored photo. Of equal
    probabilities the smaller number counts.
    """
    device = next(model.parameters()).device
    given = photo.shape[:2]
    grid = entering(given, scale=1.0, max_side=config.max_side, stride=config.output_stride)
    total = 0
    for scale in config.test_scales:
        inside = entering(given, scale=scale, max_side=config.max_side, stride=config.output_stride)
        x = normalise(resize(photo, inside)[None], mean, std, device=device)
        found = model(x)["out"].softmax(1)
        if config.test_flip:
            found = found + model(x.flip(3))["out"].softmax(1).flip(3)
        total = total + scaled(found, grid)
    label = best_class(total[0], size_within([int(side) for side in size], LARGEST)).cpu().numpy()
    return resized(label, tuple(map(int, size)))


def scaled(maps, size):
    """(1, C, h, w) float32 at `size`, bilinear, cell areas kept in place."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def best_class(maps, size):
    """(H, W) uint8: the number of the largest of maps (C, h, w) after scaling to `size`; class by class, so that a
    large photo needs the memory of two classes."""
    best = scaled(maps[None, :1], size)[0, 0]
    label = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
    for c in range(1, len(maps)):
        one = scaled(maps[None, c : c + 1], size)[0, 0]
        label[one > best] = c
        best = torch.maximum(best, one)
    return label


def label_photos(photos, weights, *, config, job, count=None):
    """Yields (image id, photo, (H, W) uint8 category ids, 0 background) of `photos`: an iterable of (id, photo
    (h, w, 3), its own size (H, W)).

    config : Config whose Config.TEST are used, or None for those of the weights.
    """
    start(job)
    test = {} if config is None else config.model_dump(include=Config.TEST)
    model, config = load(weights, device=job.device, **test)
    ids = np.array([0, *sorted(map(int, weights.meta["categories"]))], np.uint8)
    for name, photo, size in job.progress(photos, total=count, what="DeepLab"):
        found = label_photo(model, photo, size=size, config=config, mean=weights.meta["mean"], std=weights.meta["std"])
        yield name, photo, ids[found]


def builder(weights):
    """A MapsBuilder for label maps as the stage `semantic` writes them, with the names of the classes."""
    return MapsBuilder(np.uint8, {"background": 0, "ignore": VOID, "categories": weights.meta["categories"]})


def predict_index(index, weights, *, config, job):
    """Maps (uint8, one a photo, category ids) of the validation photos of `index` (Index)."""
    val = index.where("val")
    photos = ((index.image_id[i], photo, index.size[i]) for i, photo in read_ahead(index, val, job))
    maps, background, pixels = builder(weights), 0, 0
    for name, _, label in label_photos(photos, weights, config=config, job=job, count=len(val)):
        maps.add(name, label.shape, [(0, label)])
        background, pixels = background + int((label == 0).sum()), pixels + label.size
    job.count(photos=len(val), background=round(background / max(1, pixels), 4))
    return maps.finish()
