"""U2-Netp by its packaged weights. Source: Qin et al. 2020 (U2-Net) and its published code."""

import functools

import numpy as np

from stages.saliency.packaged import LACKING, weights
from tag2mask.errors import UserError
from tag2mask.learn.crops import resize

SIDE = 320  # of the square that a photo becomes
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB, once it is divided by the photo's largest value


@functools.cache
def session(*, threads):
    """The network as an onnxruntime session on the CPU, one a process. UserError where the package is not installed."""
    path = weights()
    if path is None:
        raise UserError(LACKING)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def saliency(network, photo):
    """(320, 320) float32 in [0, 1], its least value 0 and its largest 1, of cells that tile the photo.

    network : see `session`. photo : (H, W, 3) uint8 RGB. The first of the network's outputs is the fused one.
    """
    (given,) = network.get_inputs()
    fused = network.get_outputs()[0].name
    return unit(network.run([fused], {given.name: entering(photo)})[0][0, 0])


def entering(photo):
    """(1, 3, 320, 320) float32: the photo (H, W, 3) uint8 squashed to a square, over its largest value, normalised."""
    x = resize(photo, (SIDE, SIDE)).astype(np.float32)
    x /= max(x.max(), 1)  # a black photo stays black
    return ((x - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)[None]


def unit(values):
    """Min-max normalised to [0, 1]; a constant map becomes 0."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
