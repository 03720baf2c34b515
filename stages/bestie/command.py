"""`tag2mask predict` with weights of the instance network, results/<run>/bestie/<variant>/weights.pt.

The CSV of --tags names photos of the folder and their classes, in either form that a dataset of one's own has
(`file,tags`, or `file,<class>,...`): a photo in it shows no others.
"""

from pathlib import Path

from tag2mask.data.tags import tags_of
from tag2mask.view.prediction import write_instances

OPTIONS = {
    "--score": {"type": float, "default": 0.1, "help": "least score that is drawn"},
    "--tags": {"metavar": "CSV", "type": Path, "help": "the photos' classes, as in a dataset of one's own; else all"},
    "--threshold": {"type": float, "help": "least value of a centre, else 0.1"},
    "--size": {"type": float, "help": "factor of the photos' size, else 1"},
}


def predict(given, files, weights, job):
    """Segment the photos, all of their classes or those of --tags; see `tag2mask.cli.predict`."""
    from stages.bestie.infer import Shown, predict_photos
    from tag2mask.data.photo import readable

    tags = tags_of(given.tags, weights.meta["categories"], files) if given.tags else {}
    photos = (Shown(name, photo, size, tags.get(name)) for name, photo, size in readable(files, job))
    chosen = {"test_threshold": given.threshold, "test_size": given.size}
    weights.meta["config"] |= {key: value for key, value in chosen.items() if value is not None}
    table = predict_photos(photos, weights, config=None, job=job, count=len(files))
    write_instances(table, files, root=given.folder, out=given.out, least=given.score)
    return f"{table.images} photos, {len(table)} instances"
