"""The files that decide which photos a dataset has; when one changes, `images` runs again."""

from pathlib import Path

from tag2mask.data.points import files_of, resolve


def list_files(dataset):
    """Existing list files of a dataset section (dict with the keys of images.config.Config), sorted."""
    points = files_of(resolve(dataset["points"], dataset["root"])) if dataset["points"] else []
    if not dataset["root"]:
        return sorted(str(path) for path in points)
    root = Path(dataset["root"])
    if dataset["kind"] == "voc":
        found = [*root.glob("ImageSets/*/*.txt")]
    elif dataset["kind"] == "coco":
        found = [root / dataset[key] for key in ("train_json", "val_json") if dataset[key]]
    else:
        found = [root / dataset[key] for key in ("tags", "val") if dataset[key]]
    return sorted(str(path) for path in [*found, *points] if path.is_file())
