"""Reader of the VOC layout, 2007 and 2012: JPEGImages, Annotations, ImageSets.

Tags come from the class lists ImageSets/Main/<class>_<list>.txt where they are there (1 is a tag; 0, difficult, and -1
are none), else from the names in the XML, where difficult objects give none. Masks: `voc_truth`.
"""

from functools import partial

from stages.images.listing import Entry, Listing, dataset_root, disjoint, find_photo, inside, read_lines, unique
from stages.images.voc_truth import read_truth
from stages.images.xml import read_objects
from tag2mask.data.tags import category_ids
from tag2mask.errors import UserError

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
AUGMENTED = ("train_aug", "trainaug")  # the names the 10,582-photo list goes by
# LIID, Sec. 6.1: Main/trainval without these lists, for its results and for its ablation studies
LIID = {"liid": ("Segmentation/val",), "liid_ablation": ("Segmentation/train", "Segmentation/val")}
VALUES = {"1": True, "0": False, "-1": False}


def read(config, job):
    """The Listing of the VOC dataset at `config.root`."""
    root = dataset_root(config)
    if not (root / "JPEGImages").is_dir():
        inner = next(
            (path.parent for path in sorted(root.glob("*/JPEGImages")) + sorted(root.glob("*/*/JPEGImages"))), None
        )
        hint = f"give {inner}, which has." if inner else "give the folder that holds JPEGImages."
        raise UserError(f"dataset.root: {root} has no folder JPEGImages; {hint}")
    categories = dict(enumerate(config.classes or CLASSES, start=1))
    val_list = config.val or "Segmentation/val"
    train, val = split_ids(root, config.train, "train"), split_ids(root, val_list, "val")
    disjoint(train, val)
    masked, only_measured = measured_ids(root, config, {*train}, {*val}, job)
    listing = Listing(root, categories, [])
    for ids, name in ((train, config.train), (only_measured, config.with_masks), (val, val_list)):
        tags = main_tags(root, main_name(name), categories)
        for image_id in ids:
            try:
                entry = make_entry(root, image_id, tags, categories)
            except UserError as error:
                listing.problems.append((image_id, str(error)))
                continue
            entry.train, entry.val, entry.with_masks = ids is train, ids is val, ids is not val and image_id in masked
            listing.entries.append(entry)
    listing.truth = partial(read_truth, config=config, job=job)
    return listing


def measured_ids(root, config, train, val, job):
    """(the ids of with_masks, those of them that are in neither `train` nor `val`, sorted), with a warning of each.

    Nothing is learned from the latter, but they get labels (LIID, Sec. 6.1, ablation studies); those of val get none.
    """
    if config.with_masks is None:
        return set(), []
    masked = set(split_ids(root, config.with_masks, "with_masks"))
    held, outside = masked & val, masked - train - val
    of = f"of the {len(masked)} photos of dataset.with_masks are"
    if held:
        job.warn(f"{len(held)} {of} in dataset.val and are left out of with_masks, the first is {min(held)}.")
    if outside:
        job.warn(
            f"{len(outside)} {of} not in dataset.train, the first is {min(outside)}: they get labels, which are "
            "measured, and nothing is learned from them."
        )
    return masked, sorted(outside)


def make_entry(root, image_id, tags, categories):
    """The Entry of a photo, its splits still unset. tags : what `main_tags` found."""
    file = find_photo(root / "JPEGImages", image_id)
    if file is None:
        raise UserError(f"JPEGImages/{image_id}.jpg does not exist; put the photo there or drop its id from the list.")
    if image_id in tags:
        return Entry(image_id, f"JPEGImages/{file}", tags[image_id])
    name = f"Annotations/{image_id}.xml"
    names = {one.name for one in read_objects(root / name, name) if not one.difficult}
    return Entry(image_id, f"JPEGImages/{file}", category_ids(names, categories, name))


def split_ids(root, name, key):
    """The ids of the split `name`: a list file below ImageSets, `augmented`, one of LIID. key : that names it."""
    if name in LIID:
        held_out = {one for part in LIID[name] for one in list_ids(root, part, key)}
        return [one for one in list_ids(root, "Main/trainval", key) if one not in held_out]
    if name != "augmented":
        return list_ids(root, name, key)
    for one in AUGMENTED:
        if (root / "ImageSets/Segmentation" / f"{one}.txt").is_file():
            return list_ids(root, f"Segmentation/{one}", key)
    held_out = set(list_ids(root, "Segmentation/val", key))
    ids = sorted({path.stem for path in (root / "SegmentationClassAug").glob("*.png")} - held_out)
    if not ids:
        raise UserError(
            f"dataset.{key}: the augmented list is not part of VOC; put its 10,582 ids, one a line, into "
            f"{root}/ImageSets/Segmentation/train_aug.txt, or the folder SegmentationClassAug beside SegmentationClass."
        )
    return ids


def list_ids(root, name, key):
    """The ids in ImageSets/<name>.txt, each one once and inside the dataset's folder."""
    where = f"ImageSets/{inside(name, f'dataset.{key}')}.txt"
    ids = [line.strip() for line in read_lines(root / where, key)]
    for one in ids:
        if len(one.split()) > 1:
            raise UserError(f"dataset.{key}: {where} must have one id a line, not {one!r}; name another list.")
        inside(one, where)
    return unique(ids, where)


def main_name(split):
    """The class lists' suffix for a split: <class>_<suffix>.txt."""
    return "trainval" if split in (*LIID, "augmented") else split.rsplit("/", 1)[-1]


def main_tags(root, name, categories):
    """{image id: category ids} of ImageSets/Main/<class>_<name>.txt; {} where there are no such lists.

    A photo that is not in every class list is not in the answer. Raises UserError when some lists are missing.
    """
    files = {key: root / "ImageSets/Main" / f"{inside(one, 'dataset.classes')}_{name}.txt"
             for key, one in categories.items()}  # fmt: skip
    there = [file.is_file() for file in files.values()]
    if not any(there):
        return {}
    if not all(there):
        missing = next(file for file in files.values() if not file.is_file())
        raise UserError(f"{missing} does not exist, but other classes have theirs; add it or remove them all.")
    tags, seen = {}, {}
    for key, file in files.items():
        for line in read_lines(file, "train"):
            parts = line.split()
            if len(parts) != 2 or parts[1] not in VALUES:
                raise UserError(f"{file} has the line {line!r}; each must be an id and 1, 0 or -1.")
            seen[parts[0]] = seen.get(parts[0], 0) + 1
            if VALUES[parts[1]]:
                tags.setdefault(parts[0], []).append(key)
    return {one: tuple(tags.get(one, ())) for one, number in seen.items() if number == len(categories)}
