"""From a listing to the index: every photo is decoded once, bad ones are refused or left out."""

import hashlib

import numpy as np

from stages.images import split
from stages.images.listing import parallel
from tag2mask.data import class_table
from tag2mask.data.index import Index
from tag2mask.data.photo import decode, is_turned, turned_sentence
from tag2mask.errors import UserError


def make_index(listing, config, job):
    """The Index of the usable photos of `listing`, in the order of their ids.

    Raises UserError for the first bad photo (the log has them all), unless `config.on_bad_image` is "skip".
    """
    problems = list(listing.problems)
    entries = tagged(sorted(listing.entries, key=lambda entry: entry.image_id), problems, config, job)
    upright = config.exif == "apply"

    def read(entry):
        return measure(listing.root / entry.path, entry.path, config.min_side, upright=upright)

    looked = parallel(read, entries, threads=job.threads)
    good, sizes, digests, looks, turned = [], [], [], [], []
    for entry, (size, digest, look, is_so, sentence) in zip(
        entries, job.progress(looked, total=len(entries), what="checking photos")
    ):
        if sentence is not None:
            problems.append((entry.image_id, sentence))
            continue
        good.append(entry)
        sizes.append(size)
        digests.append(digest)
        looks.append(look)
        turned += [entry.path] * is_so
    refuse(problems, config, job)
    report(problems, good, config, job)
    if listing.val_share:
        split.hold_out(good, looks, listing.val_share, job)
    if turned and upright and (listing.truth is not None or config.points):
        job.warn(turned_sentence(turned, "masks and points"))
    index = Index.build(
        listing.root, listing.categories,
        image_id=[entry.image_id for entry in good], path=[entry.path for entry in good], size=sizes,
        tags=[entry.tags for entry in good], train=[entry.train for entry in good],
        with_masks=[entry.with_masks for entry in good], val=[entry.val for entry in good],
        shards=config.shards, digest=digests, skipped=problems, upright=upright,
        negative=[entry.negative for entry in good],
    )  # fmt: skip
    if not index.train.any():
        raise UserError("The split train has no usable photo; see the warnings, or name another list.")
    if any(entry.val for entry in listing.entries) and not index.val.any():
        raise UserError("The split val has no usable photo; see the warnings, or name another list.")
    labelled = len(index.of_shard(None))
    if config.shards > labelled:
        raise UserError(
            f"dataset.shards is {config.shards}, but there are only {labelled} training photos; "
            "use at most as many shards as photos."
        )
    tell_classes(index, listing, job)
    return index


def tell_classes(index, listing, job):
    """The table of classes in the log; a warning of classes that no training photo shows."""
    rows = class_table.rows(index)
    for line in class_table.lines(rows):
        job.log.info(line)
    had = {key for entry in listing.entries if entry.train for key in entry.tags}
    bare = [(key, row.name) for key, row in zip(index.categories, rows) if not row.photos]
    lost = [name for key, name in bare if key in had]
    if bare:
        more = f" ({', '.join(lost)}: all photos were left out)" if lost else ""
        job.warn(
            f"No training photo shows {', '.join(name for _, name in bare)}{more}; nothing can be learned of a class "
            "without photos: add some, or name the others in dataset.classes."
        )


def tagged(entries, problems, config, job):
    """`entries` without those that are to get labels and have no tag: `problems`, counted, or negatives."""
    untagged = [entry for entry in entries if not entry.val and not entry.tags]
    if untagged and config.on_untagged != "error":
        job.count(untagged=len(untagged))
        first = f"the first is {untagged[0].image_id}"
    if untagged and config.on_untagged == "negative":
        job.log.info("%d training photos without a tag show none of the classes, %s", len(untagged), first)
        for entry in untagged:
            entry.negative, entry.train, entry.with_masks = entry.train, False, False
    elif untagged and config.on_untagged == "skip":
        job.warn(f"{len(untagged)} training photos without a tag are left out, {first}.")
    else:
        problems.extend((entry.image_id, without_tag(entry)) for entry in untagged)
    return [entry for entry in entries if entry.tags or entry.val or entry.negative]


def without_tag(entry):
    """The sentence on a training photo without a tag."""
    if entry.untagged:
        return f"{entry.path} has no tag: {entry.untagged}."
    return (
        f"{entry.path} has no tag; give it one, take it out of the training list, or set dataset.on_untagged: skip, or "
        "negative where it shows none of the classes."
    )


def refuse(problems, config, job):
    """Raise the first of `problems` as UserError, several stand in the log; nothing where bad photos are skipped."""
    if not problems or config.on_bad_image == "skip":
        return
    for _, sentence in problems if len(problems) > 1 else ():
        job.log.error(sentence)
    more = f" {len(problems) - 1} more bad photos are in the log." if len(problems) > 1 else ""
    raise UserError(f"{problems[0][1].rstrip('.')}; dataset.on_bad_image: skip leaves bad photos out.{more}")


def report(problems, good, config, job):
    """List the skipped photos in the manifest."""
    job.count(photos=len(good), skipped=len(problems))
    if problems:
        sentences = " ".join(f"{image_id}: {sentence}" for image_id, sentence in problems)
        job.warn(f"{len(problems)} bad photos are left out (dataset.on_bad_image: skip). {sentences}")


def measure(path, name, min_side, *, upright=True):
    """((height, width), digest, look, whether EXIF turns it, None) of the photo at `path`, or Nones and a sentence.

    digest : int, 64 bits of BLAKE2b over the file's bytes; of a photo that is turned and taken as stored, another one.
    look : uint64, see `stages.images.split`.
    """
    try:
        data = path.read_bytes()
        photo = decode(data, name, min_side=min_side, upright=upright)
    except OSError as error:
        return None, None, None, None, f"{name} cannot be read ({error.strerror}); put the photo there or drop it."
    except UserError as error:
        return None, None, None, None, str(error)
    turned = is_turned(data)
    seen = b"stored" if turned and not upright else b""
    digest = int.from_bytes(hashlib.blake2b(data, digest_size=8, person=seen).digest(), "little")
    return photo.shape[:2], np.uint64(digest), split.look(photo), turned, None
