"""Where a photo's saliency comes from."""


def opened(config, *, threads):
    """A function (index, i) -> (h, w) float32 in [0, 1] of photo i, or None where source folder has none.

    threads : of the network. Raises UserError where the packaged weights are not installed.
    """
    if config.source == "rbd":
        from tag2mask.data.saliency import saliency_map

        return lambda index, i: saliency_map(index.photo(i))
    if config.source == "u2netp":
        from stages.saliency import u2netp

        network = u2netp.session(threads=threads)
        return lambda index, i: u2netp.saliency(network, index.photo(i))
    from tag2mask.data.greymaps import read_grey

    return lambda index, i: read_grey(config.path, index.image_id[i], index.size[i], key="saliency.path")
