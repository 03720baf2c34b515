"""Maps and peaks: hand-made responses, one per plateau, floor, border, window; Fan's attention; the stage on a tiny
index."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_classifier import META

from stages import cam
from stages.cam import peaks as peaks_of_maps
from stages.cam.config import Config
from stages.cam.maps import attention, class_maps, normalise
from stages.cam.peaks import find_peaks, photo_peaks
from stages.classifier.model import build, restore
from tag2mask.data.index import Index
from tag2mask.data.maps import Maps
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.run.config import parse
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights


def peaks(values, **options):
    return find_peaks(np.array(values, np.float32), **{"radius": 1, "floor": 0.1} | options).tolist()


def test_two_peaks_strongest_first():
    response = [[0.0, 0.2, 0.0, 0.0, 0.0], [0.0, 0.3, 0.0, 0.0, 0.9], [0.0, 0.0, 0.0, 0.0, 0.1]]
    assert peaks(response) == [[1, 4], [1, 1]]
    assert peaks(response, most=1) == [[1, 4]]


def test_the_window_decides_what_is_a_neighbour():
    row = [[0.5, 0.0, 0.0, 0.8, 0.0, 0.0, 0.4]]
    assert peaks(row, radius=2) == [[0, 3], [0, 0], [0, 6]]
    assert peaks(row, radius=3) == [[0, 3]]


def test_the_floor_is_included_and_zero_is_never_a_peak():
    assert peaks([[0.25, 0.0, 0.125]], floor=0.125) == [[0, 0], [0, 2]]
    assert peaks([[0.25, 0.0, 0.125]], floor=0.1251) == [[0, 0]]
    assert peaks(np.zeros((4, 4)), floor=0.0) == []


def test_a_plateau_gives_its_first_pixel_in_row_order():
    response = np.zeros((5, 6))
    response[1:3, 2:5] = 0.6
    assert peaks(response) == [[1, 2]]
    slanted = np.zeros((4, 4))
    slanted[0, 2] = slanted[1, 1] = slanted[2, 0] = 0.6  # touching at corners: one plateau
    assert peaks(slanted) == [[0, 2]]
    assert peaks(np.full((3, 7), 0.4)) == [[0, 0]]


def test_a_slope_beside_a_higher_value_is_no_plateau():
    assert peaks([[0.5, 0.5, 0.7, 0.5]]) == [[0, 2], [0, 0]]  # pixel 0 does not see the 0.7, pixel 1 does
    assert peaks([[0.5, 0.5, 0.7, 0.5]], radius=2) == [[0, 2]]


def test_peaks_at_the_border_and_in_the_corner():
    response = np.full((6, 6), 0.05)
    response[0, 0], response[5, 3] = 0.9, 0.8
    assert peaks(response, radius=2) == [[0, 0], [5, 3]]
    assert peaks([[0.5]], radius=7) == [[0, 0]]


def test_equal_strengths_stay_in_row_order():
    response = np.zeros((3, 9))
    response[2, 0] = response[0, 8] = response[0, 4] = 0.5
    assert peaks(response) == [[0, 4], [0, 8], [2, 0]]


def brute(response, radius, floor):
    """The definition, pixel by pixel, for a response without equal neighbours."""
    found = []
    for (y, x), value in np.ndenumerate(response):
        window = response[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        if value >= floor and value == window.max():
            found.append((-value, y, x))
    return [[y, x] for _, y, x in sorted(found)]


@pytest.mark.parametrize("radius", [1, 2, 7])
def test_random_responses_against_the_definition(radius):
    rng = np.random.default_rng(radius)
    for _ in range(20):
        response = rng.permutation(35 * 23).reshape(35, 23).astype(np.float32) / (35 * 23)
        assert find_peaks(response, radius=radius, floor=0.5).tolist() == brute(response, radius, 0.5)


def test_peaks_of_a_map_lie_in_photo_pixels_in_the_middle_of_their_cell():
    maps = np.zeros((2, 4, 6), np.float32)
    maps[0, 1, 4], maps[1, 3, 0] = 1.0, 0.5
    number, yx, score = photo_peaks(maps, (64, 96), mean_filter=1, window=15, floor=0.1, most=25)
    assert number.tolist() == [0, 1]
    assert np.abs(yx[0] - (24, 72)).max() <= 1  # cells of 16 pixels: 1.5 x 16, 4.5 x 16
    assert 48 <= yx[1][0] < 64 and 0 <= yx[1][1] < 16
    assert score == pytest.approx([1, 0.5], abs=0.07)  # no photo pixel lies exactly on a cell's middle


def test_peaks_of_a_huge_photo_are_found_on_a_bounded_side_and_lie_in_its_own_pixels(monkeypatch):
    """Cells of 16 pixels of the photo, of 8 where it is halved: pixel 11 there is pixels 22 and 23 of the photo."""
    maps = np.zeros((1, 4, 6), np.float32)
    maps[0, 1, 2] = 1
    keys = {"mean_filter": 1, "window": 3, "floor": 0.1, "most": 25}
    monkeypatch.setattr(peaks_of_maps, "LARGEST", 48)
    _, yx, score = photo_peaks(maps, (64, 96), **keys)
    _, half, same = photo_peaks(maps, (32, 48), **keys)
    assert yx.tolist() == (2 * half + 1).tolist() == [[23, 39]] and yx.dtype == np.int32
    assert score.tolist() == same.tolist()


def test_the_mean_filter_lowers_a_point_to_its_mean():
    maps = np.zeros((1, 9, 9), np.float32)
    maps[0, 4, 4] = 0.9
    _, yx, score = photo_peaks(maps, (9, 9), mean_filter=3, window=3, floor=0.05, most=25)
    assert yx.tolist() == [[3, 3]] and score == pytest.approx([0.1])  # 3 x 3 pixels of 0.1: one plateau
    assert len(photo_peaks(maps, (9, 9), mean_filter=3, window=3, floor=0.11, most=25)[0]) == 0


def test_bestie_s_numbers_by_hand():
    """With the defaults: 30 blocks of 3x3 pixels, whose means stand in their middles, 20 pixels apart: the 25 strongest
    are peaks. Of two blocks 7 pixels apart the weaker is none, at 8 it is one. Means of 0.0999 are none."""
    keys = {name: getattr(Config(), name) for name in ("mean_filter", "window", "floor", "most")}
    assert keys == {"mean_filter": 3, "window": 15, "floor": 0.1, "most": 25} and Config().flip

    def found(*blocks):
        values = np.zeros((1, 120, 120), np.float32)
        for y, x, value in blocks:
            values[0, y - 1 : y + 2, x - 1 : x + 2] = value
        _, yx, score = photo_peaks(values, (120, 120), **keys)
        return [(y, x, round(float(s), 4)) for (y, x), s in zip(yx.tolist(), score)]

    many = [(10 + 20 * (k // 6), 10 + 20 * (k % 6), round(1 - 0.03 * k, 4)) for k in range(30)]  # 1 to 0.13
    assert found(*many) == many[:25]
    assert found((50, 50, 0.9), (50, 57, 0.8)) == [(50, 50, 0.9)]
    assert found((50, 50, 0.9), (50, 58, 0.8)) == [(50, 50, 0.9), (50, 58, 0.8)]
    assert found((20, 20, 0.1001), (80, 80, 0.0999)) == [(20, 20, 0.1001)]


def test_no_map_no_peak():
    number, yx, score = photo_peaks(np.zeros((0, 1, 1)), (9, 9), mean_filter=3, window=15, floor=0.1, most=25)
    assert number.shape == (0,) and yx.shape == (0, 2) and score.shape == (0,)


def test_normalised_by_hand():
    maps = normalise([[[-4, 2], [1, 0]], [[-1, -2], [0, -3]]])
    assert maps.tolist() == [[[0, 1], [0.5, 0]], [[0, 0], [0, 0]]]
    assert maps.dtype == np.float32


def test_attention_by_hand():
    """Scores -1 + 1 = 0 and ln 3 - 1 + 1: probabilities 1/2 and 3/4; the second class's bias makes 1/4 of zeros."""
    maps = np.array([[[-1, np.log(3) - 1]], [[0, 0]]])
    found = attention(maps, [1, -np.log(3)])
    assert found == pytest.approx(np.array([[[0.5, 0.75]], [[0.25, 0.25]]])) and found.dtype == np.float32
    extreme = attention([[[-1e4, 1e4]]], [0]).astype(np.float16)
    assert extreme.tolist() == [[[0, 1]]]  # no overflow, not even at float16


def test_fan_eq_1_is_the_mean_over_classes_and_photos_of_the_binary_cross_entropies(tmp_path, monkeypatch):
    """The first iteration's loss, worked out from the answers of the network and the tags: -1/C sum (...)."""
    from test_classifier import TINY

    from stages import classifier
    from stages.classifier.config import Config as ClassifierConfig
    from stages.classifier.model import Classifier

    names = [f"{k}.png" for k in range(4)]
    for k, name in enumerate(names):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (40, 40, 3)).astype(np.uint8)).save(tmp_path / name)
    Index.build(
        tmp_path, {2: "a", 5: "b", 9: "c"}, image_id=names, path=names, size=[(40, 40)] * 4, tags=[(2, 9)] * 4,
        train=[1] * 4,
    ).save(tmp_path / "index.zarr.zip")  # fmt: skip
    answers, forward = [], Classifier.forward
    monkeypatch.setattr(Classifier, "forward", lambda self, x: answers.append(forward(self, x)) or answers[-1])
    job = Job()
    keys = TINY | {"batch": 4, "epochs": 1}
    classifier.train(SimpleNamespace(index=tmp_path / "index.zarr.zip"), ClassifierConfig(**keys), job)
    y = 1 / (1 + np.exp(-answers[0][0].detach().numpy().astype(float)))  # (4, 3)
    wanted = np.array([1, 0, 1])  # the tags of every photo
    losses = -(wanted * np.log(y) + (1 - wanted) * np.log(1 - y)).sum(1) / 3
    assert job.numbers["iterations"] == 1 and job.numbers["loss"] == pytest.approx(losses.mean(), abs=1e-4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build(META).eval()


PHOTO = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)


def maps_of(model, photo, columns, **keys):
    """The maps of one photo."""
    return class_maps(model, [photo], [columns], **keys)[0]


def test_photos_that_go_through_the_network_together_have_their_own_maps(model):
    photos, columns = [PHOTO, PHOTO[::-1], PHOTO[:, ::-1]], [[2, 0], [1], [0, 1, 2]]
    found = class_maps(model, photos, columns, side=64, scales=(1.0, 2.0), at_once=4)
    for photo, some, pair in zip(photos, columns, found):
        for ours, alone in zip(pair, maps_of(model, photo, some, side=64, scales=(1.0, 2.0))):
            np.testing.assert_allclose(ours, alone, atol=1e-4)


def test_flip_averaging_commutes_with_mirroring(model):
    maps, signed = maps_of(model, PHOTO, [2, 0], side=64)
    mirrored, signed_mirrored = maps_of(model, PHOTO[:, ::-1], [2, 0], side=64)
    assert maps.shape == (2, 3, 5) and (maps >= 0).all() and maps.any()
    assert np.allclose(maps[:, :, ::-1], mirrored, atol=1e-5)
    assert np.allclose(signed[:, :, ::-1], signed_mirrored, atol=1e-5)
    assert not np.allclose(maps, maps_of(model, PHOTO, [2, 0], side=64, flip=False)[0], atol=1e-3)


def test_score_maps_are_not_rectified_and_their_mean_with_the_bias_is_the_logit(model):
    size = (64, 64)  # of the photo and of the network's input: nothing is resized
    photo = np.random.default_rng(3).integers(0, 256, (*size, 3)).astype(np.uint8)
    positive, maps = maps_of(model, photo, [0, 1, 2], side=64, flip=False)
    assert maps.min() < 0
    assert np.array_equal(positive, np.maximum(maps, 0))
    with torch.no_grad():
        logits = model(model.backbone.normalise(photo[None]))[0][0].numpy()
    assert maps.mean((1, 2)) + model.bias.detach().numpy() == pytest.approx(logits, abs=1e-5)


def test_the_mirrored_score_maps_are_averaged_before_the_sigmoid(model):
    maps = maps_of(model, PHOTO, [0, 2], side=64)[1]
    alone = maps_of(model, PHOTO, [0, 2], side=64, flip=False)[1]
    mirrored = maps_of(model, PHOTO[:, ::-1], [0, 2], side=64, flip=False)[1][:, :, ::-1]
    assert np.allclose(maps, (alone + mirrored) / 2, atol=1e-5)


def test_scales_are_averaged_on_the_largest_grid(model):
    one, two, both = (maps_of(model, PHOTO, [1], side=64, scales=s)[0] for s in ((1.0,), (2.0,), (1.0, 2.0)))
    enlarged = torch.nn.functional.interpolate(torch.tensor(one)[None], two.shape[1:], mode="bilinear")[0].numpy()
    assert both.shape == two.shape and np.allclose(both, (two + enlarged) / 2, atol=1e-6)


@pytest.fixture
def inputs(tmp_path, model):
    return written(tmp_path, model)


def written(tmp_path, model):
    """Inputs of the stage: five photos in two shards: the third has no tag, the last is for validation."""
    rng, names = np.random.default_rng(1), [f"{k}.png" for k in range(5)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (50, 70, 3)).astype(np.uint8)).save(tmp_path / name)
    index = Index.build(
        tmp_path, {2: "a", 5: "b", 9: "c"}, image_id=names, path=names, size=[(50, 70)] * 5,
        tags=[(5,), (2, 9), (), (2, 5, 9), (2,)], train=[1, 1, 1, 1, 0], val=[0, 0, 0, 0, 1], shards=2,
    )  # fmt: skip
    index.save(tmp_path / "index.zarr.zip")
    meta = META | {"kind": "classifier", "stride": 16, "mean": [0.5] * 3, "std": [0.5] * 3}
    Weights(meta, model.state_dict()).save(tmp_path / "w.pt")
    return SimpleNamespace(index=tmp_path / "index.zarr.zip", weights=tmp_path / "w.pt")


@pytest.fixture
def anyweights(monkeypatch):
    """Weights written without a manifest are accepted."""
    monkeypatch.setattr("tag2mask.store.store.verify", lambda *_: None)


def test_a_shard_has_one_map_per_tag_and_the_peaks_of_each(inputs, anyweights, tmp_path):
    job = Job(shard=1)
    made = cam.run(inputs, Config(), job)
    maps, table = made["cam"], made["peaks"]
    assert isinstance(maps, Maps) and isinstance(table, Table) and table.schema == "peaks/1"
    assert maps.image_id == list(table["image_id"]) == ["2.png", "3.png"]
    assert maps.category.tolist() == [2, 5, 9] and maps.image.tolist() == [1, 1, 1]
    assert maps.data.dtype == np.float16 and maps.map(0).shape == (3, 5)
    assert all(m.max() == 1 or m.max() == 0 for m in maps.of(1)[1]) and maps.data.min() >= 0
    first, category = table["first"], table["category"]
    assert first[0] == first[1] == 0 and first[2] == len(category) == len(table["yx"]) == len(table["score"]) > 0
    assert np.all(np.diff(category) >= 0) and set(category) <= {2, 5, 9}
    for c in set(category):
        assert np.all(np.diff(table["score"][category == c]) <= 0)
    assert (table["yx"] >= 0).all() and (table["yx"] < (50, 70)).all() and (table["score"] >= 0.1).all()
    assert job.numbers["photos"] == 2 and job.numbers["maps"] == 3


def test_a_shard_of_attention_maps(inputs, anyweights):
    made = cam.run(inputs, Config(normalise="sigmoid"), Job(shard=0))
    maps, table = made["cam"], made["peaks"]
    assert maps.category.tolist() == [5, 2, 9] and maps.data.dtype == np.float16  # tags of training photos only
    assert maps.meta["normalise"] == "sigmoid" and maps.data.min() > 0 and maps.data.max() < 1
    photo = Index.load(inputs.index).photo(0)
    model = restore(Weights.load(inputs.weights))  # it normalises as the file says
    scores = maps_of(model, photo, [1], side=64)[1][0] + model.bias[1].item()
    assert maps.map(0) == pytest.approx(1 / (1 + np.exp(-scores)), abs=1e-3)
    first, score = table["first"], table["score"]
    assert first[-1] == len(score) > 0 and (score >= 0.1).all() and (score < 1).all()
    least = cam.run(inputs, Config(normalise="sigmoid", floor=0.999), Job(shard=0))["peaks"]
    assert len(least["score"]) == 0  # the floor is a probability


def test_shards_together_are_the_whole(inputs, anyweights):
    whole = cam.run(inputs, Config(), Job())
    parts = [cam.run(inputs, Config(), Job(shard=k)) for k in (0, 1)]
    assert np.array_equal(whole["cam"].data, np.concatenate([p["cam"].data for p in parts]))
    assert np.array_equal(whole["peaks"]["yx"], np.concatenate([p["peaks"]["yx"] for p in parts]))


def test_weights_of_other_classes_are_one_sentence(inputs, anyweights, tmp_path):
    index = Index.load(inputs.index)
    index.categories[11] = "d"
    index.save(tmp_path / "more.zarr.zip")
    with pytest.raises(UserError, match="trained on other classes"):
        cam.run(SimpleNamespace(index=tmp_path / "more.zarr.zip", weights=inputs.weights), Config(), Job())


@pytest.mark.parametrize(
    "keys, sentence",
    [({"window": 14}, "cam.window: must be odd"), ({"scales": (1, 0)}, "above 0"), ({"floor": 2}, "cam.floor")],
)
def test_wrong_keys_are_one_sentence(keys, sentence):
    with pytest.raises(UserError, match=sentence):
        parse(Config, keys, where="cam")
