"""Training of the instance network: resume, snapshots, points, what is refused; answers for a shard and for val."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stages import bestie
from stages.bestie import network
from stages.bestie.config import Config
from stages.bestie.photos import Photos
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.run.job import Job
from tag2mask.store import store
from tag2mask.store.weights import Weights

CATEGORIES = {7: "box", 3: "disc"}  # columns: 3 is 0, 7 is 1
SIZE = (64, 96)
TINY = dict(
    backbone="test_efficientnet", weights="none", atrous_rates=[1], aspp_channels=16, semantic_channels=16,
    instance_channels=16, head_channels=8, batch=2, epochs=2, size=64, scales=(0.8, 1.2), checkpoint_every=2, window=9,
    min_area=4, test_most=3, snapshots=2, snapshot_photos=3,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def bold():
    """Random networks see objects everywhere: a few iterations of training leave something to refine."""
    build = network.build

    def made(config, *arguments, **keys):
        model, mean, std = build(config, *arguments, **keys)
        if config.weights == "none":
            with torch.no_grad():
                model.semantic_head[-1].bias[0] = -1
                model.center_head[-1].bias.fill_(0.5)
        return model, mean, std

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "build", made)
        yield


def photo_with(category, k):
    """A dark photo with two red discs (3) or blue boxes (7) of 40 pixels; returns photo and masks (2, H, W)."""
    photo = np.random.default_rng(k).integers(60, 100, (*SIZE, 3)).astype(np.uint8)
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    masks = []
    for left in (2 + k, 48 + k):
        if category == 3:
            masks.append((y - 30) ** 2 + (x - left - 20) ** 2 < 400)
        else:
            masks.append((y >= 10) & (y < 50) & (x >= left) & (x < left + 40))
        photo[masks[-1]] = (230, 40, 40) if category == 3 else (40, 60, 230)
    return photo, np.array(masks)


def dataset(folder, count=6):
    """Index, two shards of transferred instances and semantic maps, points, truth; the last two photos are for
    validation. Of each training photo's two objects the first is transferred. Returns the paths."""
    (folder / "photos").mkdir(parents=True)
    names, tags, shards = [f"p{k}" for k in range(count)], [], np.arange(count - 2) // 2
    transfer = [InstancesBuilder(CATEGORIES) for _ in range(2)]
    semantic = [MapsBuilder(np.uint8) for _ in range(2)]
    truth, yx, category_of = InstancesBuilder(CATEGORIES), [], []
    for k, name in enumerate(names):
        category = 3 if k % 2 == 0 else 7
        photo, masks = photo_with(category, k)
        Image.fromarray(photo).save(folder / "photos" / f"{name}.png")
        tags.append((category,))
        truth.add(name, SIZE, masks, category=category)
        if k < count - 2:
            transfer[shards[k]].add(name, SIZE, masks[:1], category=category)
            semantic[shards[k]].add(name, SIZE, [(0, masks.any(0) * np.uint8(category))])
            yx += [np.argwhere(mask).mean(0).round() for mask in masks]
            category_of += [category] * 2
    train = np.arange(count) < count - 2
    index = Index.build(
        folder / "photos", CATEGORIES, image_id=names, path=[f"{n}.png" for n in names], size=[SIZE] * count,
        tags=tags, train=train, with_masks=np.arange(count) == 1, val=~train, shards=2,
    )  # fmt: skip
    inputs = SimpleNamespace(
        index=folder / "index.zarr.zip", transfer=[folder / f"transfer{k}.zarr.zip" for k in range(2)],
        semantic=[folder / f"semantic{k}.zarr.zip" for k in range(2)],
    )  # fmt: skip
    index.save(inputs.index)
    for k in range(2):
        transfer[k].finish().save(inputs.transfer[k])
        semantic[k].finish().save(inputs.semantic[k])
    points = {
        "image_id": np.array(names[: count - 2]), "first": np.arange(0, 2 * count - 3, 2), "yx": np.array(yx, np.int32),
        "category": np.array(category_of, np.int16), "score": np.ones(len(yx), np.float32),
    }  # fmt: skip
    Table("peaks/1", points).save(folder / "points.zarr.zip")
    truth.finish().save(folder / "truth.zarr.zip")
    return inputs


def trained(inputs, job=None, **keys):
    """(weights, snapshots, job) of a tiny training."""
    job = job or Job(seed=5)
    made = bestie.train(inputs, Config(**{**TINY, **keys}), job)
    return made["weights"], made["snapshots"], job


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """(inputs, weights, snapshots, job) of a training with TINY; tests must not change the files."""
    inputs = dataset(tmp_path_factory.mktemp("bestie"))
    return inputs, *trained(inputs)


def same(a, b):
    return store.digest(a.arrays()) == store.digest(b.arrays())


def test_the_stage_is_cheap_to_import():
    code = "import sys, stages.bestie, stages.bestie.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_counts_and_what_the_weights_say(plain):
    _, weights, _, job = plain
    counts = job.numbers
    assert (counts["photos"], counts["instances"], counts["iterations"]) == (4, 4, 4)  # 2 passes over 4 photos in twos
    assert counts["refined_iterations"] == 1 and counts["refined_instances"] > 0
    assert 0 < counts["pseudo_pixels"] < 0.5 and 0 < counts["refined_pixels"] <= 1 and counts["loss"] > 0
    assert counts["network"] == "Panoptic-DeepLab, test_efficientnet (random weights)"
    assert weights.meta["kind"] == "bestie" and weights.meta["categories"] == {"3": "disc", "7": "box"}


def test_snapshots_at_equal_intervals(plain):
    from stages.bestie import infer

    inputs, weights, found, _ = plain
    # the split with_masks has one photo, of class 7; 4 iterations: after 2 and 4
    assert found.image_id == ["000002/p1", "000004/p1"] and found.size.tolist() == [list(SIZE)] * 2
    assert len(found) and set(found.category.tolist()) == {7} and found.id.tolist() == list(range(1, len(found) + 1))
    # the last one is what the trained network answers by the rules of the refinement
    model, config, _ = infer.load(weights)
    photo = infer.Shown("p1", Index.load(inputs.index).photo(1), SIZE, (7,))
    [(masks, _, scores)] = infer.photo_instances(
        model, [photo], np.array([3, 7]), config=config, mean=weights.meta["mean"], std=weights.meta["std"],
        rule="refine",
    )  # fmt: skip
    assert found.rles(found.rows(1)) == masks and np.allclose(found.score[found.rows(1)], scores)


def test_refinement_guides_and_snapshots_do_not_disturb(plain):
    inputs, weights, _, _ = plain
    late, snapshots, half = trained(inputs, refine_from=0.5, snapshots=0)
    assert not same(late, weights) and half.numbers["refined_iterations"] == 0.5
    assert snapshots.images == len(snapshots) == 0
    never, _, none = trained(inputs, refine_threshold=1e6, cluster=False, snapshots=0)  # no centre is that high
    without, _, job = trained(inputs, refine=False)
    assert same(never, without) and not same(never, late)
    assert none.numbers["refined_iterations"] == none.numbers["refined_pixels"] == 0
    assert "refined_instances" not in job.numbers


def test_points_alone_can_be_trained_on(tmp_path):
    inputs = dataset(tmp_path)
    for path in inputs.transfer:
        table = Instances.load(path)
        table.select(np.zeros(len(table), bool)).save(path)
    with pytest.raises(UserError, match="no training photo has a transferred instance"):
        trained(inputs)
    inputs.points = tmp_path / "points.zarr.zip"
    _, _, job = trained(inputs)
    assert (job.numbers["photos_with_points"], job.numbers["instances"], job.numbers["pseudo_pixels"]) == (4, 0, 0)
    assert job.numbers["refined_instances"] > 0
    table = Table.load(inputs.points, "peaks/1")
    table.values["first"] = np.zeros_like(table["first"])
    table.save(inputs.points)
    with pytest.raises(UserError, match="no training photo has a point"):
        trained(inputs)


def test_undecided_photos_without_an_instance_are_left_out(tmp_path):
    inputs = dataset(tmp_path)
    builder = MapsBuilder(np.uint8)
    for name in ("p2", "p3"):
        builder.add(name, SIZE, [(0, np.full(SIZE, 255, np.uint8))])
    builder.finish().save(inputs.semantic[1])
    table = Instances.load(inputs.transfer[1])
    table.select(np.arange(1)).save(inputs.transfer[1])
    _, _, job = trained(inputs, epochs=1)
    assert job.numbers["photos"] == 3  # p2 has an instance, p3 has nothing


def test_what_is_refused(tmp_path):
    inputs = dataset(tmp_path)
    with pytest.raises(UserError, match="no semantic map of the photo p2"):
        trained(SimpleNamespace(**{**vars(inputs), "semantic": inputs.semantic[:1]}))
    index = Index.load(inputs.index)
    index.categories[255] = "many"
    index.save(tmp_path / "many.zarr.zip")
    with pytest.raises(UserError, match="Category id 255 does not fit"):
        trained(SimpleNamespace(**{**vars(inputs), "index": tmp_path / "many.zarr.zip"}))


def test_answers_for_a_shard_and_for_validation(plain, tmp_path):
    inputs, weights, _, _ = plain
    config, given = Config(**TINY), SimpleNamespace(index=inputs.index, weights=tmp_path / "weights.pt")
    weights.save(given.weights)
    job = Job(shard=1, shards=2)
    found = bestie.run(given, config, job)["instances"]
    assert found.image_id == ["p2", "p3"] and found.categories == CATEGORIES and len(found)
    for i, category in enumerate((3, 7)):  # a photo's own tag alone
        assert set(found.category[found.rows(i)].tolist()) <= {category}
    assert job.numbers["instances_per_photo"] == round(len(found) / 2, 2)
    val = bestie.predict(given, config, Job())["predictions"]
    assert val.image_id == ["p4", "p5"] and len(val) and (val.score > 0).all() and (val.score <= 1).all()
    # without cleaning a training photo is answered as one of validation is, by all classes
    free = Config(**{**TINY, "clean_tags": False})
    assert bestie.run(given, free, Job())["instances"].image_id == ["p0", "p1", "p2", "p3"]
    # no centre reaches the threshold
    job = Job()
    none = bestie.predict(given, Config(**{**TINY, "test_threshold": 1e6, "test_whole": False}), job)["predictions"]
    assert len(none) == 0 and none.images == 2 and "finds no instance" in job.warnings[0]
    Weights({**weights.meta, "categories": {"3": "disc"}}, weights.tensors).save(given.weights)
    with pytest.raises(UserError, match="other classes than the index"):
        bestie.run(given, config, Job())
    Weights({**weights.meta, "kind": "segment"}, weights.tensors).save(given.weights)
    with pytest.raises(UserError, match="needed are those of 'bestie'"):
        bestie.predict(given, config, Job())


def test_photos_without_points_are_answered_by_the_network_s_own_centres(plain, tmp_path):
    inputs, weights, _, _ = plain
    given = SimpleNamespace(index=inputs.index, weights=tmp_path / "weights.pt", points=tmp_path / "points.zarr.zip")
    weights.save(given.weights)
    points = {  # one on p2; p3 stands in the table without any that counts: class 9 is not of this dataset
        "image_id": np.array(["p2", "p3"]), "first": np.array([0, 1, 2]), "yx": np.array([[30, 24]] * 2, np.int32),
        "category": np.array([3, 9], np.int16), "score": np.array([0.5, 1], np.float32),
    }  # fmt: skip
    Table("peaks/1", points).save(given.points)
    config, job = Config(**TINY), Job(shard=1, shards=2)
    found = bestie.run(given, config, job)["instances"]
    given.points = None
    own = bestie.run(given, config, job)["instances"]
    assert found.image_id == own.image_id == ["p2", "p3"]
    # the one point has all pixels of its class, in however many pieces; its score bounds that of the instance
    assert len(found.masks(0)) == 1 and found.masks(0)[0][own.masks(0).any(0)].all()
    assert len(own.masks(0)) > 1 and 0 < found.score[0] <= 0.5
    assert len(found.masks(1)) and np.array_equal(found.masks(1), own.masks(1))
    assert np.array_equal(found.score[found.rows(1)], own.score[own.rows(1)])


@pytest.mark.parametrize(("undecided", "wanted"), [("background", {0, 1}), ("ignore", {1, 255})])
def test_what_undecided_pixels_teach(tmp_path, undecided, wanted):
    """The left half of a map is class 3, the first, the right half undecided; a map of 255 alone is no photo."""
    inputs = dataset(tmp_path)
    index, transfer = Index.load(inputs.index), Instances.load(inputs.transfer[0])
    label = np.full(SIZE, 255, np.uint8)
    maps = {name: label.copy() for name in index.image_id}
    maps["p2"][:, : SIZE[1] // 2] = 3
    only = transfer.select(np.arange(len(transfer)) == 0)
    config = Config(**{**TINY, "undecided": undecided, "scales": (1.0, 1.0)})  # any 64 of 96 columns hold both halves
    photos = Photos(index, only, maps, points=None, config=config)
    assert [int(i) for i, _ in photos.chosen] == [0, 2]
    found = photos.sample(1, mean=(0, 0, 0), rng=np.random.default_rng(0)).target
    assert set(np.unique(found)) <= wanted and len(np.unique(found)) == 2


@pytest.mark.slow
def test_objects_that_were_not_transferred_are_found_too(tmp_path):
    """Of two objects a photo only one has a label; in the end both are found apart (160 iterations)."""
    inputs = dataset(tmp_path)
    learns = dict(
        backbone="efficientnet_lite0", weights="imagenet", rate=3e-3, epochs=80, atrous_rates=[1, 2], aspp_channels=32,
        semantic_channels=32, instance_channels=32, head_channels=16, window=21, min_area=50, snapshots=0,
        checkpoint_every=1000,
    )  # fmt: skip
    weights, _, job = trained(inputs, **learns)
    assert job.numbers["refined_instances"] > 1  # with a label are one a photo
    given = SimpleNamespace(index=inputs.index, weights=tmp_path / "weights.pt")
    weights.save(given.weights)
    found = bestie.run(given, Config(**{**TINY, **learns}), Job())["instances"]
    truth, hits = Instances.load(tmp_path / "truth.zarr.zip"), 0
    for i in range(found.images):
        for mask in truth.masks(i):
            hits += any((mask & one).sum() > 0.5 * (mask | one).sum() for one in found.masks(i))
    assert hits >= 6  # of 8, four of which had a label
