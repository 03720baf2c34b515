"""The stage `prm` on a tiny index: order and classes of maps, photos without peaks, sizes, chunks; refused weights."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_cam import written
from test_classifier import META

from stages import prm
from stages.classifier.model import build, restore
from stages.prm.backpropagation import responses, starts, traced
from stages.prm.config import Config
from stages.prm.photo import peak_maps
from tag2mask.data.index import Index
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.learn.crops import network_size, resize
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Of `written`, 50 x 70 px; peaks of the first two photos at borders and inside, none of the others."""
    monkeypatch.setattr("tag2mask.store.store.verify", lambda *_: None)
    torch.manual_seed(0)
    found = written(tmp_path, build(META | {"head": "prm"}).eval())
    weights = Weights.load(found.weights)
    score = torch.randn(weights.tensors["score.weight"].shape, generator=torch.Generator().manual_seed(1))
    Weights(weights.meta, weights.tensors | {"score.weight": score}).save(found.weights)
    return SimpleNamespace(**vars(found), peaks=peaks(tmp_path, Index.load(found.index)))


def peaks(folder, index, categories=(5, 2, 5, 2, 2)):
    table = Table(
        "peaks/1",
        {"image_id": np.array(index.image_id), "first": np.array([0, 3, 5] + [5] * (len(index.image_id) - 2)),
         "category": np.array(categories, np.int16), "score": np.ones(5, np.float32),
         "yx": np.array([[0, 0], [49, 69], [20, 30], [25, 0], [10, 60]], np.int32)},
    )  # fmt: skip
    table.save(folder / "peaks.zarr.zip")
    return folder / "peaks.zarr.zip"


def test_a_map_a_peak_in_the_order_of_the_peaks(inputs):
    made = prm.run(inputs, Config(), Job())["prm"]
    index = Index.load(inputs.index)
    photos = index.where("train")
    assert made.image_id == [index.image_id[i] for i in photos] and np.array_equal(made.size, index.size[photos])
    assert [made.of(k)[0].tolist() for k in range(made.images)][:2] == [[5, 2, 5], [2, 2]] and len(made) == 5
    assert made.data.dtype == np.float16 and made.data.min() >= 0
    assert all(m.max() == 1 and m.shape == (48, 80) for k in range(2) for m in made.of(k)[1])
    assert made.meta["title"] == "PRM" and made.meta["normalise"] == "maximum"
    model, photo = restore(Weights.load(inputs.weights)), index.photo(0)
    expected = peak_maps(model, photo, [[20, 30]], [1], of=(50, 70), size=64, side=224, at_once=1)[0]
    np.testing.assert_allclose(made.of(0)[1][2], expected, atol=1e-3)


def test_chunks_change_nothing_and_smaller_maps_are_means(inputs):
    whole = prm.run(inputs, Config(), Job())["prm"]
    parts = prm.run(inputs, Config(peaks_at_once=2), Job())["prm"]
    np.testing.assert_allclose(parts.data.astype(float), whole.data.astype(float), atol=2e-3)
    model, photo = restore(Weights.load(inputs.weights)).requires_grad_(False), Index.load(inputs.index).photo(0)
    small = peak_maps(model, photo, [[20, 30]], [1], of=(50, 70), size=64, side=32, at_once=4)
    x, maps = traced(lambda x: model(x)[1], model.backbone.normalise(resize(photo, (48, 80))[None]))
    large = responses(x, maps, starts([[20, 30]], [1], (50, 70), maps.shape[1:]), at_once=1)
    assert small.shape == (1, *network_size((50, 70), side=32, stride=1)) == (1, 27, 38)
    area = torch.nn.functional.adaptive_avg_pool2d(large, (27, 38))
    np.testing.assert_allclose(small, area / area.max(), rtol=1e-5)
    # of a photo twice as large, of which this one was read: the same place
    same = peak_maps(model, photo, [[40.5, 60.5]], [1], of=(100, 140), size=64, side=32, at_once=4)
    np.testing.assert_allclose(small, same, rtol=1e-5)


def test_a_shard_without_peaks_has_no_map(inputs):
    table = Table.load(inputs.peaks, "peaks/1")
    none = {name: values[:0] for name, values in table.values.items() if name not in ("image_id", "first")}
    none |= {"image_id": table["image_id"], "first": np.zeros_like(table["first"])}
    Table("peaks/1", none).save(inputs.peaks)
    job = Job()
    made = prm.run(inputs, Config(), job)["prm"]
    assert len(made) == 0 and made.images > 1 and made.data.dtype == np.float16
    assert job.numbers["maps"] == 0 and len(job.warnings) == 1


def test_peaks_of_classes_that_the_weights_lack_are_refused(inputs, tmp_path):
    inputs.peaks = peaks(tmp_path, Index.load(inputs.index), categories=(5, 2, 5, 2, 77))
    with pytest.raises(UserError, match="other classes"):
        prm.run(inputs, Config(), Job())
