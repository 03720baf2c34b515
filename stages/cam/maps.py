"""Class maps of one photo: flip and scale averaging, LIID's normalisation, Fan's attention and PRM's responses."""

import numpy as np
import torch
from scipy import special

from tag2mask.learn.crops import network_size, resize


@torch.no_grad()
def class_maps(model, photo, columns, *, side, scales=(1.0,), flip=True):
    """Activation maps of the classes `columns` of one photo, averaged over scales and mirroring, not normalised.

    model : Classifier in evaluation mode. photo : (H, W, 3) uint8 RGB. columns : (n,) int, the model's class columns.
    side : square root of the network input's area at scale 1. Returns two (n, h, w) float32 on the grid of the largest
    scale: the mean of the rectified maps, not negative, and the mean of the maps as they are, any sign, without bias.
    """
    inputs = [network_size(photo.shape[:2], side=side * s, stride=model.stride) for s in sorted(scales, reverse=True)]
    total = None
    for size in inputs:
        batch = resize(photo, size)[None]
        if flip:
            batch = np.concatenate([batch, batch[:, :, ::-1]])
        signed = model(model.backbone.normalise(batch))[1][:, list(columns)]
        maps = torch.stack([signed.clamp(min=0), signed])  # (2, 1 or with its mirror image 2, n, h, w)
        maps = (maps[:, 0] + maps[:, 1].flip(3)) / 2 if flip else maps[:, 0]
        if total is None:
            total = maps
        else:
            total = total + torch.nn.functional.interpolate(maps, total.shape[2:], mode="bilinear", align_corners=False)
    return tuple((total / len(inputs)).float().cpu().numpy())


def normalise(maps):
    """Each map over its own maximum after cutting negative values to 0: (n, h, w) float32 in [0, 1].

    A map without a positive value stays 0. Source: LIID, Sec. 4.2.1 ("normalized into the range of [0, 1]").
    """
    maps = np.maximum(np.asarray(maps, np.float32), 0)
    top = maps.max((1, 2), keepdims=True, initial=0)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)


def attention(maps, bias):
    """Sigmoid of each score map: (n, h, w) float32 in [0, 1], the probability that a pixel is of the class.

    maps : (n, h, w) float, class maps of any sign, averaged over scales and mirroring before the sigmoid. bias : (n,)
    float, the classes' biases; with them the mean of a score map is the classifier's logit. Source: Fan, Sec. 3.1.
    """
    scores = np.asarray(maps, np.float32) + np.asarray(bias, np.float32).reshape(-1, 1, 1)
    return special.expit(scores)


@torch.no_grad()
def responses(model, maps, columns):
    """Class responses, what the head prm has its peaks from: the maps enlarged, plus the classes' biases.

    model : Classifier, which enlarges by its `enlarge`, corners aligned. maps : (n, h, w) float32, any sign, averaged
    over scales and mirroring. columns : (n,) int. Returns (n, h enlarge, w enlarge) float32, in logits. Source: PRM;
    its 1x1 convolution has a bias, so its responses are with it.
    """
    large = model.enlarged(torch.from_numpy(maps)[None])[0]
    return (large + model.bias.cpu()[list(columns), None, None]).numpy()
