"""Reader of COCO annotations (instances JSON of 2014 and 2017): tags are the categories of a photo's non-crowd objects.

What other tools write is tidied first (`tag2mask.data.coco_json`). A photo's id is the path of its file below the
folder of photos without the ending (`tag2mask.data.names.photo_ids`).
"""

from collections import Counter
from functools import partial

import numpy as np

from stages.images.coco_truth import read_truth
from stages.images.listing import Entry, Listing, dataset_root, disjoint, files_below, inside, photo_folder, unique
from tag2mask.data import coco_json
from tag2mask.data.names import Names, photo_ids, spelling
from tag2mask.data.tags import category_ids
from tag2mask.errors import UserError

CROWDS = "all its objects are crowds (iscrowd: 1); dataset.iscrowd: ignore takes them as objects"
LIGHT = ("id", "image_id", "category_id", "iscrowd", "ignore", "score")  # keys of an annotation kept from the start
CROWDED = 0.5  # ours: share of a class's objects from which crowds are told; in COCO it is 0.04 at most


def read(config, job):
    """The Listing of the COCO dataset at `config.root`; every training photo counts as one with masks."""
    root = dataset_root(config)
    files = {"train": (config.train_json, config.train_photos)}
    if config.val_json is not None:
        files["val"] = (config.val_json, config.val_photos)
    names = {split: name for split, (name, _) in files.items()}
    documents = {split: load(root / name, name, split, job) for split, name in names.items()}
    from_one(documents, names, job)
    categories = chosen(documents, names, config.classes)
    for split, document in documents.items():
        without_orphans(document, names[split], config, job)
        crowds(document, names[split], config, job)
    listing = Listing(root, categories, [])
    for split, (name, photos) in files.items():
        folder = photo_folder(root, photos, f"dataset.{split}_photos")
        place(documents[split], name, root / folder, job)
        listing.entries += entries(documents[split], folder, categories, split)
    splits = [[one.image_id for one in listing.entries if getattr(one, split)] for split in ("train", "val")]
    disjoint(*splits)
    missing = [one for one in listing.entries if not (root / one.path).is_file()]
    listing.problems = [
        (one.image_id, f"{one.path} does not exist; put the photo there or drop it from the JSON.") for one in missing
    ]
    gone = {one.image_id for one in missing}
    listing.entries = [one for one in listing.entries if one.image_id not in gone]
    listing.truth = partial(read_truth, documents=documents, names=names, config=config, job=job)
    return listing


def load(path, name, split, job):
    """A COCO ground-truth document, tidied, its lists checked for what the reader relies on.

    Of an annotation there is what tells tags, its `number` in the file, and as `segmentation` whether it has one: masks
    are read when the photos have been looked at (`coco_truth`), for all of COCO's are gigabytes.
    """
    dropped = 0

    def light(one):
        nonlocal dropped
        tidy, fewer = coco_json.annotation(one)
        dropped += fewer
        return {key: tidy[key] for key in LIGHT if key in tidy} | {"segmentation": bool(tidy.get("segmentation"))}

    try:
        document = coco_json.load(path, light)
    except OSError as error:
        raise UserError(f"dataset.{split}_json: {path} cannot be read ({error.strerror}); check its name.") from None
    except UserError as error:
        raise UserError(f"dataset.{split}_json: {str(error).rstrip('.')}; get the file again.") from None
    for key, needed in (("images", ("id", "file_name")), ("categories", ("id", "name")),
                        ("annotations", ("image_id", "category_id"))):  # fmt: skip
        items = document.get(key) if isinstance(document, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError(
                f"{name} has no list {key!r}; give COCO's instances JSON (images, annotations, categories)."
            )
        for item in items:
            for field in needed:
                if field not in item:
                    raise UserError(f"{name} has an entry in {key!r} without {field!r} ({str(item)[:60]}); mend it.")
    document, notes = coco_json.tidied(document, name)
    for number, one in enumerate(document["annotations"]):
        one["number"] = number
    unique([str(image["id"]) for image in document["images"]], name)
    for sentence in coco_json.left_out(dropped, name) + notes:
        job.warn(sentence)
    return document


def from_one(documents, names, job):
    """Category ids that count from 0 count from 1, in place: 0 is the background. A 0 that no object has falls away."""
    used = {one["category_id"] for document in documents.values() for one in document["annotations"]}
    if 0 not in used:
        for document in documents.values():
            real = [one for one in document["categories"] if one["id"] != 0]
            document["categories"] = real or document["categories"]
        return
    for document in documents.values():
        for key, field in (("categories", "id"), ("annotations", "category_id")):
            document[key] = [
                {**one, field: one[field] + 1} if isinstance(one[field], int) else one for one in document[key]
            ]
    job.warn(f"{' and '.join(names.values())} count categories from 0, the background here; all ids are one higher.")


def chosen(documents, names, classes):
    """{category id: name}: the JSON's own categories, or of these the `classes`; UserError when the files disagree."""
    tables = {split: {item["id"]: item["name"] for item in one["categories"]} for split, one in documents.items()}
    own = tables["train"]
    for split, table in tables.items():
        name = names[split]
        if len(table) != len(documents[split]["categories"]) or len(set(table.values())) != len(table):
            raise UserError(f"{name} has a category twice; ids and names must be unique.")
        alike = Counter(map(spelling, map(str, table.values())))
        twice = [one for one in table.values() if alike[spelling(str(one))] > 1]
        if twice:
            raise UserError(
                f"{name} has the categories {', '.join(map(repr, twice))}, which differ in capitals, accents or spaces "
                "alone; make them one."
            )
        if table != own:
            raise UserError(f"{name} and {names['train']} have different categories; use files of one dataset.")
        if not all(isinstance(key, int) and 0 < key <= np.iinfo(np.int16).max for key in table):
            raise UserError(f"{name} has a category id that is no whole number from 0 to 32767; renumber it.")
    if classes is None:
        return dict(sorted(own.items()))
    ids = category_ids(classes, own, "dataset.classes")
    return {key: own[key] for key in ids}


def without_orphans(document, name, config, job):
    """Leave out annotations of categories or images that are not listed; a UserError unless bad photos are skipped."""
    known = {item["id"] for item in document["categories"]}
    images = {image["id"] for image in document["images"]}
    kept, sentences = [], []
    for one in document["annotations"]:
        if one["category_id"] in known and one["image_id"] in images:
            kept.append(one)
            continue
        of = "category" if one["category_id"] not in known else "image"
        what = f"has the category {one['category_id']}" if of == "category" else f"names the image {one['image_id']}"
        lists = "categories" if of == "category" else "images"
        sentences.append(f"annotation {one['id']} {what}, which is not in its list of {lists}")
    if sentences and config.on_bad_image != "skip":
        raise UserError(
            f"{name}: {sentences[0]}; add it there, drop the annotation, or leave such ones out by "
            "dataset.on_bad_image: skip."
        )
    if sentences:
        job.warn(f"{name}: {len(sentences)} annotations were left out (dataset.on_bad_image: skip): {sentences[0]}.")
    document["annotations"] = kept


def crowds(document, name, config, job):
    """With `dataset.iscrowd: ignore` no object is a crowd; else a warning where most objects of a class are."""
    if config.iscrowd == "ignore":
        document["annotations"] = [{**one, "iscrowd": 0} for one in document["annotations"]]
        return
    objects = Counter(one["category_id"] for one in document["annotations"])
    crowded = Counter(one["category_id"] for one in document["annotations"] if one.get("iscrowd"))
    named = {one["id"]: one["name"] for one in document["categories"]}
    told = [f"{named[key]} {crowded[key]} of {objects[key]}" for key in sorted(crowded)
            if crowded[key] > CROWDED * objects[key]]  # fmt: skip
    if told:
        job.warn(
            f"{name} marks objects as crowds (iscrowd: 1), which give no tag and are not counted: {', '.join(told)}. "
            "Brushes of some tools mark every mask so; dataset.iscrowd: ignore takes them as objects."
        )


def place(document, name, folder, job):
    """Give every image of a document `path`, its file below `folder`, and `image_id`, the photo's id, in place."""
    given = [inside(str(image["file_name"]), name) for image in document["images"]]
    if all((folder / one).is_file() for one in given):
        paths = given
    else:
        files = Names(files_below(folder))
        paths = [files.find(one) or one for one in given]
        if files.sentence(name):
            job.warn(files.sentence(name))
    for path, times in Counter(paths).items():
        if times > 1:
            raise UserError(
                f"{name} lists the photo {path} twice, as images of other ids (two annotators?); keep one of them, for "
                "objects would count twice."
            )
    ids = photo_ids(paths)
    document["images"] = [
        {**image, "path": path, "image_id": ids[path]} for image, path in zip(document["images"], paths)
    ]


def entries(document, folder, categories, split):
    """The Entries of one document that went through `place`. folder : PurePosixPath of its photos, below the root."""
    tags, crowded = {}, set()
    for one in document["annotations"]:
        if one.get("iscrowd"):
            crowded.add(one["image_id"])
        elif one["category_id"] in categories:
            tags.setdefault(one["image_id"], set()).add(one["category_id"])
    train = split == "train"
    return [
        Entry(image["image_id"], str(folder / image["path"]), tuple(sorted(tags.get(image["id"], ()))), train=train,
              with_masks=train, val=not train, untagged=CROWDS if image["id"] in crowded else "")
        for image in document["images"]
    ]  # fmt: skip
