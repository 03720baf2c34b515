"""bestie: an instance network that learns from transferred instances and refines its own labels while it learns.

`train` needs the index, the transferred instances and the semantic maps of all shards, and optionally points; `run`
gives the instances of a shard's training photos, `predict` those of the validation photos. Source: BESTIE, Sec. 3.2,
3.4, 3.5; settings: config.py.
"""


def train(inputs, config, job):
    """{"weights": Weights of kind "bestie", "snapshots": Instances of training photos over the training time}.

    inputs : index, transfer (paths of the shards' instances/1), semantic (paths of the shards' maps/1), points (path
    of a peaks/1, optional). Image ids of snapshots are "<iterations, six digits>/<image id>"; config.snapshots 0: an
    empty table.
    """
    from stages.bestie.learn import learn
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances
    from tag2mask.data.labelmaps import LabelMaps
    from tag2mask.data.maps import Maps
    from tag2mask.data.tables import Table

    transfer = Instances.concat([Instances.open(path) for path in inputs.transfer]).unpacked()
    semantic = LabelMaps(Maps.load(path) for path in inputs.semantic)
    points = getattr(inputs, "points", None)
    weights, snapshots = learn(
        Index.load(inputs.index), transfer, semantic, points=points and Table.load(points, "peaks/1"), config=config,
        job=job,
    )  # fmt: skip
    return {"weights": weights, "snapshots": snapshots}


def run(inputs, config, job):
    """{"instances": Instances} of one shard, of all training photos where job.shard is None.

    inputs : index, weights, points (path of a peaks/1, optional: in photos that have any they are the centres). With
    config.clean_tags only classes that a photo is tagged with.
    """
    from stages.bestie.data import marks_of
    from tag2mask.data.index import Index
    from tag2mask.data.tables import Table

    index = Index.load(inputs.index)
    photos = index.of_shard(job.shard)
    points = getattr(inputs, "points", None)
    marks = None
    if points:
        column = {category: k for k, category in enumerate(sorted(index.categories))}
        found = marks_of(Table.load(points, "peaks/1"), column)
        marks = {index.image_id[i]: found.get(index.image_id[i]) for i in photos}
    return {"instances": answered(index, photos, inputs, config, job, clean=config.clean_tags, marks=marks)}


def predict(inputs, config, job):
    """{"predictions": Instances} of the validation photos, whose tags nobody looks at. inputs : index, weights."""
    from tag2mask.data.index import Index

    index = Index.load(inputs.index)
    return {"predictions": answered(index, index.where("val"), inputs, config, job, clean=False)}


def answered(index, photos, inputs, config, job, *, clean, marks=None):
    """Instances of `photos` (places in the index) by the network in inputs.weights. marks : {image id: Marks}."""
    import numpy as np

    from stages.bestie.infer import Shown, at_once, predict_photos
    from tag2mask.learn.photos import alike, read_ahead
    from tag2mask.store.weights import Weights

    weights = Weights.load(inputs.weights, "bestie", categories=index.categories)
    marks = [marks and marks[index.image_id[i]] for i in photos]
    kinds = [(*index.size[i], points is None) for i, points in zip(photos, marks)]
    order = np.array([t for group in alike(kinds, most=at_once(job)) for t in group], np.int64)
    given = (
        Shown(index.image_id[i], photo, index.size[i], index.tags(i) if clean else None, marks[t])
        for (i, photo), t in zip(read_ahead(index, photos[order], job), order)
    )
    found = predict_photos(given, weights, config=config, job=job, count=len(photos)).images_subset(np.argsort(order))
    found = found.replaced(id=np.arange(1, len(found) + 1))
    job.count(instances_per_photo=round(len(found) / max(1, len(photos)), 2))
    if len(photos) and not len(found):
        job.warn("The network finds no instance in any photo: train it longer, or lower bestie.test_threshold.")
    return found
