"""What every reader of a dataset hands over, and what they share: list files, paths, splits, worker threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tag2mask.data.names import SUFFIXES
from tag2mask.data.sheets import read_text
from tag2mask.errors import UserError


@dataclass
class Entry:
    """A photo as its dataset lists it. path : relative to the dataset's root. tags : category ids, may be empty.

    untagged : why it may have no tag, a few words, or "". negative : whether it shows none of the classes.
    """

    image_id: str
    path: str
    tags: tuple[int, ...] = ()
    train: bool = False
    with_masks: bool = False
    val: bool = False
    untagged: str = ""
    negative: bool = False


@dataclass
class Listing:
    """A dataset before its photos were looked at.

    problems : (image id, sentence) of photos that cannot be used, not in `entries`. truth : function (index) ->
    Instances of the photos with masks, or None where there is no ground truth. val_share : part of the training photos
    that is to be held out, by `stages.images.split`.
    """

    root: Path
    categories: dict[int, str]
    entries: list[Entry]
    truth: Callable | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)
    val_share: float = 0.0


def dataset_root(config):
    """The dataset's folder as an absolute path; UserError when it is none."""
    root = Path(config.root).expanduser().absolute()
    if not root.is_dir():
        raise UserError(f"dataset.root: {root} is not a folder; give the folder of the dataset.")
    return root


def inside(name, where):
    """`name`, a relative path read from `where`; UserError when it leads out of its folder.

    What counts is the path as written: links that lie in the dataset's folder are its owner's.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0].startswith("/") or ".." in parts or ":" in parts[0] or "\0" in name:
        raise UserError(f"{where} names {name!r}, which leads out of the dataset's folder; use a path inside it.")
    return name


def photo_folder(root, name, key):
    """PurePosixPath below `root` of a folder of photos; "." is the root. key : the configuration key that names it."""
    folder = PurePosixPath("." if name in (".", "") else inside(name, key))
    if not (root / folder).is_dir():
        raise UserError(f"{key}: {root / folder} is not a folder; give the folder of the photos, below root.")
    return folder


def files_below(folder):
    """The photos in `folder`, subfolders included: sorted paths below it with / between."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path.relative_to(folder).as_posix() for path in files)


def read_lines(path, key, warn=None):
    """The non-empty lines of a text file, without spaces around them. key : the configuration key that names it."""
    return [line.strip() for line in read_text(path, f"dataset.{key}", warn).splitlines() if line.strip()]


def unique(ids, where):
    """`ids`, a list of str; UserError when one stands twice or there is none."""
    if not ids:
        raise UserError(f"{where} lists no photo; fill it or name another list.")
    seen = set()
    for one in ids:
        if one in seen:
            raise UserError(f"{where} lists {one} twice; remove one of the two.")
        seen.add(one)
    return ids


def disjoint(train, val):
    """UserError when a photo stands in both lists of ids: what is held out must not be trained on."""
    shared = sorted(set(train) & set(val))
    if shared:
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise UserError(
            f"The splits train and val share the id {shared[0]}{more}; take held-out photos out of train, "
            "or give photos of the same name different names."
        )


def find_photo(folder, stem):
    """The file name of the photo `stem` in `folder` (str relative to it), or None."""
    for suffix in SUFFIXES:
        for one in (suffix, suffix.upper()):
            if (folder / (stem + one)).is_file():
                return stem + one
    return None


def parallel(work, items, *, threads):
    """Yield work(item) in order, from `threads` worker threads."""
    if threads <= 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, items)
