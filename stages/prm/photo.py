"""The peak response maps of one photo, at the size that is stored."""

import torch

from stages.prm.backpropagation import responses, starts, traced
from tag2mask.errors import UserError
from tag2mask.learn.crops import network_size, resize
from tag2mask.learn.transformer import PatchMaps


def peak_maps(model, photo, yx, columns, *, of, size, side, at_once):
    """(P, h, w) float32 numpy in [0, 1]: a map of each peak, over its maximum; 0 where nothing gets back.

    model : Classifier in evaluation mode. photo : (H, W, 3) uint8 RGB. yx : (P, 2) int, pixels of the photo at its own
    size `of`. columns : (P,) int, the model's class columns. size : square root of the area at which the photo enters.
    side : that of the maps' own area, which is never more. at_once : see `responses`. Raises UserError where the
    network has attention in place of convolutions, of which PRM says nothing.
    """
    if isinstance(model.backbone.net, PatchMaps):
        raise UserError(
            f"prm goes back through convolutions, which {model.backbone.name} has not: train the classifier on a "
            "backbone that has, as resnet50."
        )
    entering = network_size(photo.shape[:2], side=size, stride=model.stride)
    x = model.backbone.normalise(resize(photo, entering)[None]).contiguous()
    x, maps = traced(lambda x: model(x)[1], x)
    start = starts(yx, columns, of, maps.shape[1:])
    kept = tuple(min(pair) for pair in zip(entering, network_size(photo.shape[:2], side=side, stride=1)))
    found = [
        torch.nn.functional.interpolate(responses(x, maps, part, at_once=at_once)[:, None], kept, mode="area")[:, 0]
        for part in start.split(at_once)
    ]
    small = torch.cat(found)
    top = small.amax((1, 2), keepdim=True)
    return torch.where(top > 0, small / top, 0).cpu().numpy()
