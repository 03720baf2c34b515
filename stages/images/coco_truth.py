"""Ground truth of COCO annotations: objects of the photos of the index become an instance table."""

from pathlib import Path

import numpy as np

from tag2mask.data.coco import table_of
from tag2mask.data.instances import Instances
from tag2mask.errors import UserError


def read_truth(index, *, documents, names, config, job):
    """Instances of all photos of the index: own ids, areas and boxes, crowds with ignore 1; in index order.

    documents : split -> tidy document whose images have `image_id`. Photos with an annotation that has no mask are left
    out and counted, as are, if bad photos are skipped, those whose mask has another size than the photo.
    """
    position = {name: i for i, name in enumerate(index.image_id)}
    tables = []
    for split, document in documents.items():
        table = table_of(usable(document, names[split], position, index, config, job), names[split])
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
    """The part of a COCO document whose photos are in the index and whose masks can be used.

    An image without a size has its photo's.
    """
    maskless = {one["image_id"] for one in document["annotations"] if not one.get("segmentation")}
    images, left_out = [], 0
    for image in document["images"]:
        i = position.get(image["image_id"])
        if i is None:
            continue
        if image["id"] in maskless:
            left_out += 1
            continue
        size = tuple(index.size[i].tolist())
        given = (image.get("height", size[0]), image.get("width", size[1]))
        if given != size:
            sentence = other_size(name, given, index.path[i], size)
            if config.on_bad_image != "skip":
                raise UserError(sentence)
            job.warn(f"{sentence} The photo has no ground truth (dataset.on_bad_image: skip).")
            continue
        images.append({**image, "height": size[0], "width": size[1]})
    if left_out:
        job.warn(f"{left_out} photos of {name} have objects without a mask and no ground truth.")
        job.count(**{f"{Path(name).stem}_without_mask": left_out})
    numbers = {image["id"] for image in images}
    annotations = [one for one in document["annotations"] if one["image_id"] in numbers]
    return {"images": images, "annotations": annotations, "categories": document["categories"]}


def other_size(name, given, path, size):
    """The sentence on masks of another size than their photo. given, size : (height, width)."""
    sides = f"{name} has masks of {given[1]}x{given[0]} pixels for {path}, which is {size[1]}x{size[0]}"
    if given == size[::-1]:
        return (
            f"{sides} (after EXIF rotation); where they were drawn on the stored pixels set dataset.exif: ignore, else "
            "make the two the same size."
        )
    return f"{sides} (after EXIF rotation); make the two the same size."
