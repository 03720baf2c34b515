"""LIID's network: it learns proposals' classes from tags, resumes bit for bit, and says in a sentence what is amiss."""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stages import mil
from stages.mil import losses, samples
from stages.mil.config import Config
from stages.mil.network import build, restore
from stages.mil.rates import optimiser_of, rate_of
from stages.mil.shards import pairs
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.errors import UserError
from tag2mask.run.config import parse
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights

TINY = {
    "scores": "network", "backbone": "test_efficientnet", "weights": "none", "frozen_norm": False, "size": 64,
    "last_conv": False, "optimiser": "adamw", "rate": 0.003, "schedule": "one_cycle", "batch": 4, "epochs": 2,
    "checkpoint_every": 4, "keep": 5, "roi": 2,
}  # fmt: skip
CATEGORIES = {3: "square", 5: "nothing", 7: "stripes"}
META = {
    "labels": [0, 3, 7], "backbone": "test_efficientnet", "output_stride": 16, "dilate": True, "last_conv": False,
    "frozen_norm": True, "roi": 2, "roi_kind": "pool",
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """24 photos of 64 x 80 in two shards, each with an object of class 3 or 7 (or none) and five proposals.

    The object's proposal stands at a random rank; its CAM is 1 in the object's cells, as a good classifier's would be.
    `object` : for every photo that rank, -1 without an object.
    """
    folder = tmp_path_factory.mktemp("mil")
    rng, names, tags, objects, stores = np.random.default_rng(0), [], [], [], []
    for shard in range(2):
        proposals, cam = InstancesBuilder(CATEGORIES), MapsBuilder(np.float16)
        for k in range(12):
            photo = rng.integers(60, 100, (64, 80, 3)).astype(np.uint8)
            kind, name = k % 3, f"{shard}{k:02d}.png"
            x, y = 16 * int(rng.integers(0, 4)), 16 * int(rng.integers(0, 3))
            if kind == 0:
                photo[y : y + 32, x : x + 32] = 220
            elif kind == 1:
                photo[y : y + 32 : 4, x : x + 32] = photo[y + 1 : y + 32 : 4, x : x + 32] = 0
            boxes = [(a, b) for a in range(0, 64, 16) for b in range(0, 48, 16) if abs(a - x) + abs(b - y) >= 32]
            boxes = [boxes[n] for n in rng.permutation(len(boxes))[:4]]
            objects.append(int(rng.integers(5)) if kind < 2 else -1)
            boxes.insert(max(objects[-1], 0), (x, y))
            masks = np.zeros((len(boxes), 64, 80), bool)
            for mask, (a, b) in zip(masks, boxes):
                mask[b : b + 32, a : a + 32] = True
            proposals.add(name, (64, 80), masks, category=0)
            response = np.zeros((4, 5), np.float32)
            response[y // 16 : y // 16 + 2, x // 16 : x // 16 + 2] = 1
            tags.append([(3,), (7,), ()][kind])
            cam.add(name, (64, 80), [(c, response) for c in tags[-1]])
            Image.fromarray(photo).save(folder / name)
            names.append(name)
        proposals.finish().save(folder / f"{shard}.proposals.zarr.zip")
        cam.finish().save(folder / f"{shard}.cam.zarr.zip")
        stores.append(shard)
    Index.build(
        folder, CATEGORIES, image_id=names, path=names, size=[(64, 80)] * 24, tags=tags, train=np.ones(24, bool),
        shards=2,
    ).save(folder / "index.zarr.zip")  # fmt: skip
    return SimpleNamespace(
        index=folder / "index.zarr.zip", proposals=[folder / f"{s}.proposals.zarr.zip" for s in stores],
        cam=[folder / f"{s}.cam.zarr.zip" for s in stores], object=np.array(objects), tags=tags, folder=folder,
    )  # fmt: skip


def train(dataset, job=None, **keys):
    job = job or Job(seed=3)
    return mil.train(dataset, Config(**TINY | keys), job)["weights"], job


def prepared(dataset, index):
    return samples.prepare(index, pairs(dataset.proposals, dataset.cam), [0, 3, 5, 7], Config(**TINY), Job())


def infer(dataset, weights, shard, **keys):
    weights.save(dataset.folder / "w.pt")
    inputs = SimpleNamespace(
        index=dataset.index, proposals=dataset.proposals[shard], cam=dataset.cam[shard], weights=dataset.folder / "w.pt"
    )
    return mil.run(inputs, Config(**TINY | keys), Job())["mil"]


def test_it_learns_which_proposal_is_the_object(dataset):
    weights, job = train(dataset, epochs=12)
    numbers = job.numbers
    assert numbers["iterations"] == 72 and numbers["photos"] == 24 and numbers["proposals"] == 120
    assert numbers["tag_hits"] > 0.9 > 0.5 > numbers["tag_chance"] == pytest.approx(1 / 3, abs=1e-3)
    assert numbers["loss"] < 1 and 0.5 < numbers["background"] < 0.95
    # 16 objects among 120 proposals have R = 2; what does not touch them has R = 0
    assert numbers["pseudo_share"]["square"] >= 8 / 120 - 1e-3 and numbers["pseudo_share"]["nothing"] == 0
    right = total = 0
    for shard in range(2):
        table = infer(dataset, weights, shard)
        assert table["p"].sum(1) == pytest.approx(1, abs=1e-5) and table.meta["scores"] == "network"
        for k in range(12):
            at, tags = dataset.object[12 * shard + k], dataset.tags[12 * shard + k]
            if tags:
                column = table.meta["labels"].index(tags[0])
                right += int(table["p"][table["first"][k] : table["first"][k + 1], column].argmax() == at)
                total += 1
    assert total == 16 and right >= 12  # chance: 3.2


@pytest.mark.parametrize("loss", ["cam_loss", "mil_loss", "center_loss"])
def test_each_loss_falls_when_it_is_trained_alone(dataset, loss):
    alone = {"cam_loss": 0, "mil_loss": 0, "center_loss": 0} | {loss: 1}
    if loss == "center_loss":
        alone["mil_loss"] = 0.01  # something must tell classes apart
    _, short = train(dataset, epochs=0.1, rate=1e-6, **alone)
    _, long = train(dataset, epochs=5, **alone)
    assert long.numbers[loss] < 0.8 * short.numbers[loss]


def test_samples_by_hand(dataset):
    """Of photo 0 (a square): boxes as shares, R = 2 at the object's rank so class 3 there, tags and background."""
    index = Index.load(dataset.index)
    found = prepared(dataset, index)
    first = found[0]
    assert [sample.number for sample in found] == list(range(24))
    assert first.present.tolist() == [True, True, False, False] and first.pseudo[dataset.object[0]] == 1
    assert found[2].present.tolist() == [True, False, False, False] and found[2].pseudo.tolist() == [0] * 5
    box = Instances.load(dataset.proposals[0]).bbox[0]
    assert first.shares[0] == pytest.approx([box[0] / 80, box[1] / 64, (box[0] + 32) / 80, (box[1] + 32) / 64])


def test_boxes_or_masks_by_hand():
    """A 1 x 2 map [0, 1] over 4 px, pixel centres 0, 0.25, 0.75, 1. The mask has a pixel of column 0 and one of 1.

    Mask: mean 0.125, maximum 0.25. Its box [0, 2]: mean 0.125 (0 up to 1 px, then up to 0.5), maximum 0.5.
    """
    mask = np.array([[[1, 0, 0, 0], [0, 1, 0, 0]]], bool)
    builder = InstancesBuilder(CATEGORIES)
    builder.add("a", (2, 4), mask, category=0)
    proposals, maps = builder.finish(), [np.array([[0.0, 1.0]])]
    for pooling, terms, wanted in (
        ("box", "both", 0.625), ("box", "mean", 0.125), ("box", "max", 0.5),
        ("mask", "both", 0.375), ("mask", "mean", 0.125), ("mask", "max", 0.25),
    ):  # fmt: skip
        found = partial(samples.region_relevance, proposals, 0, np.array([0]), pooling=pooling, terms=terms)
        assert found(maps) == pytest.approx(np.array([[wanted]])) and found([]).shape == (1, 0)


def test_centres_of_a_step_are_those_of_the_loop(dataset, monkeypatch):
    """Two photos a batch: the loss sees the old centres, then Eq. 8 runs over the proposals in the photos' order."""
    seen, real = [], losses.updated

    def watched(centers, f, label, theta):
        seen.append((centers.clone(), f.detach().clone(), label, theta, real(centers, f, label, theta)))
        return seen[-1][-1]

    monkeypatch.setattr(losses, "updated", watched)
    weights, _ = train(dataset, batch=2, epochs=2 * 2 / 24, center_rate=0.2)
    assert len(seen) == 2 and seen[0][0].abs().max() == 0
    for centers, f, label, theta, after in seen:
        wanted = centers.clone()
        for row, k in zip(f, label):
            wanted[k] += theta * (row - wanted[k])
        assert torch.allclose(after, wanted, atol=1e-6) and len(f) == 10
    assert torch.equal(weights.tensors["centers"], seen[-1][-1])


def test_photos_of_one_shape_run_together_and_rows_keep_the_photos_order():
    model = build(META).eval()
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (64, width, 3), np.uint8) for width in (64, 96, 64)]
    shares = [np.sort(rng.random((n, 2, 2)), 1).reshape(n, 4).astype(np.float32) for n in (2, 3, 1)]
    with torch.no_grad():
        f, scores = model(photos, shares)
        alone = [model([photo], [one])[0] for photo, one in zip(photos, shares)]
    assert f.shape == (6, model.backbone.channels[-1]) and scores.shape == (6, 3)
    assert torch.allclose(f, torch.cat(alone), atol=1e-5)


def test_a_mirrored_sample_shows_the_same_boxes(dataset):
    index = Index.load(dataset.index)
    sample = prepared(dataset, index)[0]
    (photo, shares), (other, mirror) = (
        samples.shown(index, sample, flip, size=64, stride=16) for flip in (False, True)
    )
    assert photo.shape[0] % 16 == photo.shape[1] % 16 == 0
    at = dataset.object[0]
    for image, box in ((photo, shares[at]), (other, mirror[at])):
        x0, y0, x1, y1 = box * np.tile(photo.shape[1::-1], 2)
        inner = image[round(y0) + 3 : round(y1) - 3, round(x0) + 3 : round(x1) - 3]
        assert inner.min() > 200  # the bright square
    assert not np.array_equal(photo, other)


def test_maps_stay_in_place_in_training():
    """Boxes are laid on the map: a dilated backbone gives the same cells in training as in evaluation."""
    model, x = build(META), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        one = model.train().backbone(x)[-1]
        two = model.eval().backbone(x)[-1]
    assert torch.equal(one, two)


def test_groups_and_schedule_are_the_paper_s():
    optimiser = optimiser_of(build(META), Config())
    groups = optimiser.param_groups
    assert {g["lr"] for g in groups} == {5e-4}
    assert {(all(p.ndim > 1 for p in g["params"]), g["weight_decay"]) for g in groups} == {(True, 1e-4), (False, 0.0)}
    rate = rate_of(Config(), 1000, 100)  # 100 photos, one an iteration
    assert [rate(t) for t in (0, 499, 500, 999)] == pytest.approx([1, 1, 0.1, 0.1])
    assert isinstance(optimiser, torch.optim.SGD) and {g["momentum"] for g in groups} == {0.9}


def test_frozen_stages_do_not_move(dataset):
    """The same start and data: of two trainings, of which one freezes two stages, only the other moves them."""
    frozen, _ = train(dataset, freeze=2, frozen_norm=True, epochs=1)
    still, _ = train(dataset, freeze=2, frozen_norm=True, epochs=0.1, rate=1e-9)
    free, _ = train(dataset, freeze=0, frozen_norm=True, epochs=1)
    model = build(META | {"labels": [0, 3, 5, 7]})
    model.backbone.freeze(2)
    names = [name for name, p in model.named_parameters() if not p.requires_grad and p.ndim > 1]
    assert len(names) > 3
    assert all(torch.equal(frozen.tensors[name], still.tensors[name]) for name in names)
    assert not any(torch.equal(frozen.tensors[name], free.tensors[name]) for name in names)


def test_the_same_weights_give_the_same_table(dataset):
    weights, _ = train(dataset, epochs=0.1)
    one, two = (infer(dataset, weights, 0) for _ in range(2))
    assert all(one[name].tobytes() == two[name].tobytes() for name in ("p", "f", "row"))


def test_features_of_the_trained_backbone_by_roi_and_by_crop(dataset):
    weights, _ = train(dataset, epochs=0.2)
    roi, crop = (infer(dataset, weights, 0, features=way) for way in ("roi", "crop"))
    assert np.array_equal(roi["p"], crop["p"]) and not np.array_equal(roi["f"], crop["f"])
    for table in (roi, crop):
        assert table["f"].dtype == np.float16
        assert np.linalg.norm(table["f"].astype(float), axis=1) == pytest.approx(1, abs=3e-3)


def test_what_is_amiss_is_said_in_a_sentence(dataset):
    with pytest.raises(UserError, match="trains nothing"):
        train(dataset, scores="cam")
    with pytest.raises(UserError, match="needs trained weights"):
        inputs = SimpleNamespace(index=dataset.index, proposals=dataset.proposals[0], cam=dataset.cam[0])
        mil.run(inputs, Config(**TINY), Job())
    with pytest.raises(UserError, match="must not both be 0"):
        parse(Config, {"cam_loss": 0, "mil_loss": 0}, where="mil")
    swapped = SimpleNamespace(index=dataset.index, proposals=dataset.proposals, cam=dataset.cam[::-1])
    with pytest.raises(UserError, match="not of the same photos"):
        train(swapped)
    with pytest.raises(UserError, match="2 stores of regions and 1 of maps"):
        train(SimpleNamespace(index=dataset.index, proposals=dataset.proposals, cam=dataset.cam[:1]))
    weights, _ = train(dataset, epochs=0.1)
    with pytest.raises(UserError, match="other classes"):
        infer(dataset, Weights(weights.meta | {"labels": [0, 1, 2, 3]}, weights.tensors), 0)
    with pytest.raises(UserError, match="not those of the mil network"):
        restore(Weights(weights.meta | {"labels": [0, 3]}, weights.tensors))
    with pytest.raises(UserError, match="not 'network'"):
        restore(Weights({"kind": "mil", "scores": "attention"}, {}))


def test_inference_reads_its_keys_alone():
    """Every key of `run` that no weights carry stands in TEST; what training does not read is in ONLY_TEST."""
    assert Config.ONLY_TEST < Config.TEST < set(Config.model_fields)
    for file in ("infer.py", "select.py"):
        text = (Path(mil.__file__).parent / file).read_text()
        assert set(re.findall(r"\bconfig\.(\w+)", text)) <= Config.TEST
    files = ("learn.py", "samples.py", "rates.py", "extractor.py", "losses.py")
    trained = "".join((Path(mil.__file__).parent / file).read_text() for file in files)
    assert not set(re.findall(r"\bconfig\.(\w+)", trained)) & Config.ONLY_TEST


def test_the_extractor_reads_what_it_is_said_to_be_taught_by():
    values = {key: field.default for key, field in Config.model_fields.items()}
    network, attention = (Config.taught_by(values | {"scores": word}) for word in ("network", "attention"))
    assert network - attention == Config.OF_PROPOSALS and "keep" in network
    files = ("extractor.py", "rates.py")
    text = "".join((Path(mil.__file__).parent / file).read_text() for file in files)
    assert set(re.findall(r"\bconfig\.(\w+)", text)) - {"computing"} <= attention
