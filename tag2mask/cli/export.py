"""Write a store for other tools: tag2mask export STORE OUT [--format FORMAT] [--root FOLDER] [--min-score S] [--val S]

STORE: a .zarr.zip file or a directory store. Without a format OUT says as what: FILE.json as COCO JSON with run
lengths, FOLDER.zarr as a directory store, which any Zarr tool opens. Formats of instances, labels and predictions:

  coco-rle, coco-polygons   FILE.json
  yolo-seg                  FOLDER with data.yaml, labels and links to the photos
  cvat                      FILE.xml, CVAT for images 1.1
  labelme                   FOLDER of JSON files, for X-AnyLabeling too
  label-studio              FILE.json, tasks with predictions

Photos are named relative to --root, by default the root of the dataset of the run that STORE lies in, or the folder
that `tag2mask predict` looked at; those of a store of neither are looked for in --root. Photos without instances are
listed too. Masks are in upright pixels: photos count as turned by their EXIF data.
"""

import argparse
import importlib
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

from tag2mask.cli.inspect import INDEX
from tag2mask.data import instances
from tag2mask.data.formats import FORMATS, Export
from tag2mask.data.index import Index, index_near
from tag2mask.data.instances import Instances
from tag2mask.data.names import SUFFIXES, Names
from tag2mask.data.photo import photos_in
from tag2mask.errors import UserError
from tag2mask.store import store


def arguments(parser: argparse.ArgumentParser) -> None:
    """STORE, OUT and the options."""
    parser.add_argument("store", metavar="STORE", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path, help="file or folder, not there yet")
    parser.add_argument("--format", choices=FORMATS, help="default: what the ending of OUT says")
    parser.add_argument("--root", metavar="FOLDER", type=Path, help="what file names are relative to")
    parser.add_argument("--min-score", metavar="S", type=float, default=0.0, help="leave out instances below (0)")
    parser.add_argument(
        "--val", metavar="SHARE", type=float, default=0.1,
        help="yolo-seg: of the photos, the last by name, where the store holds no validation photo (0.1)",
    )  # fmt: skip


def main(given: argparse.Namespace) -> None:
    """Write OUT, whole or not at all. UserError for what cannot be."""
    if given.format is None and given.out.suffix not in (".json", ".zarr"):
        raise UserError(
            f"{given.out} ends neither in .json (COCO JSON) nor in .zarr (directory store); name one so, or a --format."
        )
    if given.format is not None and given.out.suffix != FORMATS[given.format][1]:
        ending = FORMATS[given.format][1]
        raise UserError(f"{given.out}: {given.format} is a {f'file {ending}' if ending else 'folder'}; name one so.")
    if given.out.exists():
        raise UserError(f"{given.out} exists; name one that does not.")
    if given.out.suffix == ".zarr":
        write_folder(given.store, given.out)
        print(given.out)
    else:
        print(write_format(given))


def write_format(given: argparse.Namespace) -> str:
    """The instance store as a format of other tools; returns what was written, in words."""
    found = store.open(given.store).attrs.get("schema")
    if str(found).partition("/")[0] != instances.SCHEMA.partition("/")[0]:
        raise UserError(
            f"{given.store} holds {found}, and formats of instances are for {instances.SCHEMA} alone; name an OUT that "
            "ends in .zarr."
        )
    table, index = Instances.load(given.store), index_near(given.store, INDEX)
    if not table.category.all():  # readers want every category listed
        table = table.replaced(categories={0: "proposal"} | table.categories)
    whole = given.format in (None, "coco-rle") and given.min_score <= 0  # run lengths can be empty
    kept = np.ones(len(table), bool) if whole else (np.diff(table.rle_first) > 1) & (table.score >= given.min_score)
    files, root = named(table, index, given.root)
    guessed = [file for file, name in zip(files, table.image_id) if root is None and file != name]
    if guessed:
        print(
            f"{len(guessed)} photos are taken for JPEGs, the first for {guessed[0]}: {given.store} lies in no run; "
            "name their folder as --root.",
            file=sys.stderr,
        )
    held_out = validation(table, index, given.val)
    export = Export(table.select(kept), files, root, held_out, given.out.resolve())
    module = importlib.import_module(f"tag2mask.data.formats.{FORMATS[given.format or 'coco-rle'][0]}")
    try:
        with store.atomic(given.out) as part:
            module.write(export, part)
    except ValueError as error:
        raise UserError(f"{given.store} cannot be COCO JSON: {error}; name an OUT that ends in .zarr.") from None
    left = f", {len(table) - kept.sum()} left out (empty, or of a low score)" if not kept.all() else ""
    where = f", named relative to {root}" if root else ""
    return f"{given.out}: {kept.sum()} instances of {table.images} photos{where}{left}"


def named(table: Instances, index: Index | None, root: Path | None) -> tuple[list[str], Path | None]:
    """(file of every photo relative to the root, the root or None). UserError for a photo that is not below it.

    What no index knows is looked for in the root, by its id; without a root it is taken for a JPEG.
    """
    if index is None or not set(table.image_id) <= set(index.image_id):
        return looked_up(table.image_id, root), root
    path = dict(zip(index.image_id, index.path))
    files = [path[name] for name in table.image_id]
    if root is None:
        return files, index.root
    moved = [Path(os.path.relpath(index.root / file, root)).as_posix() for file in files]
    outside = next((file for file, to in zip(files, moved) if to.startswith("../")), None)
    if outside is not None:
        raise UserError(f"--root: {index.root / outside} does not lie below {root}; name a folder above all photos.")
    return moved, root


def looked_up(ids: list[str], root: Path | None) -> list[str]:
    """The files in the folder `root`, relative to it, that these ids of photos mean; see `named`."""
    if root is None:
        return [name if name.lower().endswith(SUFFIXES) else f"{name}.jpg" for name in ids]
    there = photos_in(root)
    names = Names(there)
    found = [names.find(name) for name in ids]
    if None in found:
        raise UserError(f"--root: {root} holds no photo {ids[found.index(None)]}, or several; name their folder.")
    return [there[one].relative_to(root).as_posix() for one in found if one]


def validation(table: Instances, index: Index | None, share: float) -> np.ndarray:
    """(I,) bool: the photos of the index's validation split, or, where the table has none of them, its last ones.

    The last by name rather than by chance: frames of one film, which bear one name, then stay on one side.
    """
    held = set() if index is None else {index.image_id[i] for i in index.where("val")}
    chosen = np.array([name in held for name in table.image_id], bool)
    if not chosen.any() and table.images > 1:
        chosen[table.images - max(1, round(share * table.images)) :] = True
    return chosen


def write_folder(path: Path, out: Path) -> None:
    """The zip store at `path` as a directory store, chunk by chunk as it is."""
    if path.is_dir():
        raise UserError(f"{path} is a directory store already; copy it.")
    store.read(path)  # it is a store, and what its manifest says
    with store.atomic(out) as part, zipfile.ZipFile(path) as archive:
        archive.extractall(part)
