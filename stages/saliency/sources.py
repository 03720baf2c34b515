"""Where a photo's saliency comes from, and its salient instances."""

import functools

import numpy as np

from stages.saliency.components import salient_components
from tag2mask.data import rle
from tag2mask.data.greymaps import kept
from tag2mask.data.scale import LARGEST, scaled_down, size_within


def opened(config, *, threads):
    """A function (index, i) -> (saliency (h, w) float16 in [0, 1], masks, n RLE dicts, score (n,)) of photo i.

    It gives None for a photo that a folder or file lacks. Instances are best first, see `salient_components` (source
    instances: in the order of the file's scores); score : their area, as a share of the photo, times their mean
    saliency. threads : of the network. Raises UserError where the packaged weights are not installed.
    """
    if config.source == "instances":
        return imported(config)
    look = maps(config, threads=threads)

    def seen(index, i):
        found = look(index, i)
        return None if found is None else described(found, tuple(index.size[i].tolist()), config)

    return seen


def described(saliency, size, config):
    """(the map as it is stored, masks, score) of a photo of `size` (H, W); the instances follow from what is stored."""
    saliency = kept(saliency)
    masks, score = salient_components(
        saliency, size_within(size, LARGEST), threshold=config.threshold, least_area=config.least_area, keep=config.keep
    )
    return saliency, rle.scaled(rle.encode(masks), size), score


def imported(config):
    """The same for source instances: the file's best ones of at least `least_area`; the map is 1 on them, else 0."""
    from tag2mask.data.coco_rle import coco_rle

    read = coco_rle(config.path, section="saliency")

    def seen(index, i):
        size = tuple(index.size[i].tolist())
        found = read(index.image_id[i], size)
        if found is None:
            return None
        share = np.asarray(rle.area(found), float) / (size[0] * size[1])
        best = np.flatnonzero(share >= config.least_area)[: config.keep]
        masks = [found[k] for k in best]
        return rle.decode(masks, size, within=LARGEST).any(0).astype(np.float16), masks, share[best]

    return seen


def maps(config, *, threads):
    """A function (index, i) -> (h, w) float32 in [0, 1] of photo i, or None where source folder has none."""
    if config.source != "folder":
        make = maker(config, threads=threads)
        return lambda index, i: make(index.photo(i))
    from tag2mask.data.greymaps import read_grey

    def look(index, i):
        found = read_grey(config.path, index.image_id[i], index.size[i], key="saliency.path")
        return None if found is None else scaled_down(found, size_within(found.shape, LARGEST))

    return look


def maker(config, *, threads):
    """A function photo (H, W, 3) uint8 RGB -> (h, w) float32 in [0, 1], for rbd or u2netp."""
    if config.source == "rbd":
        from tag2mask.data.saliency import saliency_map

        return functools.partial(
            saliency_map, size=config.rbd_size, superpixels=config.rbd_superpixels, sigma_colour=config.rbd_colour,
            sigma_border=config.rbd_border, sigma_place=config.rbd_place, smooth=config.rbd_smooth,
        )  # fmt: skip
    from stages.saliency import u2netp

    return functools.partial(u2netp.saliency, u2netp.session(threads=threads))
