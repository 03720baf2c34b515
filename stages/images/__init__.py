"""images: a dataset becomes two things, the index (photos, tags, split names) and the ground truth (masks).

The index is all that the methods see; the truth goes to `evaluate`, `report` and the references only. Readers: `voc`,
`coco`, `folder`, `generated`. With `dataset.points` the points of a file become a third output.
`tag2mask points TRUTH OUT.csv` makes such a file from a truth.
"""

import importlib

READERS = {"scenes": "generated", "voc": "voc", "coco": "coco", "folder": "folder"}


def reader(config):
    """The module that reads datasets of `config.kind`: `read(config, job)` -> Listing."""
    return importlib.import_module(f"stages.images.{READERS[config.kind]}")


def run(inputs, config, job):
    """{"index": Index, "truth": Instances or None} of the dataset that `config` (images.config.Config) names.

    With `config.points` also "points": Table "peaks/1" of the training photos. Every photo is decoded once, so that a
    bad one is found before hours are spent. Generated scenes are written as PNG photos to `job.folder`/photos. Raises
    UserError, one sentence.
    """
    from stages.images.check import make_index
    from tag2mask.data import points

    listing = reader(config).read(config, job)
    given = config.points and points.read(
        points.resolve(config.points, config.root), listing.categories, from_zero=config.point_classes == "from_zero"
    )
    index = make_index(listing, config, job)
    truth = listing.truth(index) if listing.truth is not None else None
    made = {"index": index, "truth": truth}
    if config.points:
        made["points"] = points.table(given, index, job=job)
    return made
