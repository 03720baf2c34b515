"""Show what a store holds: tag2mask inspect STORE [IMAGE] [--png FILE] [--photos FOLDER]

STORE: a .zarr.zip file or a directory store of any stage. IMAGE: an image id, for that image alone. --png: also as a
picture. Photos are found through the index of the same run, or by name in the folder given with --photos; else the
ground is grey.
"""

import argparse
import importlib
from functools import partial
from pathlib import Path

from tag2mask.run.registry import dataset, stages
from tag2mask.view import inspect

INDEX = f"{dataset().word}/default/index.zarr.zip"  # in the folder of a run


def arguments(parser: argparse.ArgumentParser) -> None:
    """STORE, IMAGE and the options."""
    parser.add_argument("store", metavar="STORE", type=Path)
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="image id")
    parser.add_argument("--png", metavar="FILE", type=Path, help="write a picture")
    parser.add_argument("--photos", metavar="FOLDER", type=Path, help="where the photos are, by image id")


def main(given: argparse.Namespace) -> None:
    """Print what there is to say; the stages describe the stores that are theirs alone."""
    own = {schema: module for stage in stages().values() for schema, module in stage.schemas.items()}
    looks = {schema: partial(importlib.import_module, module) for schema, module in own.items()}
    lines = inspect.inspect(given.store, given.image, png=given.png, photos=given.photos, looks=looks, index=INDEX)
    print("\n".join(lines))
