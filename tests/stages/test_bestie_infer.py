"""Answers of the instance network: a network that reads its maps from the photo's colours, by hand; the command."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from stages.bestie import infer, network
from stages.bestie.config import Config
from stages.bestie.data import Marks
from tag2mask import cli
from tag2mask.data import rle
from tag2mask.data.instances import Instances
from tag2mask.errors import UserError
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights

SMALL = Config(min_area=1, window=5)
TINY = Config(
    weights="none", aspp_channels=8, semantic_channels=8, instance_channels=8, head_channels=4, test_threshold=1e-6,
    min_area=1, refine_threshold=1e-6,
)  # fmt: skip
SURE = float(torch.tensor([3.0, 0.0, 0.0]).softmax(0)[0])  # probability that Painted gives to the class of a pixel


class Painted(torch.nn.Module):
    """Red / 100 is the class (0, 1, 2), green / 100 the centre map of every class; offsets 0 and `shift` along x."""

    def __init__(self, shift=0.0):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.tensor(shift))
        self.seen = []

    def forward(self, x):
        assert x.shape[2] % 32 == 0 and x.shape[3] % 32 == 0
        self.seen.append(tuple(x.shape[2:]))
        red, green = (x[:, :2] * 2.55).unbind(1)
        semantic = 3.0 * torch.nn.functional.one_hot(red.round().long(), 3).permute(0, 3, 1, 2)
        offset = torch.stack([torch.zeros_like(red), torch.zeros_like(red) + self.shift], 1)
        return network.Output(semantic, green[:, None].expand(-1, 2, -1, -1), offset)


def painted(classes, centers=(), size=(40, 50)):
    """A photo: classes are (class, rows, columns), centers (y, x, value)."""
    photo = np.zeros((*size, 3), np.uint8)
    for number, rows, columns in classes:
        photo[slice(*rows), slice(*columns), 0] = 100 * number
    for y, x, value in centers:
        photo[y, x, 1] = round(100 * value)
    return photo


def found_in(photo, *, model=None, config=SMALL, **keys):
    return all_found_in([photo], model=model, config=config, **keys)[0]


def all_found_in(photos, *, model=None, config=SMALL, size=None, tags=None, points=None, rule="test"):
    """tags : (2,) bool. The network's columns are the categories 0 and 1."""
    allowed = None if tags is None else np.flatnonzero(tags).tolist()
    shown = [infer.Shown("a", photo, size or photo.shape[:2], allowed, points) for photo in photos]
    found = infer.photo_instances(
        model or Painted(), shown, np.arange(2), config=config, mean=(0,) * 3, std=(1,) * 3, rule=rule
    )
    return [(rle.decode(masks, one.size), *rest) for one, (masks, *rest) in zip(shown, found)]


def test_one_class_two_objects_and_the_score():
    photo = painted([(1, (5, 15), (5, 35)), (2, (20, 30), (0, 50))], [(10, 10, 0.5), (10, 28, 0.9), (25, 49, 1.6)])
    model = Painted()
    masks, columns, scores = found_in(photo, model=model)
    assert model.seen == [(64, 64)] * 2  # 40 x 50 in whole cells of 32, and the mirrored photo
    assert masks.shape == (3, 40, 50) and masks.dtype == bool and columns.tolist() == [0, 0, 1]
    expected = np.zeros((3, 40, 50), bool)
    # x = 19 is 9 from both 10 and 28: to the stronger one
    expected[0, 5:15, 19:35] = expected[1, 5:15, 5:19] = expected[2, 20:30] = True
    assert (masks == expected).all()
    larger = found_in(photo, size=(80, 100))[0]  # the photo itself, of which this one was read
    assert (larger == expected.repeat(2, 1).repeat(2, 2)).all()
    # a centre's value counts up to 1; each times the mean probability of the class
    assert scores.tolist() == pytest.approx([0.9 * SURE, 0.5 * SURE, SURE], abs=1e-5)


def test_photos_that_go_through_the_network_together_have_their_own_answers():
    one = painted([(1, (5, 15), (5, 35)), (2, (20, 30), (0, 50))], [(10, 10, 0.5), (10, 28, 0.9), (25, 49, 1.6)])
    photos = [one, painted([]), one[:, ::-1].copy(), one[::-1].copy()]
    for rule in ("test", "refine"):
        whole = all_found_in(photos, rule=rule)
        for photo, found in zip(photos, whole):
            assert all(np.array_equal(a, b) for a, b in zip(found, found_in(photo, rule=rule)))
    points = Marks(np.array([0, 0]), np.array([[10.0, 8.0], [10.0, 22.0]]), np.ones(2, np.float32))
    for photo, found in zip(photos, all_found_in(photos, points=points)):
        assert all(np.array_equal(a, b) for a, b in zip(found, found_in(photo, points=points)))


def test_photos_of_one_size_in_a_row_go_together():
    shown = [
        infer.Shown(str(n), np.zeros((*size, 3), np.uint8), size) for n, size in enumerate([(2, 3)] * 3 + [(4, 3)])
    ]
    assert [[one.name for one in group] for group in infer.in_a_row(shown, 2)] == [["0", "1"], ["2"], ["3"]]
    assert list(infer.in_a_row([], 2)) == []


def test_a_piece_without_a_centre_is_one_instance_in_testing_and_none_in_refinement():
    photo = painted([(1, (5, 15), (5, 15)), (1, (5, 15), (20, 30))], [(10, 10, 0.8), (7, 22, 0.06), (8, 24, 0.04)])
    sure = SMALL.model_copy(update={"test_threshold": 0.1})
    masks, columns, scores = found_in(photo, config=sure)
    assert masks[0, 5:15, 5:15].all() and masks[1, 5:15, 20:30].all() and masks.sum() == 200
    assert columns.tolist() == [0, 0] and scores.tolist() == pytest.approx([0.8 * SURE, 0.06 * SURE], abs=1e-5)
    masks, _, _ = found_in(photo, config=sure.model_copy(update={"test_whole": False}))
    assert masks.shape[0] == 1 and masks[0, 5:15, 5:15].all() and masks.sum() == 100
    photo[7:9, 20:30, 1] = 0
    masks, columns, scores = found_in(photo, rule="refine")
    assert masks.shape[0] == 1 and masks[0, 5:15, 5:15].all() and masks.sum() == 100
    assert columns.tolist() == [0] and scores.tolist() == pytest.approx([0.8])  # the weight: C alone


def test_threshold_most_least_area_and_tags():
    classes = [(1, (5, 15), (5, 15)), (2, (20, 30), (5, 15))]
    photo = painted(classes, [(10, 6, 0.5), (10, 13, 0.4), (25, 10, 0.32)])

    def columns(update=None, **keys):
        return found_in(photo, config=SMALL.model_copy(update={"test_whole": False, **(update or {})}), **keys)[1]

    assert columns().tolist() == [0, 0, 1]
    assert columns({"test_threshold": 0.35}).tolist() == [0, 0]
    assert columns({"test_most": 1}).tolist() == [0, 1]
    # of the 10 x 10 pixels x = 5 to 9 (6 is nearer, up to 9.5) and 10 to 14 are 50 each
    assert columns({"min_area": 50}).tolist() == [0, 0, 1] and columns({"min_area": 51}).tolist() == [1]
    assert columns(tags=[False, True]).tolist() == [1] and columns(tags=[False, False]).tolist() == []
    assert columns(rule="refine").tolist() == [0, 0, 1]
    assert columns(rule="refine", tags=[True, False]).tolist() == [0, 0]
    nothing = found_in(painted([]))
    assert [part.shape for part in nothing] == [(0, 40, 50), (0,), (0,)]


def test_clusters_count_in_testing_too():
    """Offsets point to (10, 10) and are short at 21 pixels around it; C is 0.06 there, below the threshold of 0.1."""

    class Pointing(Painted):
        def forward(self, x):
            found = super().forward(x)
            y, x = (10.0 - torch.arange(n) for n in found.offset.shape[2:])
            return found._replace(offset=torch.stack(torch.broadcast_tensors(y[:, None], x))[None])

    photo = painted([(1, (5, 16), (5, 16))], [(10, 10, 0.06)])
    update = {"test_threshold": 0.1, "test_flip": False, "test_whole": False}
    config = SMALL.model_copy(update=update)
    masks, _, scores = found_in(photo, model=Pointing(), config=config)
    assert masks.sum() == 121 and scores.tolist() == pytest.approx([0.06 * SURE], abs=1e-5)
    assert len(found_in(photo, model=Pointing(), config=config.model_copy(update={"cluster": False}))[0]) == 0


def test_given_points_are_the_centres_in_testing():
    """Two points in one object of 10 x 20 pixels, where the network sees one centre; at half the size as well."""
    photo = painted([(1, (6, 16), (6, 26)), (2, (20, 30), (6, 16))], [(10, 15, 0.9)])
    points = Marks(np.array([0, 0]), np.array([[10.0, 8.0], [10.0, 22.0]]), np.ones(2, np.float32))
    for size in (1.0, 0.5):
        config = SMALL.model_copy(update={"test_size": size})
        masks, columns, scores = found_in(photo, points=points, config=config)
        assert columns.tolist() == [0, 0] and masks.sum() == 200  # the other class has no point, so no instance
        assert masks[0, 6:16, 6:14].all() and masks[1, 6:16, 18:26].all()
        assert scores.tolist() == pytest.approx([SURE] * 2, abs=0.02)  # the point's score, 1, for C


def test_a_point_has_all_pieces_of_its_class_in_testing_too():
    """Two pieces of class 1 share a point on the background between them; that of class 2 lies outside the photo."""
    photo = painted([(1, (6, 16), (6, 16)), (1, (6, 16), (30, 40)), (2, (20, 30), (6, 16))], [(10, 10, 0.9)])
    points = Marks(np.array([1, 0]), np.array([[25.0, -3.0], [10.0, 20.0]]), np.array([0.5, 0.7], np.float32))
    masks, columns, scores = found_in(photo, points=points)
    assert columns.tolist() == [0, 1] and masks.sum() == 300
    assert masks[0, 6:16, 6:16].all() and masks[0, 6:16, 30:40].all() and masks[1, 20:30, 6:16].all()
    assert scores.tolist() == pytest.approx([0.7 * SURE, 0.5 * SURE], abs=1e-5)
    # pieces have no least size, instances have: 200 pixels in two pieces stay, 100 do not
    config = SMALL.model_copy(update={"min_area": 101})
    masks, columns, _ = found_in(photo, points=points, config=config)
    assert columns.tolist() == [0] and masks.sum() == 200
    # in the refinement the labels are the same; its weights are the points' scores
    masks, columns, scores = found_in(photo, points=points, rule="refine")
    assert columns.tolist() == [0, 1] and masks.sum() == 300 and scores.tolist() == pytest.approx([0.7, 0.5])


def test_mirror_image_averages_and_turns_the_offset_back():
    # every pixel points 6 to the right: x = 17, 16, ... would go to the right centre; both photos' mean points nowhere
    photo = painted([(1, (5, 15), (5, 35))], [(10, 10, 0.5), (10, 28, 0.4)])
    flipped, _, _ = found_in(photo, model=Painted(6.0))
    once, _, _ = found_in(photo, model=Painted(6.0), config=SMALL.model_copy(update={"test_flip": False}))
    assert flipped[0].sum() == 150 and flipped[0, 5:15, 5:20].all()  # 5 to 19: x = 19 is a tie
    assert once[0, 5:15, 5:14].all() and once[0].sum() == 90  # x + 6 up to 19: 5 to 13
    model = Painted()
    found_in(photo, model=model, rule="refine")
    assert len(model.seen) == 1  # training sees no mirror image beside the photo


def test_masks_come_back_to_the_photo_from_another_size():
    photo = painted([(1, (8, 24), (8, 40))], size=(40, 50)).repeat(2, 0).repeat(2, 1)
    photo[32:36, 40:44, 1] = 90
    for keys, sizes in (({"test_size": 0.5}, (64, 64)), ({"side": 50}, (64, 64)), ({}, (96, 128))):
        model = Painted()
        masks, _, _ = found_in(photo, model=model, config=SMALL.model_copy(update=keys))
        assert model.seen[0] == sizes and masks.shape == (1, 80, 100)
        assert masks[0, 16:48, 16:80].mean() > 0.95 and masks[0].sum() < 1.05 * 32 * 64
    model = Painted()
    found_in(photo, model=model, config=SMALL.model_copy(update={"test_size": 0.5}), rule="refine")
    assert model.seen == [(96, 128)]  # as it enters training at scale 1


def test_entering_size_by_hand():
    assert infer.entering((300, 500), scale=1.0, side=None) == (300, 500)
    assert infer.entering((300, 500), scale=1.0, side=250) == (150, 250)
    assert infer.entering((300, 500), scale=0.5, side=800) == (150, 250)
    assert infer.entering((2, 900), scale=1.0, side=90) == (1, 90)


@pytest.fixture(scope="module")
def weights():
    model, mean, std = network.build(TINY, 2, seed=1)
    categories = {"7": "box", "3": "disc"}
    config = TINY.model_dump(mode="json")
    meta = {"kind": "bestie", "config": config, "categories": categories, "mean": list(mean), "std": list(std)}
    return Weights(meta, model.state_dict())


def test_load_gives_the_network_back_and_refuses_another(weights):
    model, config, ids = infer.load(weights, test_threshold=0.3)
    assert not model.training and config.test_threshold == 0.3 and ids.tolist() == [3, 7]
    state = model.state_dict()
    assert all(torch.equal(state[name], value.reshape(state[name].shape)) for name, value in weights.tensors.items())
    other = Weights({**weights.meta, "categories": {"1": "cat"}}, weights.tensors)
    with pytest.raises(UserError, match="not those of the bestie network that they describe"):
        infer.load(other)
    older = Weights({**weights.meta, "config": {**weights.meta["config"], "gone": 1}}, weights.tensors)
    with pytest.raises(UserError, match="gone is not a known key"):
        infer.load(older)


def test_photos_of_odd_sizes_and_their_tags(weights, monkeypatch):
    monkeypatch.setattr(infer, "load", lambda *_, **__: (Painted(), SMALL, np.array([3, 7])))
    other = Weights({**weights.meta, "mean": [0] * 3, "std": [1] * 3}, weights.tensors)
    photo = painted([(1, (2, 9), (2, 9)), (2, (12, 20), (2, 9))], [(5, 5, 0.5), (15, 5, 0.5)], size=(21, 33))
    photos = [("a/b", photo, None), ("c", photo, (7,)), ("d", photo, ()), ("e", photo[:2, :3], None)]
    photos = [infer.Shown(name, one, one.shape[:2], tags) for name, one, tags in photos]
    table = infer.predict_photos(photos, other, config=SMALL, job=Job(), count=4)
    assert table.image_id == ["a/b", "c", "d", "e"] and table.size.tolist() == [[21, 33]] * 3 + [[2, 3]]
    assert table.category.tolist() == [3, 7, 7] and table.first.tolist() == [0, 2, 3, 3, 3]
    assert table.area.tolist() == [49, 56, 56] and table.categories == {3: "disc", 7: "box"}


def command(folder, *more):
    return cli.main(
        ["predict", str(folder / "weights.pt"), str(folder / "photos"), "--out", str(folder / "out"), *more]
    )


def test_command_writes_store_coco_and_overlays(weights, tmp_path, capsys):
    weights.save(tmp_path / "weights.pt")
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("one.png", "sub/two.jpg"):
        Image.fromarray(rng.integers(0, 255, (40, 52, 3)).astype(np.uint8)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "bad.png").write_bytes(b"no photo")
    assert command(tmp_path, "--score", "0") == 0
    table = Instances.load(tmp_path / "out" / "predictions.zarr.zip")
    coco = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert table.image_id == ["one", "sub/two"] and len(coco["annotations"]) == len(table)
    assert (tmp_path / "out" / "overlays" / "one.png").is_file()
    assert (tmp_path / "out" / "overlays" / "sub" / "two.png").is_file()
    assert "2 photos" in (said := capsys.readouterr().out) and "1 bad images skipped" in said
    for lines, word in (("file,tags\none.png,cat", "cat"), ("file,tags\nthree.png,box", "three.png"), ("x", "begin")):
        (tmp_path / "tags.csv").write_text(lines)
        assert command(tmp_path, "--tags", str(tmp_path / "tags.csv")) == 1 and word in capsys.readouterr().err
    assert command(tmp_path, "--tags", str(tmp_path / "none.csv")) == 1 and "none.csv" in capsys.readouterr().err


def test_tags_of_a_csv(weights, tmp_path):
    from tag2mask.data.tags import tags_of

    (tmp_path / "tags.csv").write_text("file,tags\na.png,box;disc\nb/c.png,\n")
    assert tags_of(tmp_path / "tags.csv", weights.meta["categories"], {"a.png": 0, "b/c.png": 0}) == {
        "a.png": (3, 7),
        "b/c.png": (),
    }


def test_command_refuses_other_weights(weights, tmp_path, capsys):
    Weights({**weights.meta, "kind": "mil"}, {}).save(tmp_path / "weights.pt")
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photos" / "a.png")
    assert command(tmp_path) == 1
    shown = capsys.readouterr().err
    assert "'mil'" in shown and "name weights of cim, bestie" in shown
