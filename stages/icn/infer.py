"""Testing of ICN: every map goes through the network several times (ICN, Sec. 3.2, 4.6)."""

import numpy as np
import torch

from stages.icn.config import Config
from stages.icn.network import build
from tag2mask.data.maps import MapsBuilder
from tag2mask.learn.ahead import Ahead
from tag2mask.learn.crops import network_size, resize
from tag2mask.learn.loop import start, workers_of
from tag2mask.run.config import parse

AT_ONCE = 16  # maps of a photo that go through the network together


def load(weights, *, device="cpu"):
    """The model in evaluation mode on `device`. weights : Weights of kind "icn"; UserError where they do not fit."""
    config = parse(Config, {**weights.meta["config"], "weights": "none"}, where="the weights' icn")
    model = build(config)
    weights.fill(model)
    model.backbone.mean, model.backbone.std = tuple(weights.meta["mean"]), tuple(weights.meta["std"])
    return model.to(device).eval()


def enhance(index, photos, maps, weights, *, config, job):
    """Maps of `photos` (places in `index`), see `stages.icn.run`. maps : Maps of `prm`."""
    start(job)
    model = load(weights, device=job.device)
    place = {name: k for k, name in enumerate(maps.image_id)}
    builder = MapsBuilder(np.float16, {"title": "enhanced PRM", "normalise": "maximum"})
    given = [maps.of(place[index.image_id[i]]) for i in photos]

    def photo(t):
        return index.photo(photos[t]) if len(given[t][0]) else None

    with Ahead(photo, iterations=len(photos), workers=workers_of(job)) as photo_of:
        for t in job.progress(range(len(photos)), total=len(photos), what="ICN"):
            categories, naive = given[t]
            shown = photo_of(t)
            found = [] if shown is None else enhanced_maps(model, shown, naive, config=config)
            builder.add(index.image_id[photos[t]], index.size[photos[t]], list(zip(categories, found)))
    made = builder.finish()
    job.count(photos=len(photos), maps=len(made))
    return made


@torch.no_grad()
def enhanced_maps(model, photo, naive, *, config):
    """(P, h, w) float32 in [0, 1] numpy: the maps of one photo after `config.steps` steps, each fed with the last.

    photo : (H, W, 3) uint8 RGB. naive : P arrays (h', w'). (h, w) is the size at which the photo enters. A map is
    min-max normalised before every step and after the last (Sec. 4.6); with a threshold the last is 1 from it on.
    """
    size = network_size(photo.shape[:2], side=config.side, stride=32)
    x = model.backbone.normalise(resize(photo, size)[None])
    found = []
    for part in (naive[k : k + AT_ONCE] for k in range(0, len(naive), AT_ONCE)):
        maps = torch.from_numpy(np.array(part, np.float32)).to(x.device)
        maps = unit(torch.nn.functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0])
        seen = maps.amax((1, 2), keepdim=True) > 0
        for _ in range(config.steps):
            maps = unit(model(x.expand(len(maps), -1, -1, -1), maps).sigmoid())
        if config.threshold:
            maps = (maps >= config.threshold).float()
        found.append((maps * seen).cpu().numpy())
    return np.concatenate(found)


def unit(maps):
    """Maps (P, h, w) min-max normalised, each by itself; a constant one becomes 0."""
    low = maps.amin((1, 2), keepdim=True)
    reach = maps.amax((1, 2), keepdim=True) - low
    return torch.where(reach > 0, (maps - low) / reach, 0)
