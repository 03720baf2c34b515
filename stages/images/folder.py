"""Reader of one's own photos: a folder of images and a CSV of tags (`tag2mask.data.tags`). There is no ground truth."""

from stages.images import listing as listings
from stages.images.listing import Entry, Listing, files_below, inside, unique
from tag2mask.data.names import Names, photo_ids
from tag2mask.data.sheets import read_text
from tag2mask.data.tags import category_ids, read_tags
from tag2mask.errors import UserError


def read(config, job):
    """The Listing of the photos in the CSV; held out are those of the list `val`."""
    root = listings.dataset_root(config)
    folder = listings.photo_folder(root, config.photos, "dataset.photos")
    text = read_text(root / inside(config.tags, "dataset.tags"), "dataset.tags", job.warn)
    rows = read_tags(text, config.tags, known=config.classes or (), warn=job.warn)
    names = config.classes or sorted({tag for _, tags in rows for tag in tags})
    if rows and not names:
        raise UserError(f"{config.tags} has no tag at all; write at least one tag for each photo.")
    categories = dict(enumerate(names, start=1))
    listed = [(name, tags, config.tags) for name, tags in rows]
    if config.val:
        lines = listings.read_lines(root / inside(config.val, "dataset.val"), "val", job.warn)
        listed += [(name, None, config.val) for name in lines]
    files = files_below(root / folder)
    photos = Names(files)
    found = [photos.find(inside(name, where)) for name, _, where in listed]
    if photos.sentence(config.tags):
        job.warn(photos.sentence(config.tags))
    paths = [path or name for path, (name, _, _) in zip(found, listed)]
    train = unique([path for path, (_, tags, _) in zip(paths, listed) if tags is not None], config.tags)
    val = [path for path, (_, tags, _) in zip(paths, listed) if tags is None]
    listings.disjoint(train, unique(val, config.val) if config.val else [])
    ids = photo_ids(dict.fromkeys(paths))

    listing = Listing(root, categories, [], val_share=0.0 if config.val else config.val_share)
    for path, known, (name, tags, where) in zip(paths, found, listed):
        if known is None:
            listing.problems.append((ids[path], absent(folder, name, photos.candidates(name), where)))
            continue
        try:
            own = category_ids(tags or (), categories, f"{where}: {name}")
        except UserError as error:
            listing.problems.append((ids[path], str(error)))
            continue
        listing.entries.append(Entry(ids[path], str(folder / path), own, train=tags is not None, val=tags is None))
    extra = sorted(set(files) - set(paths))
    if extra:
        job.warn(f"{len(extra)} photos have no line in {config.tags} and are left out, the first is {extra[0]}.")
        job.count(photos_without_line=len(extra))
    return listing


def absent(folder, name, several, where):
    """The sentence on a name that no photo, or more than one, answers."""
    if several:
        return f"{where} names {name}, which may be {' or '.join(several[:3])}; write the whole path."
    return f"{folder / name} does not exist; put the photo there or drop it from {where}."
