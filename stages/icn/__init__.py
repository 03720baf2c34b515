"""icn: peak response maps enhanced to whole instances. Source: ICN, Sec. 3.2, 4.2, 4.6.

`targets` finds what a shard's maps should become, `train` learns it, `run` enhances the maps of a shard. Settings:
config.py.
"""


def targets(inputs, config, job):
    """{"targets": Maps float16, 1 where a map should be, else 0, of the maps' own sizes, in their order} of one shard.

    inputs : index, prm (maps/1), proposals or, with `target: salient`, salient (instances/1). A target of 0 teaches
    nothing.
    """
    import numpy as np

    from stages.icn import target
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances
    from tag2mask.data.maps import Maps, MapsBuilder

    index, maps = Index.load(inputs.index), Maps.load(inputs.prm)
    table = Instances.load(inputs.salient if config.target == "salient" else inputs.proposals)
    of_map, of_table = ({name: k for k, name in enumerate(one.image_id)} for one in (maps, table))
    photos = index.of_shard(job.shard)
    builder = MapsBuilder(np.float16, {"title": "targets of ICN", "normalise": "none"})
    for i in job.progress(photos, total=len(photos), what="targets"):
        name = index.image_id[i]
        categories, given = maps.of(of_map[name])
        if config.target == "salient":
            made = target.salient(table, of_table[name], given)
        else:
            made = target.matched(table, of_table[name], given, most=config.top, keys=config.matching)
        builder.add(name, index.size[i], list(zip(categories, made)))
    found = builder.finish()
    job.count(maps=len(found), without_target=sum(not found.map(k).any() for k in range(len(found))))
    return {"targets": found}


def train(inputs, config, job):
    """{"weights": Weights of kind "icn"}.

    inputs : index, prm and targets (paths of the shards' maps/1). Raises UserError where no map has a target.
    """
    from stages.icn.learn import learn
    from tag2mask.data.index import Index
    from tag2mask.data.maps import Maps

    pairs = (tuple(map(Maps.open, paths)) for paths in zip(listed(inputs.prm), listed(inputs.targets), strict=True))
    return {"weights": learn(Index.load(inputs.index), pairs, config=config, job=job)}


def run(inputs, config, job):
    """{"enhanced": Maps} of one shard, of all training photos without job.shard; a map a peak, in their order.

    inputs : index, prm, weights. float16 at the size at which photos enter, 0 or 1, or in [0, 1] where
    config.threshold is 0. A map of 0 stays one.
    """
    from stages.icn.infer import enhance
    from tag2mask.data.index import Index
    from tag2mask.data.maps import Maps
    from tag2mask.store.weights import Weights

    index = Index.load(inputs.index)
    photos = index.of_shard(job.shard)
    weights = Weights.load(inputs.weights, "icn")
    return {"enhanced": enhance(index, photos, Maps.load(inputs.prm), weights, config=config, job=job)}


def listed(paths):
    """A list of the one path, or of several."""
    from pathlib import Path

    return [paths] if isinstance(paths, str | Path) else list(paths)
