"""Reader of COCO annotations (instances JSON of 2014 and 2017): tags are the categories of a photo's non-crowd objects.

A photo's id is its file name without suffix, as in `tag2mask.data.coco`.
"""

import json
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from stages.images.listing import Entry, Listing, dataset_root, disjoint, inside, unique
from tag2mask.data.coco import from_coco
from tag2mask.data.instances import Instances
from tag2mask.data.tags import category_ids
from tag2mask.errors import UserError


def read(config, job):
    """The Listing of the COCO dataset at `config.root`; every training photo counts as one with masks."""
    root = dataset_root(config)
    files = {"train": (config.train_json, config.train_photos)}
    if config.val_json is not None:
        files["val"] = (config.val_json, config.val_photos)
    documents = {split: load(root / name, name, split) for split, (name, _) in files.items()}
    categories = chosen(documents, files, config.classes)
    listing = Listing(root, categories, [])
    for split, (name, photos) in files.items():
        folder = PurePosixPath(inside(photos, f"dataset.{split}_photos"))
        listing.entries += entries(documents[split], name, folder, categories, split)
    splits = [[one.image_id for one in listing.entries if getattr(one, split)] for split in ("train", "val")]
    disjoint(*splits)
    missing = [one for one in listing.entries if not (root / one.path).is_file()]
    listing.problems = [
        (one.image_id, f"{one.path} does not exist; put the photo there or drop it from the JSON.") for one in missing
    ]
    gone = {one.image_id for one in missing}
    listing.entries = [one for one in listing.entries if one.image_id not in gone]
    names = {split: name for split, (name, _) in files.items()}
    listing.truth = partial(read_truth, documents=documents, names=names, config=config, job=job)
    return listing


def load(path, name, split):
    """A COCO ground-truth document, its lists checked for what the reader relies on."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"dataset.{split}_json: {path} cannot be read ({error.strerror}); check its name.") from None
    except ValueError as error:
        raise UserError(f"dataset.{split}_json: {name} is not JSON ({error}); get the file again.") from None
    for key, needed in (("images", ("id", "file_name")), ("categories", ("id", "name")),
                        ("annotations", ("id", "image_id", "category_id"))):  # fmt: skip
        items = document.get(key) if isinstance(document, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError(
                f"{name} has no list {key!r}; give COCO's instances JSON (images, annotations, categories)."
            )
        for item in items:
            for field in needed:
                if field not in item:
                    raise UserError(f"{name} has an entry in {key!r} without {field!r} ({str(item)[:60]}); mend it.")
    return document


def chosen(documents, files, classes):
    """{category id: name}: the JSON's own categories, or of these the `classes`; UserError when the files disagree."""
    tables = {split: {item["id"]: item["name"] for item in one["categories"]} for split, one in documents.items()}
    own = tables["train"]
    for split, table in tables.items():
        name = files[split][0]
        if len(table) != len(documents[split]["categories"]) or len(set(table.values())) != len(table):
            raise UserError(f"{name} has a category twice; ids and names must be unique.")
        if table != own:
            raise UserError(f"{name} and {files['train'][0]} have different categories; use files of one dataset.")
        if not all(isinstance(key, int) and 0 < key <= np.iinfo(np.int16).max for key in table):
            raise UserError(f"{name} has a category id that is no whole number from 1 to 32767; renumber it.")
    if classes is None:
        return dict(sorted(own.items()))
    ids = category_ids(classes, own, "dataset.classes")
    return {key: own[key] for key in ids}


def entries(document, name, folder, categories, split):
    """The Entries of one JSON. folder : PurePosixPath of its photos, below the root."""
    unique([str(image["id"]) for image in document["images"]], name)
    known = {item["id"] for item in document["categories"]}
    numbers = {image["id"] for image in document["images"]}
    tags = {}
    for one in document["annotations"]:
        if one["category_id"] not in known:
            raise UserError(
                f"{name}: annotation {one['id']} has the category {one['category_id']}, which is not in its list of "
                "categories; add the category or drop the annotation."
            )
        if one["image_id"] not in numbers:
            raise UserError(
                f"{name}: annotation {one['id']} names the image {one['image_id']}, which is not in its list of "
                "images; add the image or drop the annotation."
            )
        if not one.get("iscrowd") and one["category_id"] in categories:
            tags.setdefault(one["image_id"], set()).add(one["category_id"])
    train = split == "train"
    found = [
        Entry(PurePosixPath(image["file_name"]).stem, str(folder / inside(image["file_name"], name)),
              tuple(sorted(tags.get(image["id"], ()))), train=train, with_masks=train, val=not train)
        for image in document["images"]
    ]  # fmt: skip
    unique([one.image_id for one in found], name)
    return found


def read_truth(index, *, documents, names, config, job):
    """Instances of all photos of the index: own ids, areas and boxes, crowds with ignore 1; in index order.

    Photos with an annotation that has no mask are left out and counted, as are, if bad photos are skipped, those whose
    mask has another size than the photo.
    """
    position = {name: i for i, name in enumerate(index.image_id)}
    tables = []
    for split, document in documents.items():
        kept = usable(document, names[split], position, index, config, job)
        try:
            table = from_coco(kept)
        except UserError as error:
            raise UserError(str(error).replace("COCO data", names[split], 1)) from None
        wanted = np.isin(table.category, list(index.categories))
        table = table.select(wanted).replaced(categories=index.categories)
        if tables and np.intersect1d(table.id, tables[0].id).size:
            shift = int(tables[0].id.max())
            table = table.replaced(id=table.id + shift)
            job.warn(f"{names['train']} and {names[split]} share annotation ids; the latter's were raised by {shift}.")
        tables.append(table)
    truth = Instances.concat(tables)
    order = np.argsort([position[name] for name in truth.image_id], kind="stable")
    return truth.images_subset(order)


def usable(document, name, position, index, config, job):
    """The part of a COCO document whose photos are in the index and whose masks can be used."""
    maskless = {one["image_id"] for one in document["annotations"] if not one.get("segmentation")}
    images, left_out = [], 0
    for image in document["images"]:
        i = position.get(PurePosixPath(image["file_name"]).stem)
        if i is None:
            continue
        if image["id"] in maskless:
            left_out += 1
            continue
        given = (image.get("height"), image.get("width"))
        if given != tuple(index.size[i].tolist()):
            sentence = (
                f"{name} has masks of {given[1]}x{given[0]} pixels for {index.path[i]}, which is "
                f"{index.size[i][1]}x{index.size[i][0]} (after EXIF rotation); make the two the same size."
            )
            if config.on_bad_image != "skip":
                raise UserError(sentence)
            job.warn(f"{sentence} The photo has no ground truth (dataset.on_bad_image: skip).")
            continue
        images.append(image)
    if left_out:
        job.warn(f"{left_out} photos of {name} have objects without a mask and no ground truth.")
        job.count(**{f"{Path(name).stem}_without_mask": left_out})
    numbers = {image["id"] for image in images}
    annotations = [one for one in document["annotations"] if one["image_id"] in numbers]
    return {"images": images, "annotations": annotations, "categories": document["categories"]}
