"""`tag2mask predict` with weights of the instance network, results/<run>/bestie/<variant>/weights.pt.

The CSV of --tags names photos of the folder and their classes, in either form that a dataset of one's own has
(`file,tags`, or `file,<class>,...`): a photo in it shows no others.
"""

from pathlib import Path

from tag2mask.data.tags import category_ids, read_tags
from tag2mask.errors import UserError
from tag2mask.view.prediction import write_instances

OPTIONS = {
    "--score": {"type": float, "default": 0.1, "help": "least score that is drawn"},
    "--tags": {"metavar": "CSV", "type": Path, "help": "the photos' classes, as in a dataset of one's own; else all"},
    "--threshold": {"type": float, "help": "least value of a centre, else 0.1"},
    "--size": {"type": float, "help": "factor of the photos' size, else 1"},
}


def predict(given, files, weights, job):
    """Segment the photos, all of their classes or those of --tags; see `tag2mask.cli.predict`."""
    from stages.bestie.infer import predict_photos
    from tag2mask.data.photo import readable

    tags = tags_of(given.tags, weights, files) if given.tags else {}
    photos = ((name, photo, tags.get(name), None) for name, photo in readable(files, job))
    chosen = {"test_threshold": given.threshold, "test_size": given.size}
    weights.meta["config"] |= {key: value for key, value in chosen.items() if value is not None}
    table = predict_photos(photos, weights, config=None, job=job, count=len(files))
    write_instances(table, files, out=given.out, least=given.score)
    return f"{table.images} photos, {len(table)} instances"


def tags_of(path, weights, files):
    """{photo: its category ids} of the CSV `path`; UserError for a photo that is not in `files` or an unknown class."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--tags: {path} is not a text file that can be read; name a CSV in UTF-8") from None
    categories = {int(c): name for c, name in weights.meta["categories"].items()}
    rows = read_tags([line.strip(" ") for line in lines if line.strip()], path)
    lacking = next((name for name, _ in rows if name not in files), None)
    if lacking is not None:
        raise UserError(f"--tags: {path} names {lacking}, which is no photo of the folder; drop the line")
    return {name: category_ids(tags, categories, f"{path}: {name}") for name, tags in rows}
