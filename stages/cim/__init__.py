"""cim: complete instances, mined among proposals while the network learns to score them. Source: CIM, Sec. 3, 4.2.

`train` needs the proposals of all shards and peaks (or points); `run` labels a shard's training photos, `predict`
answers the validation photos. Settings: config.py.
"""


def train(inputs, config, job):
    """{"weights": Weights of kind "cim", "snapshots": Table "mined/1"}.

    inputs : index, proposals (paths of the shards' instances/1), peaks (paths of the shards' peaks/1) or, with
    `cues: points`, points (path of a peaks/1); with `from_classifier` classifier (weights/1). Learns from tags and cues
    alone. mined/1: image_id (I,); rows of iteration, image (of image_id), proposal (its number in the photo), category,
    branch (0: anti-noise), score, integrity, seed, mined: what each branch says, and mines for the next one.
    """
    from stages.cim.learn import learn
    from stages.cim.photos import cues_of
    from tag2mask.data.index import Index
    from tag2mask.data.instances import Instances
    from tag2mask.data.tables import Table
    from tag2mask.store.manifest import read_json
    from tag2mask.store.store import manifest_path
    from tag2mask.store.weights import Weights

    index = Index.load(inputs.index)
    tables = listed(inputs.points if config.cues == "points" else inputs.peaks) if config.agpl else []
    cues = cues_of((Table.load(path, "peaks/1") for path in tables), sorted(index.categories), floor=config.cue_floor)
    paths = listed(inputs.proposals)
    shards = (Instances.open(path) for path in paths)
    section = read_json(manifest_path(paths[0])).get("section", {}).get("config", {})
    begin = Weights.load(inputs.classifier, "classifier") if config.from_classifier else None
    weights, snapshots = learn(index, shards, cues, section=section, begin=begin, config=config, job=job)
    return {"weights": weights, "snapshots": snapshots}


def run(inputs, config, job):
    """{"instances": Instances} of one shard, of all training photos where job.shard is None.

    inputs : index, weights, proposals. Only tagged classes, scores above config.label_floor and, with
    config.label_best, the best of each class; best first.
    """
    from tag2mask.data.index import Index

    index = Index.load(inputs.index)
    photos = index.of_shard(job.shard)
    return {"instances": answered(index, photos, inputs, inputs.proposals, config, job, clean=True)}


def predict(inputs, config, job):
    """{"predictions": Instances} of the validation photos, whose tags nobody looks at.

    inputs : index, weights, held_out (their proposals).
    """
    from tag2mask.data.index import Index

    index = Index.load(inputs.index)
    return {"predictions": answered(index, index.where("val"), inputs, inputs.held_out, config, job, clean=False)}


def answered(index, photos, inputs, path, config, job, *, clean):
    """Instances of `photos` (places in the index) by the network in inputs.weights among the proposals at `path`."""
    from stages.cim.infer import predict_photos
    from tag2mask.data.instances import Instances
    from tag2mask.errors import UserError
    from tag2mask.learn.photos import read_ahead
    from tag2mask.store.weights import Weights

    weights = Weights.load(inputs.weights, "cim", categories=index.categories)
    paths = listed(path)
    proposals = Instances.concat([Instances.open(one) for one in paths])
    place = {name: k for k, name in enumerate(proposals.image_id)}
    names = index.image_id
    missing = next((names[i] for i in photos if names[i] not in place), None)
    if missing is not None:
        raise UserError(f"{paths[0]} has no proposals of the photo {missing}; build the stage proposals again.")
    given = (
        (names[i], photo, index.size[i], proposals, place[names[i]], index.tags(i) if clean else None)
        for i, photo in read_ahead(index, photos, job)
    )
    found = predict_photos(given, weights, config=config, job=job, labels=clean, count=len(photos))
    job.count(instances_per_photo=round(len(found) / max(1, len(photos)), 2))
    if len(photos) and not len(found):
        key = "label_floor" if clean else "test_floor"
        job.warn(f"The network answers nothing in any photo: train it longer, or lower cim.{key}.")
    return found


def listed(paths):
    """A list of the one path, or of several."""
    from pathlib import Path

    return [paths] if isinstance(paths, str | Path) else list(paths)
