"""What a run will need of disk and memory, beside what is free, before it starts."""

import os
import shutil
from pathlib import Path

import psutil

from stages.images.voc import split_ids
from tag2mask.errors import UserError

# Measured on photos of about 500 x 400 pixels, in kB a photo; scenes of 160 x 160 need about a third.
KB_PER_PHOTO = {
    "proposals": 140, "cam": 1, "semantic": 3, "transfer": 1, "bestie": 2, "mil": 12, "reference": 3,
    "pseudo_labels": 8,
}  # fmt: skip
GRAPH_KB = 1.5  # a node of the graph, at own tags
# with config/cpu.yaml
PEAK_MB = {"refine": 2600, "classifier": 2000, "cam": 1250, "mil": 1500, "bestie": 2000, "proposals": 700}


def lines(plan):
    """Lines of text: photos, disk and memory needed and free."""
    photos = photo_count(plan.config("images"))
    if photos is None:
        return ["estimate: none, for the dataset's list of training photos cannot be read"]
    scale = 1 / 3 if plan.config("images")["kind"] == "scenes" else 1
    variants = {stage: len(plan.declared(stage)) if stage in plan.variants else 1 for stage in KB_PER_PHOTO}
    variants["pseudo_labels"] = len(plan.show)
    disk = sum(kb * variants[stage] for stage, kb in KB_PER_PHOTO.items()) * photos * scale / 1e6
    disk += 0.05 * sum(map(plan.trains, plan.show))
    keep = max(plan.config("mil", variant)["keep"] for variant in plan.declared("mil"))
    memory = max(PEAK_MB.values()) / 1e3 + GRAPH_KB * photos * keep / 1e6
    folder = next(path for path in (Path("results"), Path(".")) if path.exists())
    free_disk = shutil.disk_usage(folder).free / 1e9
    free_memory = psutil.virtual_memory().available / 1e9
    found = [
        f"estimate: {photos} training photos; disk about {disk:.2g} GB (free {free_disk:.0f} GB), "
        f"memory about {memory:.2g} GB a job (available {free_memory:.0f} GB), {os.cpu_count()} cores"
    ]
    if disk > free_disk or memory > free_memory:
        found.append("WARNING: that is more than is free; make room before hours are spent, or use fewer photos")
    return found


def photo_count(dataset):
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
