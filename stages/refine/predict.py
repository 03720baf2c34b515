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
def predict_photo(model, photo, *, config):
    """Detections of one photo (H, W, 3) uint8 RGB, best first, at most config.detections, empty masks left out.

    Returns (rles: list of n RLE dicts of (H, W), class (n,) int64 in [0, K), score (n,) float32, bbox (n, 4) float32
    x, y, width, height in photo pixels).
    """
    sample = test_sample(photo, config=config)
    (raw,) = model.inference([sample], do_postprocess=False)
    found = detector_postprocess(raw, sample["height"], sample["width"], config.mask_threshold).to("cpu")
    keep = found.pred_masks.flatten(1).any(1)
    found = found[keep]
    boxes = found.pred_boxes.tensor.numpy().copy()
    boxes[:, 2:] -= boxes[:, :2]
    return rle.encode(found.pred_masks.numpy()), found.pred_classes.numpy(), found.scores.numpy(), boxes


def predict_photos(photos, weights, *, config, job, count=None):
    """Instances table of `photos`: an iterable of (image id, (H, W, 3) uint8 RGB).

    config : Config whose Config.TEST are used, or None for those of the weights.
    """
    start(job)
    test = {} if config is None else config.model_dump(include=Config.TEST)
    model, config = load(weights, device=job.device, **test)
    categories = {int(c): name for c, name in weights.meta["categories"].items()}
    ids = np.array(sorted(categories), np.int64)
    table = InstancesBuilder(categories)
    for name, photo in job.progress(photos, total=count, what="Mask R-CNN"):
        rles, classes, scores, boxes = predict_photo(model, photo, config=config)
        table.add(name, photo.shape[:2], rles, category=ids[classes], score=np.clip(scores, 0, 1), bbox=boxes)
    return table.finish()


def predict_index(index, weights, *, config, job):
    """Instances of the validation photos of `index` (Index)."""
    val = index.where("val")
    photos = ((index.image_id[i], index.photo(i)) for i in val)
    table = predict_photos(photos, weights, config=config, job=job, count=len(val))
    job.count(photos=table.images, instances=len(table))
    return table
