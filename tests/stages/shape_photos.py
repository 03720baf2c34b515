"""A dataset of photos that show one disc (3) or one box (7) each, for the tests of `refine` and `segment`."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder

CATEGORIES = {3: "disc", 7: "box"}


def written(folder, photos, *, ignore=()):
    """Index, label store of all but the last two, and ground truth of all `photos`: (photo, masks); paths.

    The photos show discs and boxes in turns; the last two are for validation, the first two have masks. ignore :
    places of the photos whose label is a crowd.
    """
    (folder / "photos").mkdir(parents=True)
    labels, truth = InstancesBuilder(CATEGORIES), InstancesBuilder(CATEGORIES)
    names = [f"p{k}" for k in range(len(photos))]
    tags = [(3 if k % 2 == 0 else 7,) for k in range(len(photos))]
    for k, (name, (photo, masks)) in enumerate(zip(names, photos)):
        Image.fromarray(photo).save(folder / "photos" / f"{name}.png")
        truth.add(name, photo.shape[:2], masks, category=tags[k][0])
        if k < len(photos) - 2:
            labels.add(name, photo.shape[:2], masks, category=tags[k][0], ignore=[int(k in ignore)])
    flags = np.arange(len(photos)) < len(photos) - 2
    index = Index.build(
        folder / "photos", CATEGORIES, image_id=names, path=[f"{n}.png" for n in names],
        size=[photo.shape[:2] for photo, _ in photos], tags=tags, train=flags,
        with_masks=flags & (np.arange(len(photos)) < 2), val=~flags,
    )  # fmt: skip
    inputs = SimpleNamespace(
        index=folder / "index.zarr.zip", labels=folder / "labels.zarr", truth=folder / "truth.zarr.zip"
    )
    index.save(inputs.index)
    labels.finish().save(inputs.labels)
    truth.finish().save(inputs.truth)
    return inputs
