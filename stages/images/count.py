"""What a dataset's own lists tell before any photo is read: how many there are, how many shards, what is wrong."""

import logging
import math
import os
from pathlib import Path

from tag2mask.errors import UserError

BEGUN = 200  # ours: photos a shard, below which starting another job costs more than it saves
LARGE = 20e6  # bytes of a COCO JSON above which it is not read before the work


def training_photos(dataset):
    """Training photos by the dataset's own list (COCO, whose list takes long to read: by its folder), or None."""
    from stages.images.voc import split_ids
    from tag2mask.data.sheets import read_text
    from tag2mask.data.tags import read_tags

    if dataset["kind"] == "scenes":
        return dataset["n_train"]
    root = Path(dataset["root"])
    try:
        if dataset["kind"] == "voc":
            return len(split_ids(root, dataset["train"], "train"))
        if dataset["kind"] == "coco":
            return sum(1 for entry in os.scandir(root / dataset["train_photos"]) if entry.is_file())
        rows = read_tags(read_text(root / dataset["tags"], "dataset.tags"), dataset["tags"])
        return len(rows) - (0 if dataset["val"] else round(dataset["val_share"] * len(rows)))
    except (OSError, UserError):  # the stage `images` says what is wrong
        return None


def settled(dataset):
    """The section with the number of shards that a folder's photos need: at most one for every 200 begun."""
    count = training_photos(dataset) if dataset["kind"] == "folder" and dataset["shards"] > 1 else None
    if count is None:
        return dataset
    return {**dataset, "shards": min(dataset["shards"], max(1, math.ceil(count / BEGUN)))}


def look(dataset):
    """UserError for what is wrong with root, lists, tags and points of a dataset, before the work.

    No photo is read, so that a point may still lie outside its own, nor a JSON above 20 MB, without which the files of
    points are only looked for, as those of scenes are. Of several bad photos all are told on stderr.
    """
    from stages.images import reader
    from stages.images.check import refuse, tagged
    from stages.images.config import Config
    from stages.images.listing import dataset_root
    from tag2mask.data import points
    from tag2mask.run.job import Job

    config = Config.model_validate(dataset)
    path = config.points and points.resolve(config.points, config.root)
    if path:
        points.given_files(path)
    if config.kind == "scenes":
        return
    root = dataset_root(config)
    if config.kind == "coco":
        jsons = [root / name for name in (config.train_json, config.val_json) if name]
        if all(path.is_file() for path in jsons) and sum(path.stat().st_size for path in jsons) > LARGE:
            return
    job = Job(log=logging.Logger("dataset", logging.ERROR))
    job.log.addHandler(logging.StreamHandler())
    listing = reader(config).read(config, job)
    problems = list(listing.problems)
    entries = {entry.image_id: entry for entry in tagged(listing.entries, problems, config, job)}
    refuse(problems, config, job)
    if path:
        given = points.read(path, listing.categories, from_zero=config.point_classes == "from_zero")
        for one, name in zip(given, points.photos_of(given, [*entries, *(name for name, _ in problems)])):
            if name in entries and (entries[name].train or entries[name].with_masks):
                points.check_tag(one, entries[name].tags, listing.categories)
