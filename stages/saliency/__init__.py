"""saliency: how much each pixel of a photo stands out, whatever it is, and the parts that do: salient instances.

`run` makes those of a shard's training photos, `predict` those of the validation photos. Settings: config.py.
"""


def run(inputs, config, job):
    """{"saliency": Maps, "salient": Instances} of one shard, of all training photos without job.shard.

    inputs : index. One map a photo, category 0, float16 in [0, 1] in steps of 1/255, of the photo's size within 2,048
    pixels (u2netp: 320 x 320 cells that tile the photo). Instances: category 0, best first, see sources.py. Raises
    UserError where what is made elsewhere lacks a photo.
    """
    from tag2mask.data.index import Index
    from tag2mask.errors import UserError

    index = Index.load(inputs.index)
    photos = index.of_shard(job.shard)
    maps, instances, missing = seen(index, photos, config, job)
    if missing:
        lacks = f"{missing[0]}.png" if config.source == "folder" else f"entry of the photo {missing[0]}"
        raise UserError(f"saliency.path, {config.path}, has no {lacks}; add it or drop the photo.")
    return {"saliency": maps, "salient": instances}


def predict(inputs, config, job):
    """{"held_out": Maps, "held_out_salient": Instances} of the validation photos, by the same code. inputs : index.

    A photo that a folder or file lacks has none, with one warning for all of them: nothing is learned from it.
    """
    from tag2mask.data.index import Index

    index = Index.load(inputs.index)
    photos = index.where("val")
    maps, instances, missing = seen(index, photos, config, job)
    if missing:
        job.warn(
            f"{len(missing)} of {len(photos)} validation photos have no map in {config.path} (saliency.path), "
            f"the first is {missing[0]}; add them, or make all with source: rbd."
        )
    return {"held_out": maps, "held_out_salient": instances}


def seen(index, photos, config, job):
    """(Maps, Instances, list of the ids that a folder or file lacks) of `photos`, places in the index."""
    import numpy as np

    from stages.saliency.sources import opened
    from tag2mask.data.instances import InstancesBuilder
    from tag2mask.data.maps import MapsBuilder

    if config.source in ("folder", "instances"):
        index.tell_turned(photos, job, f"saliency in {config.path}")
    look, missing = opened(config, threads=job.threads), []
    maps, instances = MapsBuilder(np.float16, {"title": "saliency", "normalise": "none"}), InstancesBuilder({})
    for i in job.progress(photos, total=len(photos), what="saliency"):
        name, size = index.image_id[i], tuple(index.size[i].tolist())
        found = look(index, i)
        if found is None:
            missing.append(name)
        saliency, masks, score = found or (None, [], [])
        maps.add(name, size, [] if saliency is None else [(0, saliency)])
        instances.add(name, size, masks, category=0, score=score)
    table = instances.finish()
    job.count(photos=len(photos), salient=len(table), photos_without=int((np.diff(table.first) == 0).sum()))
    return maps.finish(), table, missing


def alone(photo, section):
    """(masks (n, H, W) bool, score (n,) float64): the salient instances of any photo, outside a run, best first:
    `registry.alone` gives it.

    photo : (H, W, 3) uint8 RGB. section : the stage's keys as a plain dict; those not given are the defaults. Raises
    UserError for sources that know their own photos only.
    """
    from stages.saliency import sources
    from stages.saliency.config import Config
    from tag2mask.data import rle
    from tag2mask.errors import UserError
    from tag2mask.run.config import parse

    config = parse(Config, section, where="saliency")
    if config.source in ("folder", "instances"):
        raise UserError(f"saliency.path, {config.path}, has nothing of a photo of no run; only rbd and u2netp make it.")
    _, masks, score = sources.described(sources.maker(config, threads=1)(photo), photo.shape[:2], config)
    return rle.decode(masks, photo.shape[:2]), score
