"""Reader of generated scenes: draws them, writes the photos as PNG, and knows the exact masks."""

import os
import shutil
from functools import partial

from PIL import Image

from stages.images.listing import Entry, Listing, parallel
from stages.images.scenes import CLASSES, make_scene, scene_numbers
from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder


def read(config, job):
    """The Listing of `n_train` + `n_val` scenes of the seed `job.seed`; photos go to `job.folder`/photos."""
    root = (job.folder / "photos").absolute()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    train, val = scene_numbers(config.n_train, config.n_val)

    def draw(i):
        scene = make_scene(job.seed, i, size=config.size)
        name = f"train_{i:06d}" if i in numbers else f"val_{i - (val[0] if val else 0):06d}"
        write_photo(scene.photo, root / f"{name}.png")
        return name, scene.tags, rle.encode(scene.masks), scene.category

    numbers = set(train)
    entries, masks = [], {}
    drawn = parallel(draw, [*train, *val], threads=job.threads)
    for i, (name, tags, rles, category) in zip(
        [*train, *val], job.progress(drawn, total=len(train) + len(val), unit="scenes", what="drawing")
    ):
        here = i in numbers
        entries.append(Entry(name, f"{name}.png", tags, train=here, with_masks=here, val=not here))
        masks[name] = rles, category
    return Listing(root, dict(CLASSES), entries, partial(read_truth, masks=masks))


def write_photo(photo, path):
    """Write (H, W, 3) uint8 RGB as PNG, whole or not at all."""
    part = path.with_suffix(".part")
    Image.fromarray(photo).save(part, format="PNG", compress_level=1)
    os.replace(part, path)


def read_truth(index, *, masks):
    """Instances of all scenes, in index order."""
    builder = InstancesBuilder(index.categories)
    for name, size in zip(index.image_id, index.size):
        rles, category = masks[name]
        builder.add(name, size, rles, category=category)
    return builder.finish()
