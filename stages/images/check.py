"""From a listing to the index: every photo is decoded once, bad ones are refused or left out."""

import hashlib

import numpy as np

from stages.images.listing import parallel
from tag2mask.data.index import Index
from tag2mask.data.photo import decode
from tag2mask.errors import UserError


def make_index(listing, config, job):
    """The Index of the usable photos of `listing`, in the order of their ids.

    Raises UserError for the first bad photo (the log has them all), unless `config.on_bad_image` is "skip".
    """
    problems = list(listing.problems)
    entries = tagged(sorted(listing.entries, key=lambda entry: entry.image_id), problems, config, job)
    refuse(problems, config, job)  # before the photos are decoded, which takes long

    def look(entry):
        return measure(listing.root / entry.path, entry.path, config.min_side)

    looked = parallel(look, entries, threads=job.threads)
    good, sizes, digests = [], [], []
    for entry, (size, digest, sentence) in zip(
        entries, job.progress(looked, total=len(entries), what="checking photos")
    ):
        if sentence is not None:
            problems.append((entry.image_id, sentence))
            continue
        good.append(entry)
        sizes.append(size)
        digests.append(digest)
    refuse(problems, config, job)
    report(problems, good, config, job)
    index = Index.build(
        listing.root, listing.categories,
        image_id=[entry.image_id for entry in good], path=[entry.path for entry in good], size=sizes,
        tags=[entry.tags for entry in good], train=[entry.train for entry in good],
        with_masks=[entry.with_masks for entry in good], val=[entry.val for entry in good],
        shards=config.shards, digest=digests, skipped=problems,
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
    return index


def tagged(entries, problems, config, job):
    """`entries` without those that are to get labels and have no tag; these go to `problems` or are counted."""
    untagged = [entry for entry in entries if not entry.val and not entry.tags]
    if untagged and config.on_untagged == "skip":
        job.warn(f"{len(untagged)} training photos without a tag are left out, the first is {untagged[0].image_id}.")
        job.count(untagged=len(untagged))
    else:
        problems.extend(
            (entry.image_id, f"{entry.path} has no tag; give it one, take it out of the training list, "
             "or set dataset.on_untagged: skip.") for entry in untagged
        )  # fmt: skip
    return [entry for entry in entries if entry.tags or entry.val]


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


def measure(path, name, min_side):
    """((height, width), digest, None) of the photo at `path`, or (None, None, sentence) when it is bad.

    digest : int, 64 bits of BLAKE2b over the file's bytes.
    """
    try:
        data = path.read_bytes()
        height, width = decode(data, name, min_side=min_side).shape[:2]
    except OSError as error:
        return None, None, f"{name} cannot be read ({error.strerror}); put the photo there or drop it."
    except UserError as error:
        return None, None, str(error)
    digest = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
    return (height, width), np.uint64(digest), None
