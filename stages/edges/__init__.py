"""edges: a boundary map of every photo, by HED or made elsewhere.

`run` makes those of a shard's training photos, `predict` those of the validation photos. Settings: config.py.
"""

import functools


def run(inputs, config, job):
    """{"edges": Maps} of one shard, of all training photos without job.shard.

    inputs : index. One map a photo, category 0, float16 in [0, 1] in steps of 1/255, of cells that tile the photo: of
    the size at which it entered HED, or of the imported map. Raises UserError where source folder lacks a photo.
    """
    from tag2mask.data.index import Index
    from tag2mask.errors import UserError

    index = Index.load(inputs.index)
    photos = index.of_shard(job.shard)
    maps, missing = found(index, photos, config, job)
    if missing:
        raise UserError(f"edges.path, {config.path}, has no {missing[0]}.png; add it or drop the photo.")
    return {"edges": maps}


def predict(inputs, config, job):
    """{"held_out": Maps} of the validation photos, by the same code. inputs : index.

    A photo that source folder lacks has none, with one warning for all of them: nothing is learned from it.
    """
    from tag2mask.data.index import Index

    index = Index.load(inputs.index)
    photos = index.where("val")
    maps, missing = found(index, photos, config, job)
    if missing:
        job.warn(
            f"{len(missing)} of {len(photos)} validation photos have no map in {config.path} (edges.path), "
            f"the first is {missing[0]}; add them, or make all with source: hed."
        )
    return {"held_out": maps}


def found(index, photos, config, job):
    """(Maps, list of the ids that source folder lacks) of `photos`, places in the index."""
    import numpy as np

    from tag2mask.data.greymaps import kept
    from tag2mask.data.maps import MapsBuilder

    if config.source == "folder":
        index.tell_turned(photos, job, f"edge maps in {config.path}")
    source, missing = opened(config, job), []
    builder = MapsBuilder(np.float16, {"title": "edges", "normalise": "none"})
    for i in job.progress(photos, total=len(photos), what="edges"):
        one = source(index, i)
        if one is None:
            missing.append(index.image_id[i])
        builder.add(index.image_id[i], index.size[i], [] if one is None else [(0, kept(one))])
    job.count(photos=len(photos))
    return builder.finish(), missing


def opened(config, job):
    """A function (index, i) -> (h, w) float32 in [0, 1] of photo i, or None where source folder has none.

    Raises UserError where the packaged weights are not installed.
    """
    if config.source == "hed":
        from stages.edges import hed
        from tag2mask.learn.loop import start

        start(job)
        network = hed.packaged()
        network = network.rounded() if config.int8 and str(job.device) == "cpu" else network.to(job.device)
        return lambda index, i: hed.edges(network, index.photo(i), side=config.side)
    from tag2mask.data.greymaps import read_grey

    return lambda index, i: read_grey(config.path, index.image_id[i], index.size[i], key="edges.path")


def alone(photo, section):
    """(h, w) float16 in [0, 1]: the edges of any photo, outside a run, as a store has them: `registry.alone` gives it.

    photo : (H, W, 3) uint8 RGB. section : the stage's keys as a plain dict; those not given are the defaults. Raises
    UserError for source folder, which knows its own photos only.
    """
    from stages.edges.config import Config
    from stages.edges.hed import edges
    from tag2mask.data.greymaps import kept
    from tag2mask.errors import UserError
    from tag2mask.run.config import parse

    config = parse(Config, section, where="edges")
    if config.source == "folder":
        raise UserError(f"edges.path, {config.path}, has no map of a photo of no run; only source hed makes one.")
    return kept(edges(network(int8=config.int8), photo, side=config.side))


@functools.cache
def network(*, int8):
    """HED for `alone`, which is called photo by photo, on the CPU; read once a process."""
    from stages.edges import hed
    from tag2mask.learn import memory

    memory.hold()
    return hed.packaged().rounded() if int8 else hed.packaged()
