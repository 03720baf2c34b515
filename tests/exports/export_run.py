"""Fixtures: a run with the masks of `export_masks`, and its exports."""

from pathlib import Path

import numpy as np
import pytest
from export_masks import PHOTOS, SIZE, masks
from PIL import Image

from tag2mask.cli import main
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """(store, table): the store below a run's folder, its photos below photos/, the index with a validation photo."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    for path in PHOTOS.values():
        file = folder / "photos" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(file)
    index = Index.build(
        folder / "photos", {2: "cat", 7: "dog & co"}, image_id=list(PHOTOS), path=list(PHOTOS.values()),
        size=[SIZE] * 3, tags=[(2, 7), (7,), (2, 7)], train=[True, True, False], val=[False, False, True],
    )  # fmt: skip
    index.save(folder / "images" / "default" / "index.zarr.zip")
    builder = InstancesBuilder(index.categories)
    for name, found in masks().items():
        stack = np.stack([m for _, _, m in found]) if found else np.zeros((0, *SIZE), bool)
        builder.add(name, SIZE, stack, category=[c for c, _, _ in found], score=[s for _, s, _ in found])
    store = folder / "pseudo_labels" / "transfer" / "labels.zarr"
    builder.finish().save(store)
    return store, Instances.load(store)


@pytest.fixture
def exported(run, tmp_path):
    """A function: the export in a format, made by the command, as a path."""

    def export(form, name, *options):
        out = tmp_path / name
        assert main(["export", str(run[0]), str(out), "--format", form, *options]) == 0
        return out

    return export


@pytest.fixture
def photos(run):
    return Path(run[0]).parents[2] / "photos"
