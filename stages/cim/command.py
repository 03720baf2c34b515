"""`tag2mask predict` with weights of `cim`, results/<run>/cim/<variant>/weights.pt.

Proposals are made on the way by the keys of the training's; imported ones exist for known photos only. The CSV of
--tags names photos of the folder and their classes: a photo in it shows no others.
"""

from pathlib import Path

from tag2mask.data.tags import tags_of
from tag2mask.view.prediction import write_instances

OPTIONS = {
    "--score": {"type": float, "default": 0.1, "help": "least score that is drawn"},
    "--tags": {"metavar": "CSV", "type": Path, "help": "the photos' classes, as in a dataset of one's own; else all"},
    "--side": {"type": int, "help": "short side of the photos in px, else those of the training"},
}


def predict(given, files, weights, job):
    """Segment the photos, all of their classes or those of --tags; see `tag2mask.cli.predict`."""
    from stages.cim.infer import predict_photos
    from tag2mask.data.photo import readable

    if weights.meta["proposals"].get("source", "hierarchy") != "hierarchy":
        job.log.warning("The network learned on imported proposals; those of these photos are made here (hierarchy).")
    tags = tags_of(given.tags, weights.meta["categories"], files) if given.tags else {}
    if given.side is not None:
        weights.meta["config"]["test_sides"] = [given.side]
    photos = (
        (name, photo, size, *proposed(name, photo, weights), tags.get(name))
        for name, photo, size in readable(files, job)
    )
    table = predict_photos(photos, weights, config=None, job=job, count=len(files))
    write_instances(table, files, root=given.folder, out=given.out, least=given.score)
    return f"{table.images} photos, {len(table)} instances"


def proposed(name, photo, weights):
    """(Instances, 0): the proposals of a photo that no run knows."""
    from tag2mask.data.instances import InstancesBuilder
    from tag2mask.run.registry import alone

    masks, scores = alone("proposals.proposals")(photo, weights.meta["proposals"])
    table = InstancesBuilder({})
    table.add(name, photo.shape[:2], masks, category=0, score=scores)
    return table.finish(), 0
