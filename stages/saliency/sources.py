"""Where a photo's saliency comes from."""

import functools


def opened(config, *, threads):
    """A function (index, i) -> (h, w) float32 in [0, 1] of photo i, or None where source folder has none.

    threads : of the network. Raises UserError where the packaged weights are not installed.
    """
    if config.source != "folder":
        make = maker(config.source, threads=threads)
        return lambda index, i: make(index.photo(i))
    from tag2mask.data.greymaps import read_grey

    return lambda index, i: read_grey(config.path, index.image_id[i], index.size[i], key="saliency.path")


def maker(source, *, threads):
    """A function photo (H, W, 3) uint8 RGB -> (h, w) float32 in [0, 1], for rbd or u2netp."""
    if source == "rbd":
        from tag2mask.data.saliency import saliency_map

        return saliency_map
    from stages.saliency import u2netp

    return functools.partial(u2netp.saliency, u2netp.session(threads=threads))
