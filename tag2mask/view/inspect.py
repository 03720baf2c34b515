"""What a store holds: python -m tag2mask.view.inspect STORE [IMAGE] [--png FILE] [--unzip FOLDER] [--photos FOLDER]

STORE: a .zarr.zip file or a directory store of any stage: instances, maps, index, peaks, mil, graph, labels. IMAGE: an
image id, for that image alone. --png: also as a picture. --unzip: also as a directory store that any Zarr tool opens.
Photos are found through the index of the same run, or by name in the folder given with --photos; else ground is grey.
"""

import argparse
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.maps import Maps
from tag2mask.data.photo import SUFFIXES, read_photo
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.store import store
from tag2mask.view import describe

KINDS = ("instances", "maps", "index", "peaks", "mil", "graph", "labels")
WITHOUT_IMAGES = ("graph", "labels")
MANY = 12  # images in a picture of a whole store


def main(arguments=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tag2mask.view.inspect", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("store", metavar="STORE", type=Path)
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="image id")
    parser.add_argument("--png", metavar="FILE", type=Path, help="write a picture")
    parser.add_argument("--unzip", metavar="FOLDER", type=Path, help="write a directory store")
    parser.add_argument("--photos", metavar="FOLDER", type=Path, help="where the photos are, by image id")
    options = parser.parse_args(arguments)
    try:
        print("\n".join(inspect(options)), flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # piped into head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def inspect(options):
    """All lines to print; writes what the options ask for."""
    kind, held, arrays, schema = load(options.store)
    index = held if kind == "index" else find_index(options.store)
    names = dict(getattr(held, "categories", None) or (index.categories if index is not None else {}))
    for key in ("category", "label"):  # where no index is near, a class has its number for a name
        names.update({c: f"class {c}" for c in np.unique(arrays.get(key, [])).tolist() if c > 0 and c not in names})
    i = None if options.image is None else find_image(held, kind, options)
    if i is None:
        lines = describe.head(options.store, schema, arrays, size=size_of(options.store))
        lines += ["", *getattr(describe, kind)(held, names)]
    else:
        lines = getattr(describe, f"{kind}_of")(held, i, names)
    if options.png is not None:
        save(options.png, draw(kind, held, i, names=names, photos=Photos(options.photos, index), path=options.store))
        lines += ["", f"picture: {options.png}"]
    if options.unzip is not None:
        unzip(options.store, options.unzip)
        lines += ["", f"directory store: {options.unzip}"]
    return lines


def load(path):
    """(kind, the typed object, its arrays, schema) of the store at `path`."""
    arrays, _, schema = store.read(path)
    kind, _, version = str(schema).partition("/")
    if kind not in KINDS:
        known = ", ".join(f"{name}/1" for name in KINDS)
        raise UserError(f"{path} has schema {schema!r}, which inspect does not know; it knows {known}.")
    if version != "1":
        raise UserError(
            f"{path} has schema {schema!r}, this version of tag2mask reads {kind}/1; use the version that wrote it."
        )
    whole = {"instances": Instances, "maps": Maps, "index": Index}
    held = whole[kind].load(path) if kind in whole else Table.load(path, schema)
    return kind, held, arrays, schema


def ids_of(held):
    return [str(one) for one in (held["image_id"] if isinstance(held, Table) else held.image_id)]


def find_image(held, kind, options):
    """The number of the image asked for."""
    if kind in WITHOUT_IMAGES:
        raise UserError(f"{options.store} holds the nodes of all images as one; leave out {options.image}.")
    ids = ids_of(held)
    if options.image not in ids:
        near = f"for example {', '.join(ids[:3])}" if ids else "it has none"
        raise UserError(f"{options.store} has no image {options.image!r} among its {len(ids)} images, {near}.")
    return ids.index(options.image)


def find_index(path):
    """The index of the run that the store lies in, or None."""
    for folder in Path(path).resolve().parents:
        found = folder / "images" / "default" / "index.zarr.zip"
        if found.is_file():
            return Index.load(found)
    return None


class Photos:
    """Photos by image id: from a folder, else from an index, else a grey canvas."""

    def __init__(self, folder, index):
        if folder is not None and not folder.is_dir():
            raise UserError(f"--photos {folder} is no folder.")
        self.files = {}
        for file in sorted(folder.rglob("*")) if folder is not None else ():
            if file.suffix.lower() in SUFFIXES:  # an id is a name, or a path below the folder, with its ending or not
                below = file.relative_to(folder)
                for one in (file.stem, below.with_suffix("").as_posix(), below.as_posix()):
                    self.files.setdefault(one, file)
        self.index = None if folder is not None else index
        self.number = {} if self.index is None else {name: i for i, name in enumerate(index.image_id)}

    def __call__(self, name, size, *, canvas=None):
        """(H, W, 3) uint8 RGB of `size` (H, W); None where the size is not known, then a canvas is of size `canvas`."""
        if name in self.files:
            photo = read_photo(self.files[name])
        elif name in self.number and self.index.file(self.number[name]).is_file():
            photo = self.index.photo(self.number[name])
        else:
            photo = np.full((*(canvas if size is None else size), 3), 128, np.uint8)
        if size is not None and photo.shape[:2] != tuple(int(one) for one in size):
            raise UserError(
                f"the photo of {name} is {photo.shape[:2]} pixels (height, width), the store says "
                f"{tuple(int(one) for one in size)}; name the right folder with --photos."
            )
        return photo


def draw(kind, held, i, *, names, photos, path):
    """The picture of the store, or of its image i: (H, W, 3) uint8."""
    from tag2mask.view import draw, picture

    palette = draw.Palette([c for c in names if c > 0])
    if kind == "graph":
        counts, edges = np.histogram(held["cosine"], bins=20)
        rows = [(f"{a:.2f} to {b:.2f}", int(n), None) for n, a, b in zip(counts, edges, edges[1:])]
        return picture.bars(rows, title=f"{path.name}: cosine of the edges", unit="edges")
    if kind == "labels":
        rows = [
            (describe.named(names, c), int((held["label"] == c).sum()), palette(c)) for c in np.unique(held["label"])
        ]
        return picture.bars(rows, title=f"{path.name}: label of the nodes", unit="nodes")
    ids = ids_of(held)
    title = path.name if i is None else f"{ids[i]}  ·  {path.name}"
    if kind == "mil":
        part = slice(None) if i is None else slice(*held["first"][i : i + 2])
        p = held["p"][part]
        rows = [
            (describe.named(names, c), float(p[:, k].mean()) if len(p) else 0.0, palette(c))
            for k, c in enumerate(held.meta["labels"])
        ]
        return picture.bars(rows, title=f"{title}: mean class probability of {len(p)} proposals", unit="")
    side = picture.SIDE if i is not None else picture.SMALL
    shown = [i] if i is not None else np.unique(np.linspace(0, len(ids) - 1, MANY).astype(int)) if ids else []
    tiles = [tile for k in shown for tile in tiles_of(kind, held, int(k), names=names, photos=photos, side=side)]
    if not tiles:
        raise UserError(f"there is nothing to draw in {path}.")
    if i is None:
        title += f": {len(shown)} of {len(ids)} images"
    return picture.sheet(tiles, title=title, columns=2 if i is not None and len(tiles) > 1 else None)


def tiles_of(kind, held, i, *, names, photos, side):
    """[(picture, caption)] of one image."""
    from tag2mask.view import draw, picture

    name = ids_of(held)[i]
    if kind == "peaks":
        part = slice(*held["first"][i : i + 2])
        found = sorted({describe.named(names, c) for c in held["category"][part]})
        caption = f"{name}: peaks of {', '.join(found)}" if found else f"{name}: no peaks"
        photo = photos(name, None, canvas=held["yx"][part].max(0, initial=299) + 20)
        return [(picture.peaks(photo, held, i, names=names, side=side), caption)]
    photo = photos(name, held.size[i])
    if kind == "instances":
        total = int(np.diff(held.first)[i])
        caption = f"{name}: {total} mask{'' if total == 1 else 's'}"
        caption += f", the best {picture.MASKS} drawn" if total > picture.MASKS else ""
        return [(picture.instances(photo, held, i, names=names, side=side), caption)]
    if kind == "maps":
        return [(one, f"{name}: {text}") for one, text in picture.maps(photo, held, i, names=names, side=side)]
    tags = ", ".join(describe.named(names, c) for c in held.tags(i))
    return [(draw.fitted(photo, side), f"{name}: {tags or 'no tags'}")]


def save(path, picture):
    from PIL import Image

    try:
        Image.fromarray(picture).save(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write the picture {path}: {getattr(error, 'strerror', None) or error}.") from None


def unzip(path, folder):
    """The directory store `folder` of the zip store `path`, whole or not at all."""
    if path.is_dir():
        raise UserError(f"{path} is a directory store already.")
    if folder.exists():
        raise UserError(f"{folder} exists; name a folder that does not.")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(part)
        os.replace(part, folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}.") from None
    finally:
        if part.exists():
            store.remove(part)


def size_of(path):
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return sum(f.stat().st_size for f in files)


if __name__ == "__main__":
    sys.exit(main())
