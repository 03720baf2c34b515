"""match: the proposal that fits a peak's response map best is an instance (PRM, retrieval; ICN, Algorithm 1)."""


def run(inputs, config, job):
    """{"instances": Instances, "merged": Maps float16 in [0, 1], one an instance} of one shard, best first.

    Without job.shard: of all training photos.

    inputs : index, prm or, with `maps: icn`, enhanced (maps/1), proposals (instances/1) and, with `background_of:
    class`, cam (maps/1). Instances have
    the classes of their peaks; their scores are bounded, see `bounded`. A merged map is that of the instance's peak
    and of the peaks that it took in, over its maximum.
    """
    import numpy as np

    from stages.match.photo import matched
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances, InstancesBuilder
    from tag2mask.data.maps import Maps, MapsBuilder
    from tag2mask.data.scores import bounded

    index, proposals = Index.load(inputs.index), Instances.load(inputs.proposals)
    maps = Maps.load(inputs.prm if config.maps == "prm" else inputs.enhanced)
    cam = Maps.load(inputs.cam) if config.background_of == "class" else None
    places = [{name: k for k, name in enumerate(store.image_id)} for store in (proposals, maps, cam or maps)]
    photos = index.of_shard(job.shard)
    builder = InstancesBuilder(index.categories)
    merged = MapsBuilder(np.float16, {"title": "merged PRM", "normalise": "maximum"})
    for i in job.progress(photos, total=len(photos), what="match"):
        name = index.image_id[i]
        mine, at, of_class = (place[name] for place in places)
        classes = {} if cam is None else dict(zip(*cam.of(of_class)))
        found = matched(proposals, mine, *maps.of(at), classes, config=config)
        builder.add(
            name, index.size[i], proposals.rles(found.row), category=found.category, score=bounded(found.score)
        )  # fmt: skip
        merged.add(name, index.size[i], list(zip(found.category, found.maps)))
    instances = builder.finish()
    job.count(photos=len(photos), peaks=len(maps), instances=len(instances))
    if len(photos) and not len(instances):
        job.warn("No peak of any photo has a proposal: there is no instance to train on.")
    return {"instances": instances, "merged": merged.finish()}
