"""fuse: the instances of several recipes for the same photo become one set that explains its tags.

What recipes say is weighed without any mask (worth.py) and chosen from by a small exact program (program.py).
"""


def run(inputs, config, job):
    """{"instances": Instances} of one shard, score = the probability that it is an object, best first; with void.

    Without job.shard: of all photos that get labels.

    inputs : index; instances of the sources that the variant names in `from` (`stage.SOURCES`); cam, semantic,
    saliency and edges (maps/1) likewise. A photo that a source lacks, or where it has none, is explained by the others.
    """
    import numpy as np

    from stages.fuse.photo import fused
    from stages.fuse.stage import MAPS, SOURCES
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances, InstancesBuilder
    from tag2mask.data.maps import Maps

    index = Index.load(inputs.index)
    named = [word for word in SOURCES if getattr(inputs, word, None)]
    tables = [Instances.open(getattr(inputs, word)) for word in named]
    maps = {word: Maps.load(getattr(inputs, word)) for word in MAPS if getattr(inputs, word, None)}
    places = [{name: k for k, name in enumerate(table.image_id)} for table in (*tables, *maps.values())]
    photos = index.of_shard(job.shard)
    builder, counts = InstancesBuilder(index.categories), np.zeros(len(named) + 1, int)
    for i in job.progress(photos, total=len(photos), what="fuse"):
        name = index.image_id[i]
        at = [place.get(name) for place in places]
        seen = {word: one.of(k) for (word, one), k in zip(maps.items(), at[len(tables) :]) if k is not None}
        found = fused(tables, at[: len(tables)], index.tags(i), named=named, maps=seen, config=config)
        builder.add(
            name, index.size[i], found.rles, category=found.category, score=found.score, void=found.void
        )  # fmt: skip
        counts += np.bincount(found.source + 1, minlength=len(counts))
    instances = builder.finish()
    job.count(photos=len(photos), instances=len(instances), **dict(zip(["consensus", *named], counts.tolist())))
    if len(photos) and not len(instances):
        job.warn("No photo got an instance: its sources have none of its tags, or none that is worth fuse.price.")
    return {"instances": instances}
