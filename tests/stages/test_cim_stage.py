"""The stage `cim` on small photos: what it keeps of a photo, what it answers, and the photos that are hard for it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learners import CATEGORIES, LEARNERS, NETWORK, SIZE, dataset

from stages import cim
from stages.cim import infer, photos
from stages.cim.config import Config
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.learn.shelf import Shelf
from tag2mask.run.job import Job

KEYS = {**NETWORK, **LEARNERS["cim"].keys}
LEFT, TOP = np.zeros((2, *SIZE), bool)
LEFT[:, :32] = TOP[:24] = True


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The contract's dataset with learned weights, and the same proposals as those of the validation photos."""
    given = dataset(tmp_path_factory.mktemp("cim"))
    made = cim.train(given, Config(**KEYS), Job(seed=1))
    given.weights = given.index.parent / "weights.pt"
    made["weights"].save(given.weights)
    given.snapshots = made["snapshots"]
    return given


def prepared(masks, cues=(), categories=(), tags=(3, 7), train=(True, True), **keys):
    """(Photos, job) of one photo with these masks (n, H, W), cues (x, y) of categories, and tags."""
    store = InstancesBuilder({})
    store.add("a", masks.shape[1:], masks, category=0)
    more = {}
    if not len(cues):  # somewhere there must be one
        store.add("b", SIZE, LEFT[None], category=0)
        more = {"b": (np.array([1]), np.array([[5, 5]]))}
    index = SimpleNamespace(image_id=["a", "b"], categories=CATEGORIES, tags=lambda i: (tags, (3,))[i], train=train)
    yx = np.reshape([(y, x) for x, y in cues], (-1, 2)).astype(np.int64)
    columns = np.array([[3, 7].index(c) + 1 for c in categories], np.int64)
    job = Job()
    return photos.Photos(
        index, [store.finish()], {"a": (columns, yx)} | more, config=Config(**KEYS | keys), job=job
    ), job


def test_a_photo_is_kept_as_boxes_grids_and_sets():
    """Two halves of a 48 x 64 photo that share a quarter."""
    held, job = prepared(np.stack([LEFT, TOP]), cues=[(10, 40)], categories=[3])
    sample = held.samples[0]
    assert isinstance(held.samples, Shelf)  # of a large dataset it would fill the memory
    assert sample.shares.tolist() == [[0, 0, 0.5, 1], [0, 0, 1, 0.5]]
    assert (sample.grid == 1).all() and sample.grid.shape == (2, 3, 3)
    overlaps = held.overlaps(0)
    assert overlaps.shared.tolist() == [[48 * 32, 24 * 32], [24 * 32, 24 * 64]]
    assert overlaps.iou(torch.tensor([0])).tolist() == [[1.0], [pytest.approx(1 / 3)]]
    # the peak lies in the left half alone, which is its support mask; the other half overlaps it by a third
    assert sample.first.label.tolist() == [1, 0] and sample.tags.tolist() == [1, 2]
    assert job.numbers == {
        "without_proposals": 0,
        "without_cues": 0,
        "cues": 1,
        "foreground": 1,
        "background": 1,
        "left_out": 0,
    }


def test_a_photo_that_is_only_measured_teaches_nothing():
    held, _ = prepared(np.stack([LEFT, TOP]), train=(False, True))  # without cues there is a second photo, b
    assert held.number == [1]


def test_only_the_best_ranked_take_part():
    masks = np.stack([LEFT, TOP, LEFT & TOP])
    assert len(prepared(masks)[0].samples[0].sets) == 3
    sample = prepared(masks, most=2)[0].samples[0]
    assert sample.sets.area.tolist() == [48 * 32, 24 * 64] and len(sample.shares) == len(sample.grid) == 2


def test_mirroring_moves_boxes_and_grids_alike():
    triangle = np.tril(np.ones(SIZE, bool))
    held, _ = prepared(triangle[None])
    sample = held.samples[0]
    picture = np.arange(48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    photo, shares, grid = photos.shown(picture, sample.shares, sample.grid, side=48, flip=True, config=held.config)
    assert (photo == picture[:, ::-1]).all() and photo.shape == (48, 64, 3)
    assert sample.shares.tolist() == [[0, 0, 0.75, 1]] and shares.tolist() == [[0.25, 0, 1, 1]]
    np.testing.assert_array_equal(grid, sample.grid[:, :, ::-1].astype(np.float32))


@pytest.mark.parametrize(
    ("size", "side", "longest", "wanted"),
    [
        ((375, 500), 480, 2000, (480, 640)), ((100, 900), 480, 2000, (224, 2000)),
        ((500, 375), 1200, 2000, (1600, 1200)),
        ((333, 500), 480, 2000, (480, 720)),  # 721 would leave a column of cells that shows 1 pixel
    ],
)  # fmt: skip
def test_photos_enter_at_their_short_side_in_whole_cells(size, side, longest, wanted):
    assert photos.entering(size, side=side, longest=longest, stride=16) == wanted


def test_overlaps_are_kept_within_the_bound():
    """Of two photos with 2 x 2 and 1 x 1 float32 numbers."""
    held, _ = prepared(np.stack([LEFT, TOP]))
    held.room = 4 * 4 + 3  # the first alone fits; the second's bytes are given back
    assert held.overlaps(0) is held.overlaps(0) and held.room == 3
    assert held.overlaps(1) is not held.overlaps(1) and held.room == 3
    assert held.overlaps(1).shared.tolist() == [[48 * 32]]


def test_cues_of_tables_are_the_strongest_first_above_the_floor():
    table = Table(
        "peaks/1",
        {"image_id": np.array(["a", "b"]), "first": np.array([0, 3, 4]), "category": np.array([3, 7, 3, 7]),
         "yx": np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.int32), "score": np.float32([0.2, 0.9, 0.5, 0.1])},
    )  # fmt: skip
    found = photos.cues_of([table], [3, 7], floor=0.15)
    assert found["a"][0].tolist() == [2, 1, 1] and found["a"][1].tolist() == [[3, 4], [5, 6], [1, 2]]
    assert found["b"][0].tolist() == [] and found["b"][1].shape == (0, 2)


def test_cues_of_classes_that_the_photo_has_not_teach_nothing():
    held, job = prepared(np.stack([LEFT, TOP]), cues=[(10, 40), (40, 10)], categories=[3, 7], tags=(7,))
    assert job.numbers["cues"] == 1 and held.samples[0].first.label.tolist() == [0, 2]


def test_answers_by_hand():
    """Two boxes of IoU 0.5 and one apart: of a class the weaker goes at 0.3, another class stays; best first."""
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 20], [30, 0, 10, 10]])
    scores = np.float32([[0.5, 0.2], [0.6, 0.0], [0.4, 0.7]])
    given = {"floor": 0.1, "nms": 0.3, "most": 100}
    rows, columns, value = infer.answers(scores, boxes, np.ones(2, bool), **given)
    assert list(zip(rows.tolist(), columns.tolist())) == [(2, 1), (1, 0), (2, 0), (0, 1)]
    np.testing.assert_allclose(value, [0.7, 0.6, 0.4, 0.2])
    assert len(infer.answers(scores, boxes, np.ones(2, bool), floor=0.1, nms=0.5, most=100)[0]) == 5
    assert infer.answers(scores, boxes, np.ones(2, bool), **given | {"most": 2})[0].tolist() == [2, 1]
    assert infer.answers(scores, boxes, np.array([False, True]), **given)[0].tolist() == [2, 0]


def test_the_best_of_every_allowed_class_by_hand():
    """Of class 0 nothing is above 0.65: its best, 0.6, by key; of class 1 the best is above it anyway."""
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 20], [30, 0, 10, 10]])
    scores = np.float32([[0.5, 0.2], [0.6, 0.0], [0.4, 0.7]])
    given = {"floor": 0.65, "nms": 0.3, "most": 100}
    for allowed, best, wanted in [
        ([True, True], False, [(2, 1)]), ([True, True], True, [(2, 1), (1, 0)]), ([False, True], True, [(2, 1)]),
    ]:  # fmt: skip
        rows, columns, _ = infer.answers(scores, boxes, np.array(allowed), best=best, **given)
        assert list(zip(rows.tolist(), columns.tolist())) == wanted


def test_scores_are_means_over_branches_sides_and_mirroring(inputs):
    from tag2mask.store.weights import Weights

    model, config, ids = infer.load(Weights.load(inputs.weights), test_sides=(32, 48), test_flip=True)
    assert ids.tolist() == [3, 7]
    index, proposals = Index.load(inputs.index), Instances.load(inputs.proposals)
    shares, grid = photos.boxed(proposals, 0, np.arange(2), bins=3)
    photo = index.photo(0)
    found = infer.proposal_scores(model, photo, shares, grid, config=config)
    parts = []
    with torch.no_grad():
        for side in (32, 48):
            for flip in (False, True):
                shown = photos.shown(photo, shares, grid, side=side, flip=flip, config=config)
                ((log_y, t),) = model(*zip(shown))
                parts += [(log_y[k].exp() * t[k])[:, 1:].numpy() for k in (1, 2, 3)]
    np.testing.assert_allclose(found, np.mean(parts, 0), rtol=1e-5)


def test_labels_are_of_tagged_classes_above_the_floor(inputs):
    given = Config(**KEYS, label_floor=0.05)
    found = cim.run(inputs, given, Job())["instances"]
    index = Index.load(inputs.index)
    assert found.image_id == [index.image_id[i] for i in index.where("train")] and len(found)
    for i, name in enumerate(found.image_id):
        tags = index.tags(index.image_id.index(name))
        assert set(found.category[found.rows(i)].tolist()) <= set(tags)
    assert found.score.min() > 0.05
    job = Job()
    assert not len(cim.run(inputs, Config(**KEYS, label_floor=1.0), job)["instances"])
    assert job.warnings == ["The network answers nothing in any photo: train it longer, or lower cim.label_floor."]


def test_weights_of_other_classes_are_one_sentence(inputs, tmp_path):
    index = Index.load(inputs.index)
    other = Index.build(
        inputs.index.parent, {3: "disc", 7: "cup"}, image_id=index.image_id, path=index.image_id, size=[SIZE] * 4,
        tags=[(3,), (7,)] * 2, train=[True] * 4,
    )  # fmt: skip
    other.save(tmp_path / "index.zarr.zip")
    given = SimpleNamespace(index=tmp_path / "index.zarr.zip", weights=inputs.weights, proposals=inputs.proposals)
    with pytest.raises(UserError, match="was trained on other classes than the index has; train it again"):
        cim.run(given, Config(**KEYS), Job())


def test_masks_of_answers_are_the_proposals_own(inputs):
    found = cim.run(inputs, Config(**KEYS, label_floor=0.0), Job())["instances"]
    proposals = Instances.load(inputs.proposals)
    for i in range(found.images):
        given = proposals.masks(i)
        assert all(any((mask == one).all() for one in given) for mask in found.masks(i))


def test_validation_photos_are_answered_from_held_out_proposals(inputs, tmp_path):
    index = Index.load(inputs.index)
    moved = index.__class__.build(
        inputs.index.parent, CATEGORIES, image_id=index.image_id, path=index.image_id, size=[SIZE] * 4,
        tags=[(3,), (7,)] * 2, train=[True, True, True, False], val=[False, False, False, True],
    )  # fmt: skip
    moved.save(tmp_path / "index.zarr.zip")
    proposals = Instances.load(inputs.proposals).images_subset([3])
    proposals.save(tmp_path / "held_out.zarr.zip")
    given = SimpleNamespace(
        index=tmp_path / "index.zarr.zip", weights=inputs.weights, held_out=tmp_path / "held_out.zarr.zip"
    )
    found = cim.predict(given, Config(**KEYS), Job())["predictions"]
    assert found.image_id == [index.image_id[3]]
    assert set(found.category.tolist()) == {3, 7}  # tags are not looked at
    given.held_out = inputs.proposals
    Instances.load(inputs.proposals).images_subset([0]).save(tmp_path / "other.zarr.zip")
    given.held_out = tmp_path / "other.zarr.zip"
    with pytest.raises(UserError, match="has no proposals of the photo p3.png; build the stage proposals again"):
        cim.predict(given, Config(**KEYS), Job())


def test_any_photos_are_answered_by_the_command(inputs, tmp_path, capsys):
    """Proposals are made on the way; --tags keeps to classes, --side is the size."""
    from tag2mask.cli import main

    (tmp_path / "photos").mkdir()
    for k in (0, 1):
        (tmp_path / f"photos/{k}.png").write_bytes((inputs.index.parent / f"p{k}.png").read_bytes())
    (tmp_path / "photos/bad.png").write_bytes(b"no picture")
    (tmp_path / "tags.csv").write_text("file,tags\n0.png,disc\n")
    words = ["predict", str(inputs.weights), str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    assert main([*words, "--tags", str(tmp_path / "tags.csv"), "--side", "32", "--score", "0"]) == 0
    assert "2 photos" in capsys.readouterr().out
    found = Instances.load(tmp_path / "out/predictions.zarr.zip")
    assert sorted(found.image_id) == ["0", "1"] and len(found)
    assert set(found.category[found.rows(found.image_id.index("0"))].tolist()) == {3}
    assert set(found.category[found.rows(found.image_id.index("1"))].tolist()) == {3, 7}
    assert (tmp_path / "out/overlays/0.png").is_file() and (tmp_path / "out/predictions.json").is_file()


def test_a_network_without_refinement_branches_answers_with_the_anti_noise_branch():
    from stages.cim.network import build

    config = Config(**KEYS | {"branches": 0, "test_flip": False, "sides": (48,)})
    held, _ = prepared(np.stack([LEFT, TOP]))
    model, sample = build(config, 2).eval(), held.samples[0]
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    found = infer.proposal_scores(model, picture, sample.shares, sample.grid, config=config)
    with torch.no_grad():
        ((log_y, t),) = model(
            *zip(photos.shown(picture, sample.shares, sample.grid, side=48, flip=False, config=config))
        )
    np.testing.assert_allclose(found, (log_y[0].exp() * t[0])[:, 1:], rtol=1e-6)


def test_snapshots_say_what_every_branch_mines(inputs):
    from stages.cim import look

    table = inputs.snapshots
    assert set(table["iteration"].tolist()) == {2, 4} and table["image_id"].tolist() == ["p0.png"]
    assert set(table["branch"].tolist()) == {0, 1, 2, 3} and set(table["category"].tolist()) == {3}
    assert len(table["mined"]) == 2 * 4 * 1 * 2  # iterations, branches, tags, proposals
    assert (table["mined"].reshape(8, 2).sum(1) >= 1).all() and ((0 <= table["score"]) & (table["score"] <= 1)).all()
    assert look.lines(Table("mined/1", {name: one[:0] for name, one in table.values.items()}), CATEGORIES) == [
        "no snapshots of the training: set cim.snapshots"
    ]
    assert "4 " in "\n".join(look.lines(table, CATEGORIES)) and "disc" in "\n".join(look.lines_of(table, 0, CATEGORIES))
    assert look.draw(table, None, names=CATEGORIES, title="x").ndim == 3


HARD = {
    "no peak": (np.stack([LEFT, TOP]), [], [], (3,)),
    "one proposal": (LEFT[None], [(5, 5)], [3], (3,)),
    "all alike": (np.stack([LEFT] * 5), [(5, 5)], [3], (3,)),
    "a class that no proposal contains": (np.stack([LEFT, LEFT & TOP]), [(60, 40)], [7], (3, 7)),
    "no tag": (np.stack([LEFT, TOP]), [], [], ()),
    "whole photo": (np.ones((1, *SIZE), bool), [(5, 5)], [3], (3, 7)),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("mining", ["cim", "mist"])
def test_hard_photos_are_learned_from(name, mining):
    """Losses are finite, gradients too, and a photo with a tag always has a pseudo ground truth."""
    from stages.cim.learn import drawn, photo_losses, total
    from stages.cim.network import build
    from stages.cim.targets import pseudo_labels

    masks, cues, categories, tags = HARD[name]
    held, _ = prepared(masks, cues, categories, tags, mining=mining, bag_weight=1.0, pcl="binary")
    held.index.photo = lambda i: np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    model = build(held.config, 2).train()
    position, shown, draws = drawn(held, 0, np.random.default_rng(0), config=held.config)
    (scores,) = model(*zip(shown))
    found, config = held.overlaps(position), held.config
    total(photo_losses(scores, held.samples[position], found, draws, config=config), config).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(grad).all() for grad in grads)
    for k in range(1, 4):
        labels, mined = pseudo_labels(scores, k, found, torch.from_numpy(held.samples[0].tags), draws[0], config=config)
        assert len(mined.index) >= bool(tags) and (bool(tags) or (labels.label == 0).all())


def test_photos_without_cues_are_said_and_by_key_left_out():
    nothing, job = prepared(np.stack([LEFT, TOP]))
    assert nothing.samples[0].first.label.tolist() == [0, 0] and job.numbers["without_cues"] == 1
    assert "1 of 2 photos have tags and no peak: there all proposals are taught as background" in job.warnings[0]
    left, job = prepared(np.stack([LEFT, TOP]), without_cues="left_out")
    assert left.samples[0].first.label.tolist() == [-1, -1] and "are taught as nothing" in job.warnings[0]


def test_no_cue_at_all_and_photos_that_the_peaks_lack_are_one_sentence():
    store = InstancesBuilder({})
    store.add("a", SIZE, LEFT[None], category=0)
    index = SimpleNamespace(image_id=["a"], categories=CATEGORIES, tags=lambda i: (3,), train=[True])
    none = (np.zeros(0, np.int64), np.zeros((0, 2), np.int64))
    for cues, keys, sentence in [
        ({"a": none}, {}, "no training photo has a peak: lower cam.peak_floor or cam.floor, or set cim.agpl to false"),
        ({}, {}, "There are no peaks of the photo a: build the maps again"),
        ({}, {"cues": "points"}, "no training photo has a point: name the points"),
    ]:
        with pytest.raises(UserError, match=sentence):
            photos.Photos(index, [store.finish()], cues, config=Config(**KEYS | keys), job=Job())
    photos.Photos(index, [store.finish()], {}, config=Config(**KEYS, agpl=False), job=Job())


def test_wrong_settings_are_one_sentence():
    from tag2mask.run.config import parse

    for keys, sentence in [
        ({"cascade": 0.3}, "no overlap exceeds"), ({"drops": [2]}, "parts of the schedule"),
        ({"sides": [16]}, "sides must be"), ({"widths": [0, 8]}, "widths must be"),
        ({"integrity": False}, "leaves mining: cim nothing to choose by"),
    ]:  # fmt: skip
        with pytest.raises(UserError, match=sentence):
            parse(Config, keys, where="cim")
