"""The benchmark of whole tables: what it fabricates is sound, its jobs run, its page tells what is over the bar."""

import json

import numpy as np
import pytest

from benchmarks import scale, scale_stores
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.store.store import digest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("scale")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale_stores, "SHAPES", 40)
        scale_stores.fabricate(made, photos=12)
        yield made


def test_masks_boxes_and_areas_fit_each_other(folder):
    index, truth = Index.load(folder / scale.INDEX), Instances.load(folder / scale.TRUTH)
    assert index.images == truth.images == 13 and index.shards == 3 and len(truth) > 50
    for i in range(truth.images):
        masks = truth.masks(i)
        assert masks.shape[1:] == (480, 640) and {*truth.category[truth.rows(i)].tolist()} == {*index.tags(i)}
        assert masks.sum((1, 2)).tolist() == truth.area[truth.rows(i)].tolist()
        for mask, (x, y, w, h) in zip(masks, truth.bbox[truth.rows(i)].astype(int)):
            assert mask[y : y + h, x : x + w].sum() == mask.sum()
            assert mask[y : y + h, x : x + w].any(1).all() and mask[y : y + h, x : x + w].any(0).all()


def test_every_job_runs(folder, monkeypatch):
    for work in scale.JOBS:
        if not work.__name__.endswith("_train"):  # their networks' libraries take longer to import than all the rest
            assert scale.measure(work, folder)["mb"] > 10, work
    seen = [image for _, image, rows in scale.shuffled(folder, lambda labels: labels.score >= 0) if len(rows)]
    assert sorted(seen) == list(range(12)) != seen
    made = Instances.load(folder / "made/images/truth.zarr.zip")
    truth = Instances.load(folder / scale.TRUTH)
    assert made.image_id == truth.image_id and made.id.tolist() == truth.id.tolist()
    labels = Instances.load(folder / scale.LABELS)
    manifest = json.loads((folder / scale.LABELS).with_suffix(".json").read_text())
    assert manifest["digests"]["labels.zarr"] == digest(labels.arrays())
    metrics = json.loads((folder / "made/evaluate/metrics.json").read_text())
    assert 0 < metrics["labels"]["AP50"] < 1 and metrics["predictions"]["photos"] == 1
    cut = Instances.load(folder / "made/graph_cut/instances.zarr.zip")
    assert 0 < len(cut) < 12 * 40 and np.all(cut.category > 0)


def test_the_page_tells_what_is_over_the_bar():
    """Twice the photos: 2.2 times as busy is within 20 %, 2.6 times is not, however long it took; graph_cut may take
    6,000 MB."""
    found = {
        10: {
            "evaluate": {"seconds": 11.0, "cpu": 10.0, "mb": 100},
            "graph_cut": {"seconds": 15.0, "cpu": 10.0, "mb": 100},
        },
        20: {
            "evaluate": {"seconds": 99.0, "cpu": 22.0, "mb": 4100},
            "graph_cut": {"seconds": 27.0, "cpu": 26.0, "mb": 5900},
        },
    }
    page = scale.text(found, "a command")
    assert (
        "| evaluate | 11.0 | 10.0 | 100 | 99.0 | 22.0 | 4,100 | 1.10 |" in page
        and "| 27.0 | 26.0 | 5,900 | 1.30 |" in page
    )
    assert "20 %: **not reached** by graph_cut." in page and "6,000 MB: **not reached** by evaluate." in page
    found[20]["evaluate"]["mb"] = found[20]["graph_cut"]["cpu"] = 20
    assert scale.text(found, "a command").count(": reached.") == 2
