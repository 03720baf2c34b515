"""Reader of one's own photos: a folder of images and a CSV of tags (`tag2mask.data.tags`). There is no ground truth."""

from pathlib import PurePosixPath

from stages.images.listing import Entry, Listing, dataset_root, disjoint, inside, read_lines, unique
from tag2mask.data.photo import SUFFIXES
from tag2mask.data.tags import category_ids, read_tags
from tag2mask.errors import UserError


def read(config, job):
    """The Listing of the photos named in the CSV (training) and, where there is one, in the list `val`."""
    root = dataset_root(config)
    folder = "." if config.photos in (".", "") else inside(config.photos, "dataset.photos")
    if not (root / folder).is_dir():
        raise UserError(f"dataset.photos: {root / folder} is not a folder; give the folder of the photos, below root.")
    rows = read_tags(read_lines(root / config.tags, "tags"), config.tags)
    held_out = (
        [line.strip() for line in read_lines(root / inside(config.val, "dataset.val"), "val")] if config.val else []
    )
    train = unique([photo_id(name) for name, _ in rows], f"{config.tags} (names without suffix)")
    val = unique([photo_id(name) for name in held_out], f"{config.val} (names without suffix)") if config.val else []
    disjoint(train, val)
    names = config.classes or sorted({tag for _, tags in rows for tag in tags})
    if not names:
        raise UserError(f"{config.tags} has no tag at all; write at least one tag for each photo.")
    categories = dict(enumerate(names, start=1))

    listing = Listing(root, categories, [])
    for name, tags in [*rows, *((name, None) for name in held_out)]:
        image_id = photo_id(name)
        where = config.val if tags is None else config.tags
        path = str(PurePosixPath(folder) / inside(name, where))
        if not (root / path).is_file():
            listing.problems.append((image_id, f"{path} does not exist; put the photo there or drop it from {where}."))
            continue
        try:
            ids = category_ids(tags or (), categories, f"{where}: {name}")
        except UserError as error:
            listing.problems.append((image_id, str(error)))
            continue
        listing.entries.append(Entry(image_id, path, ids, train=tags is not None, val=tags is None))
    unlisted(root, folder, {*(name for name, _ in rows), *held_out}, config, job)
    return listing


def photo_id(name):
    """The id of a photo: its path below the folder without suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def unlisted(root, folder, listed, config, job):
    """Warn of photos in the folder that no list names."""
    files = (path for path in sorted((root / folder).rglob("*")) if path.suffix.lower() in SUFFIXES)
    extra = [path.relative_to(root / folder).as_posix() for path in files]
    extra = [name for name in extra if name not in listed]
    if extra:
        job.warn(f"{len(extra)} photos have no line in {config.tags} and are left out, the first is {extra[0]}.")
        job.count(photos_without_line=len(extra))
