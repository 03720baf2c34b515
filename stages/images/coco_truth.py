"""Ground truth of COCO annotations: objects of the photos of the index become an instance table."""

import contextlib
from functools import partial
from pathlib import Path

from tag2mask.data import coco_json
from tag2mask.data.coco import add, grouped, images_of, segment_to_rle
from tag2mask.data.instances import InstancesBuilder
from tag2mask.errors import UserError


def read_truth(index, *, documents, names, config, job):
    """Instances of all photos of the index: own ids, areas and boxes, crowds with ignore 1; in index order.

    documents : split -> tidy document without masks (`stages.images.coco.load`) whose images have `image_id`; its file
    is read again, each mask becoming run lengths as it is read. Photos with an annotation that has no mask are left
    out and counted, as are, if bad photos are skipped, those whose mask has another size than the photo.
    """
    position = {name: i for i, name in enumerate(index.image_id)}
    photos, ids = {}, set()  # place in the index -> what `add` needs; ids of the first document
    for split, document in documents.items():
        name = names[split]
        images, categories = images_of(usable(document, name, position, index, config, job), name)
        size = {image[0]: image[2] for image in images}
        listed = [one for one in document["annotations"] if one["image_id"] in size]
        groups = grouped(images, categories, listed, where=name, by_name=False)
        own, shift = {one["id"] for one in listed if one["category_id"] in index.categories}, 0
        if not ids.isdisjoint(own):
            shift = max(ids)
            job.warn(f"{names['train']} and {name} share annotation ids; the latter's were raised by {shift}.")
        ids = ids or own
        masks = coco_json.load(index.root / name, partial(packed, size=size))["annotations"]
        for image, group in zip(images, groups):
            photos[position[image[1]]] = (image, group, masks, shift, name)
    builder = InstancesBuilder(index.categories)
    for i in sorted(photos):
        image, group, masks, shift, name = photos.pop(i)
        whole = [with_mask(one, masks, image[2], shift) for one in group if one["category_id"] in index.categories]
        add(builder, image, whole, where=name)
    return builder.finish()


def packed(one, *, size):
    """(mask, box or None, area or None) of an annotation as it is read, None where its image is not in `size`.

    size : {image id: (H, W)}. The mask is the bytes of its run lengths; where it cannot be understood, as it is, for
    `add` to say so.
    """
    tidy, _ = coco_json.annotation(one)
    if tidy["image_id"] not in size:
        return None
    mask = tidy.get("segmentation")
    with contextlib.suppress(UserError):
        mask = segment_to_rle(mask, size[tidy["image_id"]], "")["counts"]
    return mask, tidy.get("bbox"), tidy.get("area")


def with_mask(one, masks, size, shift):
    """An annotation with what `packed` has of it, its id raised by `shift`."""
    mask, box, area = masks[one["number"]]
    mask = {"size": list(size), "counts": mask} if isinstance(mask, bytes) else mask
    given = {key: value for key, value in (("bbox", box), ("area", area)) if value is not None}
    return {**one, **given, "id": one["id"] + shift, "segmentation": mask}


def usable(document, name, position, index, config, job):
    """A COCO document with the images whose photos are in the index and whose masks can be used.

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
    return {**document, "images": images}


def other_size(name, given, path, size):
    """The sentence on masks of another size than their photo. given, size : (height, width)."""
    sides = f"{name} has masks of {given[1]}x{given[0]} pixels for {path}, which is {size[1]}x{size[0]}"
    if given == size[::-1]:
        return (
            f"{sides} (after EXIF rotation); where they were drawn on the stored pixels set dataset.exif: ignore, else "
            "make the two the same size."
        )
    return f"{sides} (after EXIF rotation); make the two the same size."
