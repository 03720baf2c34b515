"""Inference of a trained Mask R-CNN, one photo at a time, in the photo's own pixels."""

from stages.refine import detectron  # isort: skip  # noqa: F401  before the first import of detectron2

import numpy as np
import torch
from detectron2.modeling import detector_postprocess

from stages.refine import model as networks
from stages.refine.config import Config
from stages.refine.data import test_sample
from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder
from tag2mask.learn.loop import start
from tag2mask.learn.photos import read_ahead

PASTED = 2**26  # pixels of masks that are in memory together


def load(weights, *, device="cpu", **test):
    """(model in evaluation mode on `device`, its Config) from Weights of kind "refine"; test: values of Config.TEST.

    Raises UserError when the tensors are not those of the network that the file describes.
    """
    config = Config.model_validate({**weights.meta["config"], **test, "weights": "none"})
    model = networks.build(config, len(weights.meta["categories"]))
    weights.fill(model)
    networks.set_pixels(model, mean=weights.meta["pixel_mean"], std=weights.meta["pixel_std"])
    return model.to(device).eval(), config


@torch.no_grad()
def predict_photo(model, photo, *, size, config):
    """Detections of one photo (h, w, 3) uint8 RGB, best first, at most config.detections, empty masks left out.

    size : (H, W) of the photo itself, where (h, w) may be less. Returns (rles: list of n RLE dicts of (H, W), class
    (n,) int64 in [0, K), score (n,) float32, bbox (n, 4) float32 x, y, width, height in pixels of (H, W)).
    """
    height, width = map(int, size)
    (raw,) = model.inference([test_sample(photo, config=config)], do_postprocess=False)
    rles, classes, scores, boxes = [], [], [], []
    together = max(1, PASTED // (height * width))
    for k in range(0, max(1, len(raw)), together):
        found = detector_postprocess(raw[k : k + together], height, width, config.mask_threshold).to("cpu")
        found = found[found.pred_masks.flatten(1).any(1)]
        rles += rle.encode(found.pred_masks.numpy())
        classes.append(found.pred_classes.numpy())
        scores.append(found.scores.numpy())
        boxes.append(found.pred_boxes.tensor.numpy().copy())
    boxes = np.concatenate(boxes)
    boxes[:, 2:] -= boxes[:, :2]
    return rles, np.concatenate(classes), np.concatenate(scores), boxes


def predict_photos(photos, weights, *, config, job, count=None):
    """Instances table of `photos`: an iterable of (image id, (h, w, 3) uint8 RGB, its own size (H, W)).

    config : Config whose Config.TEST are used, or None for those of the weights.
    """
    start(job)
    test = {} if config is None else config.model_dump(include=Config.TEST)
    model, config = load(weights, device=job.device, **test)
    categories = {int(c): name for c, name in weights.meta["categories"].items()}
    ids = np.array(sorted(categories), np.int64)
    table = InstancesBuilder(categories)
    for name, photo, size in job.progress(photos, total=count, what="Mask R-CNN"):
        rles, classes, scores, boxes = predict_photo(model, photo, size=size, config=config)
        table.add(name, size, rles, category=ids[classes], score=np.clip(scores, 0, 1), bbox=boxes)
    return table.finish()


def predict_index(index, weights, *, config, job):
    """Instances of the validation photos of `index` (Index)."""
    val = index.where("val")
    photos = ((index.image_id[i], photo, index.size[i]) for i, photo in read_ahead(index, val, job))
    table = predict_photos(photos, weights, config=config, job=job, count=len(val))
    job.count(photos=table.images, instances=len(table))
    return table
