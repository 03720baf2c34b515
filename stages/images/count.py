"""How many training photos a dataset has, by its own list and before anything is read."""

import os
from pathlib import Path

from stages.images.voc import split_ids
from tag2mask.errors import UserError


def training_photos(dataset):
    """Training photos by the dataset's own list (COCO, whose list takes long to read: by its folder), or None."""
    if dataset["kind"] == "scenes":
        return dataset["n_train"]
    root = Path(dataset["root"])
    try:
        if dataset["kind"] == "voc":
            return len(split_ids(root, dataset["train"], "train"))
        if dataset["kind"] == "coco":
            return sum(1 for entry in os.scandir(root / dataset["train_photos"]) if entry.is_file())
        with (root / dataset["tags"]).open(errors="replace") as file:
            return sum(1 for line in file if line.strip()) - 1
    except (OSError, UserError):  # the stage `images` says what is wrong
        return None
