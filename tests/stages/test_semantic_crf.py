"""semantic, `refine: crf`: energies, the rule of two CRFs and the missing package by hand; with the package, against
exact mean-field inference and on photos with edges."""

import numpy as np
import pytest
from PIL import Image

from stages.semantic import config as section
from stages.semantic import from_folder, label_map
from stages.semantic.config import Config
from stages.semantic.dense_crf import dense_crf, unary
from tag2mask.data.index import Index
from tag2mask.errors import UserError
from tag2mask.run.config import parse

RELEASED = {"iterations": 10, "certainty": 0.7, "near": 3, "near_weight": 3, "space": 50, "colour": 5, "weight": 10}
PHOTO = np.zeros((40, 60, 3), np.uint8)
PHOTO[:, :30], PHOTO[:, 30:] = 40, 200  # an edge between columns 29 and 30


@pytest.fixture
def there(monkeypatch):
    """As if the package were there."""
    monkeypatch.setattr(section, "find_spec", lambda name: name == "pydensecrf")


@pytest.fixture
def calls(monkeypatch, there):
    """A CRF that leaves known labels, makes unknown ones 1, and notes how it was called."""
    calls = []

    def crf(labels, photo, **keys):
        calls.append((labels.copy(), photo.shape, keys))
        return np.where(labels < 0, 1, labels)

    monkeypatch.setattr(label_map, "dense_crf", crf)
    return calls


def test_energies_by_hand():
    """Three labels at certainty 0.7: -ln 0.7 at the label, -ln 0.15 elsewhere; -ln 1/3 where nothing is known."""
    energy = unary(np.array([[0, 2, -1]]), 3, certainty=0.7)
    right, wrong, none = 0.35667, 1.89712, 1.09861
    wanted = [[[right, wrong, none]], [[wrong, wrong, none]], [[wrong, right, none]]]
    np.testing.assert_allclose(energy, wanted, atol=1e-5)
    assert energy.dtype == np.float32


def test_without_the_package_the_configuration_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(section, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="semantic: refine: crf needs the package pydensecrf2.*pip install pydensecrf2"):
        parse(Config, {"refine": "crf"}, where="semantic")
    assert parse(Config, {}, where="semantic").refine == "random_walk"


def test_certain_foreground_possible_foreground_and_background(calls):
    """Scores of classes 3 and 7; at least 0.3 is certain, at least 0.15 possible."""
    scores = np.array([[[0.3, 0.1], [0.2, 0.25], [0.1, 0.6], [0.14, 0.1]]])
    config = Config(refine="crf", foreground=0.3, background=0.15)
    label = label_map.twice(scores, [3, 7], PHOTO[:1, :4], config=config)
    assert label.tolist() == [[3, 255, 7, 0]] and label.dtype == np.uint8
    assert [one[0].tolist() for one in calls] == [[[1, 0, 2, 0]], [[1, 2, 2, 0]]]
    assert all(keys == RELEASED | {"count": 3} for _, _, keys in calls)


def test_larger_photos_are_made_small_and_come_back_at_their_size(calls):
    cam = np.zeros((2, 2), np.float16)
    cam[:, 0] = 1
    label = label_map.from_cam(PHOTO, [5], [cam], Config(refine="crf", side=30))
    assert [shape for _, shape, _ in calls] == [(20, 30, 3)] * 2
    assert label.shape == (40, 60) and (label[:, :20] == 5).all() and (label[:, 55:] == 0).all()
    assert not len(label_map.from_cam(PHOTO, [], [], Config(refine="crf")).nonzero()[0]) and len(calls) == 2


def test_a_mirrored_photo_gives_the_mirrored_map(calls):
    """Made at three fifths of the size, 24 x 36: no pixel's centre lies between two pixels of the small map."""
    cam = np.zeros((20, 30), np.float16)
    cam[3:11, 4:17] = 1
    config = Config(refine="crf", side=36)
    label = label_map.from_cam(PHOTO, [5], [cam], config)
    for axis in (0, 1):
        turned = label_map.from_cam(np.flip(PHOTO, axis), [5], [np.flip(cam, axis)], config)
        assert (np.flip(turned, axis) == label).all()
    assert 0 < (label == 5).sum() < label.size


def test_maps_made_elsewhere(calls, tmp_path):
    """Their own classes are numbered from 1 for the CRF, 255 is not known; a map without a class stays as it is."""
    Image.fromarray(PHOTO[:2, :3]).save(tmp_path / "a.png")
    (tmp_path / "maps").mkdir()
    index = Index.build(tmp_path, {4: "x", 9: "y"}, image_id=["a"], path=["a.png"], size=[(2, 3)], tags=[(4,)],
                        train=[True])  # fmt: skip
    for values, wanted, seen in (
        ([[0, 9, 255], [4, 4, 0]], [[0, 9, 4], [4, 4, 0]], [[[0, 2, -1], [1, 1, 0]]]),
        ([[0, 0, 255], [0, 0, 0]], [[0, 0, 255], [0, 0, 0]], []),
    ):
        calls.clear()
        Image.fromarray(np.array(values, np.uint8)).save(tmp_path / "maps/a.png")
        make = from_folder(None, Config(source="folder", path=str(tmp_path / "maps"), refine="crf"), index)
        assert make(0).tolist() == wanted and [labels.tolist() for labels, _, _ in calls] == seen
        plain = from_folder(None, Config(source="folder", path=str(tmp_path / "maps")), index)
        assert plain(0).tolist() == values


def exact(labels, photo, *, count, iterations, certainty, near, near_weight, space, colour, weight):
    """Mean field with every pair of pixels, kernels normalised symmetrically as the package does."""
    y, x = np.indices(labels.shape).reshape(2, -1)
    place, shade = np.stack([y, x], 1).astype(float), photo.reshape(-1, 3).astype(float)

    def kernel(features):
        k = np.exp(-((features[:, None] - features[None]) ** 2).sum(2) / 2)
        root = np.sqrt(k.sum(1))
        return k / root / root[:, None]

    pull = near_weight * kernel(place / near) + weight * kernel(np.hstack([place / space, shade / colour]))
    energy = unary(labels, count, certainty=certainty).reshape(count, -1).T
    answer = np.exp(-energy)
    answer /= answer.sum(1, keepdims=True)
    for _ in range(iterations):
        logits = -energy + pull @ answer
        answer = np.exp(logits - logits.max(1, keepdims=True))
        answer /= answer.sum(1, keepdims=True)
    return answer.argmax(1).reshape(labels.shape)


@pytest.mark.parametrize("seed", range(3))
def test_against_exact_inference_on_small_photos(seed):
    pytest.importorskip("pydensecrf")
    rng = np.random.default_rng(seed)
    photo = (PHOTO[:16, 20:40] + rng.integers(0, 20, (16, 20, 3))).astype(np.uint8)
    truth = np.where(np.arange(20) < 10, 1, 2) * np.ones((16, 1), int)
    labels = np.where(rng.random((16, 20)) < 0.3, rng.integers(-1, 3, (16, 20)), truth)
    for weak in ({}, {"weight": 0.5, "near_weight": 0.5, "iterations": 1}):
        found, wanted = (f(labels, photo, count=3, **RELEASED | weak) for f in (dense_crf, exact))
        assert (found == wanted).mean() > 0.97  # the package's filter is an approximation
    assert (dense_crf(labels, photo, count=3, **RELEASED) == truth).all()


def test_a_class_ends_where_the_photo_does():
    pytest.importorskip("pydensecrf")
    cam = np.zeros((4, 6), np.float16)
    cam[:, :2] = 1  # fades out between columns 15 and 24, the object ends at 29
    label = label_map.from_cam(PHOTO, [5], [cam], Config(refine="crf"))
    assert (label[:, :30] == 5).all() and (label[:, 30:] == 0).all()
    broken = np.where(np.arange(60) < 25, 5, 0) * np.ones((40, 1), int)
    broken[10:20, 5:50] = 255
    assert (label_map.refined(broken.astype(np.uint8), PHOTO, Config(refine="crf")) == label).all()
    assert (label_map.from_cam(PHOTO, [5], [np.zeros((1, 1), np.float16)], Config(refine="crf")) == 0).all()


def test_maps_made_elsewhere_are_refined_within_the_side(monkeypatch):
    """A large photo's map is what its third, refined, says of three times three pixels each."""
    seen = []
    monkeypatch.setattr(label_map, "dense_crf", lambda number, photo, **keys: seen.append(photo) or number)
    small = np.where(np.arange(60) < 25, 5, 0) * np.ones((40, 1), np.uint8)
    label, photo = (array.astype(np.uint8).repeat(3, 0).repeat(3, 1) for array in (small, PHOTO))
    config = Config.model_construct(**Config().model_dump() | {"refine": "crf", "side": 60})
    assert (label_map.refined(label, photo, config) == label).all()
    assert len(seen) == 1 and (seen[0] == PHOTO).all()
