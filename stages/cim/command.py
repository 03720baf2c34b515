"""`tag2mask predict` with weights of `cim`, results/<run>/cim/<variant>/weights.pt; proposals are made on the way."""

from tag2mask.view.prediction import write_instances

OPTIONS = {
    "--score": {"type": float, "default": 0.1, "help": "least score that is drawn"},
    "--size": {"type": int, "help": "one short side in px, else those of the training"},
}


def predict(given, files, weights, job):
    """Segment the photos; see `tag2mask.cli.predict`."""
    from stages.cim.infer import predict_photos
    from tag2mask.data.photo import readable

    if given.size is not None:
        weights.meta["config"]["test_sides"] = [given.size]
    photos = ((name, photo, *proposed(name, photo, weights), None) for name, photo in readable(files, job))
    table = predict_photos(photos, weights, config=None, job=job, count=len(files))
    write_instances(table, files, out=given.out, least=given.score)
    return f"{table.images} photos, {len(table)} instances"


def proposed(name, photo, weights):
    """(Instances, 0): the proposals of a photo that no run knows, made as those of the training were."""
    from tag2mask.data.instances import InstancesBuilder
    from tag2mask.run.registry import alone

    masks, scores = alone("proposals.proposals")(photo, weights.meta["proposals"])
    table = InstancesBuilder({})
    table.add(name, photo.shape[:2], masks, category=0, score=scores)
    return table.finish(), 0
