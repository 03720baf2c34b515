"""Write a store for other tools: tag2mask export STORE OUT

STORE: a .zarr.zip file or a directory store. OUT says as what: FILE.json as COCO JSON (a store of instances; photos are
named as in the index of the same run), FOLDER.zarr as a directory store, which any Zarr tool opens.
"""

import argparse
import json
import zipfile
from pathlib import Path

from tag2mask.cli.inspect import INDEX
from tag2mask.data import coco, instances
from tag2mask.data.index import index_near
from tag2mask.data.photo import SUFFIXES
from tag2mask.errors import UserError
from tag2mask.store import manifest, store


def arguments(parser: argparse.ArgumentParser) -> None:
    """STORE and OUT."""
    parser.add_argument("store", metavar="STORE", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path, help="FILE.json or FOLDER.zarr, not there yet")


def main(given: argparse.Namespace) -> None:
    """Write OUT, whole or not at all. UserError for what cannot be."""
    write = {".json": write_json, ".zarr": write_folder}.get(given.out.suffix)
    if write is None:
        raise UserError(f"{given.out} ends neither in .json (COCO JSON) nor in .zarr (directory store); name one so.")
    if given.out.exists():
        raise UserError(f"{given.out} exists; name one that does not.")
    write(given.store, given.out)
    print(given.out)


def write_json(path: Path, out: Path) -> None:
    """The instance store at `path` as COCO JSON."""
    found = store.open(path).attrs.get("schema")
    if str(found).partition("/")[0] != instances.SCHEMA.partition("/")[0]:
        raise UserError(
            f"{path} holds {found}, and COCO JSON is for {instances.SCHEMA} alone; name an OUT that ends in .zarr."
        )
    table, index = instances.Instances.load(path), index_near(path, INDEX)
    files = {name: name for name in table.image_id if name.lower().endswith(SUFFIXES)}
    files |= {} if index is None else dict(zip(index.image_id, index.path))
    if not table.category.all():  # COCO's readers want every category listed
        table = table.replaced(categories={0: "proposal"} | table.categories)
    try:
        content = coco.to_coco(table, file_names=files)
    except ValueError as error:
        raise UserError(f"{path} cannot be COCO JSON: {error}; name an OUT that ends in .zarr.") from None
    manifest.write_text(out, json.dumps(content))


def write_folder(path: Path, out: Path) -> None:
    """The zip store at `path` as a directory store, chunk by chunk as it is."""
    if path.is_dir():
        raise UserError(f"{path} is a directory store already; copy it.")
    store.read(path)  # it is a store, and what its manifest says
    with store.atomic(out) as part, zipfile.ZipFile(path) as archive:
        archive.extractall(part)
