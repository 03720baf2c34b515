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
    """The Listing of all scenes of the seed `job.seed`; photos go to `job.folder`/photos."""
    root = (job.folder / "photos").absolute()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    numbers = scene_numbers(config.n_train, config.n_val, config.n_measured)
    scenes = [(f"{split}_{k:06d}", split, i) for split, own in numbers.items() for k, i in enumerate(own)]

    def draw(scene):
        name, _, i = scene
        made = make_scene(job.seed, i, size=config.size)
        write_photo(made.photo, root / f"{name}.png")
        return made.tags, rle.encode(made.masks), made.category

    entries, masks, masked = [], {}, "measured" if config.n_measured else "train"
    drawn = parallel(draw, scenes, threads=job.threads)
    for (name, split, _), (tags, rles, category) in zip(
        scenes, job.progress(drawn, total=len(scenes), unit="scenes", what="drawing")
    ):
        splits = {"train": split == "train", "with_masks": split == masked, "val": split == "val"}
        entries.append(Entry(name, f"{name}.png", tags, **splits))
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
