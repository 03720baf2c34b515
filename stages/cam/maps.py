"""Class maps of one photo: flip and scale averaging, LIID's normalisation, Fan's attention and PRM's responses."""

import numpy as np
import torch
from scipy import special

from tag2mask.learn.ahead import Ahead
from tag2mask.learn.crops import network_size, resize
from tag2mask.learn.photos import alike


@torch.no_grad()
def class_maps(model, photos, columns, *, side, scales=(1.0,), flip=True, at_once=1):
    """Activation maps of some classes of each photo, averaged over scales and mirroring, not normalised.

    model : Classifier in evaluation mode. photos : B arrays (H, W, 3) uint8 RGB of one size. columns : B lists of n
    int, the model's class columns. side : square root of the network input's area at scale 1. at_once : so many images,
    photos and their mirror images, go through the network together. Returns B pairs of (n, h, w) float32 on the grid of
    the largest scale: the mean of the rectified maps, not negative, and the mean of the maps as they are, any sign,
    without bias.
    """
    sides = [side * scale for scale in sorted(scales, reverse=True)]
    sizes = [network_size(photos[0].shape[:2], side=one, stride=model.stride) for one in sides]
    used = sorted({column for some in columns for column in some})
    total = None
    for size in sizes:
        batch = np.stack([resize(photo, size) for photo in photos])
        if flip:
            batch = np.concatenate([batch, batch[:, :, ::-1]])
        parts = (batch[k : k + at_once] for k in range(0, len(batch), at_once))
        signed = torch.cat([model(model.backbone.normalise(part))[1][:, used] for part in parts])
        maps = torch.stack([signed.clamp(min=0), signed])  # (2, B or with their mirror images 2 B, n, h, w)
        if flip:
            maps = (maps[:, : len(photos)] + maps[:, len(photos) :].flip(4)) / 2
        if total is None:
            total = maps
        else:
            grid = total.shape[3:]
            more = torch.nn.functional.interpolate(maps.flatten(0, 1), grid, mode="bilinear", align_corners=False)
            total = total + more.unflatten(0, maps.shape[:2])
    total = (total / len(sizes)).float().cpu().numpy()
    return [tuple(total[:, b][:, [used.index(c) for c in some]]) for b, some in enumerate(columns)]


def photo_maps(index, photos, model, columns, *, at_once, workers, **keys):
    """Yields (t, `class_maps` of photos[t]) of all of `photos` (places in the index) with a class, those of one size
    together.

    columns : for every one of `photos` a list of int. keys : of `class_maps`. workers : see `Ahead`.
    """
    groups = alike([tuple(index.size[i]) if some else None for i, some in zip(photos, columns)], most=at_once)

    def load(g):
        return [index.photo(photos[t]) for t in groups[g]]

    with Ahead(load, iterations=len(groups), workers=workers) as loaded:
        for g, group in enumerate(groups):
            chosen = [columns[t] for t in group]
            yield from zip(group, class_maps(model, loaded(g), chosen, at_once=at_once, **keys))


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
