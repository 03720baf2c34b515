"""Ground truth of the VOC layout: SegmentationObject and SegmentationClass become an instance table."""

import numpy as np
from PIL import Image

from stages.images.listing import parallel
from stages.images.xml import read_objects
from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.names import spelling
from tag2mask.errors import UserError

VOID = 255
MATCH_IOU = 0.5  # ours: overlap from which a mask's box and an XML box are the same object
DIFFICULT = 2


def read_truth(index, *, config, job):
    """Instances of the photos of `with_masks` and `val` that have masks, in index order.

    A photo without a mask file is left out and counted, as is one whose mask does not fit if bad photos are skipped.
    """
    wanted = np.flatnonzero(index.with_masks | index.val)
    names = [index.image_id[i] for i in wanted]
    there = [has_masks(index.root, name) for name in names]
    if not all(there):
        missing = len(there) - sum(there)
        job.warn(
            f"{missing} of the {len(there)} photos of with_masks and val have no file in SegmentationObject or "
            f"SegmentationClass and no ground truth, the first is {names[there.index(False)]}."
        )
        job.count(photos_without_mask=missing)
    wanted = wanted[np.array(there, bool)]

    def look(i):
        try:
            return photo_truth(index.root, index.image_id[i], tuple(index.size[i].tolist()), index.categories), None
        except UserError as error:
            return None, error

    builder = InstancesBuilder(index.categories)
    looked = parallel(look, wanted.tolist(), threads=job.threads)
    for i, (found, error) in zip(wanted, job.progress(looked, total=len(wanted), what="reading masks")):
        if error is None:
            rles, category, ignore, void = found
            builder.add(index.image_id[i], index.size[i], rles, category=category, ignore=ignore, void=void)
        elif config.on_bad_image == "skip":
            job.warn(f"{error} The photo has no ground truth (dataset.on_bad_image: skip).")
        else:
            raise error
    return builder.finish()


def mask_file(folder, image_id):
    return f"{folder}/{image_id}.png"


def has_masks(root, image_id):
    """Whether both mask files of a photo are there."""
    return all((root / mask_file(folder, image_id)).is_file() for folder in ("SegmentationObject", "SegmentationClass"))


def photo_truth(root, image_id, size, categories):
    """(RLE list, category (n,), ignore (n,), void (H, W) bool) of one photo of `size` (H, W)."""
    objects = read_labels(root, mask_file("SegmentationObject", image_id), size)
    classes = read_labels(root, mask_file("SegmentationClass", image_id), size)
    numbers, category, void = instances_of(objects, classes)
    unknown = set(category.tolist()) - set(categories)
    if unknown:
        raise UserError(
            f"{mask_file('SegmentationClass', image_id)} has the class value {min(unknown)}, but the class list has "
            f"only {len(categories)} names; give all classes in dataset.classes."
        )
    rles = rle.encode(objects[None] == numbers[:, None, None])
    name = f"Annotations/{image_id}.xml"
    listed = read_objects(root / name, name) if (root / name).is_file() else []
    hard = difficult(numbers, [categories[key] for key in category.tolist()], rle.to_bbox(rles), listed)
    return rles, category, np.where(hard, DIFFICULT, 0), void


def read_labels(root, name, size):
    """(H, W) uint8 palette indices or grey values of a label PNG; UserError when its size is not `size` (H, W)."""
    try:
        with Image.open(root / name, formats=("PNG",)) as image:
            image.load()
            labels, mode = np.asarray(image), image.mode
    except Exception as error:  # a damaged file makes Pillow's decoder raise nearly anything
        raise UserError(f"{name} is not a readable PNG ({error}); replace it or drop the photo's masks.") from None
    if mode not in ("P", "L"):
        raise UserError(f"{name} has mode {mode}, not a palette or grey PNG of label numbers; convert it.")
    if labels.shape != size:
        raise UserError(
            f"{name} is {labels.shape[1]}x{labels.shape[0]} pixels, but its photo is {size[1]}x{size[0]} (after EXIF "
            "rotation); make the two the same size."
        )
    return labels


def instances_of(objects, classes):
    """Instance numbers, their categories, and the void pixels of a photo.

    objects, classes : (H, W) uint8; 0 background, 255 void. Returns (n,) uint8 numbers, ascending, (n,) int64
    categories by the majority of `classes` within the instance (the lower one of a tie), and (H, W) bool void. An
    instance without a pixel of a class becomes void.
    """
    numbers = np.setdiff1d(np.unique(objects), (0, VOID))
    pair = objects.astype(np.int64) * 256 + classes
    count = np.bincount(pair.ravel(), minlength=256 * 256).reshape(256, 256)
    count[:, (0, VOID)] = 0
    category = count.argmax(1)
    known = category[numbers] > 0
    void = (objects == VOID) | np.isin(objects, numbers[~known])
    return numbers[known], category[numbers[known]], void


def difficult(numbers, names, boxes, listed):
    """(n,) bool: which instances the XML calls difficult.

    numbers : (n,) instance numbers. names : n class names. boxes : (n, 4) x, y, width, height. listed : Objects of
    the XML. An instance is the XML object that names its number (<instance>), where the file has such numbers; else
    the object at its number's place in the file, as VOC orders them, if class and box agree; else the object of its
    class that overlaps it most. Where none does, it is not difficult.
    """
    result = np.zeros(len(numbers), bool)
    by_number = {one.instance: one for one in listed if one.instance is not None}
    places = [one for one in listed if one.box is not None]
    corners = np.array([one.box for one in places], np.float64).reshape(-1, 4)
    # VOC's corners count from 1 and belong to the box
    theirs = np.column_stack([corners[:, :2] - 1, corners[:, 2:] - corners[:, :2] + 1])
    overlap = rle.box_iou(boxes, theirs)
    for k, number in enumerate(np.asarray(numbers).tolist()):
        if by_number:
            result[k] = number in by_number and by_number[number].difficult
            continue
        same = [j for j, one in enumerate(places) if spelling(one.name) == spelling(names[k])]
        fits = [j for j in same if overlap[k, j] >= MATCH_IOU]
        at_place = listed[number - 1] if number <= len(listed) else None
        same = [j for j in fits if places[j] is at_place]
        if fits:
            result[k] = places[same[0] if same else max(fits, key=lambda j: overlap[k, j])].difficult
    return result
