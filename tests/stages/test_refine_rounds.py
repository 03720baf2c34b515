"""A second round of Mask R-CNN: which predictions join the labels, and a training that was killed in it."""

from types import SimpleNamespace

import numpy as np
import pytest
from refine_photos import TINY, dataset

from stages import refine
from stages.refine.config import Config
from stages.refine.rounds import additions, joining
from tag2mask.data import rle
from tag2mask.data.instances import Instances
from tag2mask.learn import loop
from tag2mask.run.job import Job
from tag2mask.store import store

KEYS = {**TINY, "rounds": 2, "round_score": 0.3, "round_iou": 0.3}


def bars(*spans):
    """RLE dicts of bars of one row on 10 pixels: (first, end)."""
    masks = np.zeros((len(spans), 1, 10), bool)
    for mask, (first, end) in zip(masks, spans):
        mask[0, first:end] = True
    return rle.encode(masks)


def test_which_predictions_join_by_hand():
    """Label 0..4. IoU with it: of 2..6 2/6, of 3..7 1/7; of 6..10 with 5..9 3/5. Class 7 is no tag."""
    config = Config(**KEYS)
    masks = bars((2, 6), (3, 7), (7, 10), (6, 10), (9, 10), (9, 10))
    categories, scores = [3, 3, 3, 3, 3, 7], [0.9, 0.5, 0.6, 0.8, 0.29, 0.9]
    found = joining(masks, categories, scores, bars((0, 4)), tags=(3,), config=config)
    assert found.tolist() == [False, True, False, True, False, False]
    loose = config.model_copy(update={"round_iou": 0.75, "round_score": 0.0})
    found = joining(masks, categories, scores, bars((0, 4)), tags=(3, 7), config=loose)
    assert found.tolist() == [True, True, True, True, False, True]  # of the two at 9 the better one
    assert joining([], [], [], bars((0, 4)), tags=(3,), config=config).tolist() == []
    assert joining(masks[:1], [3], [0.9], [], tags=(3,), config=config).tolist() == [True]


@pytest.mark.parametrize(("images", "photos"), [("all", 4), ("with_masks", 2)])
def test_a_photo_without_a_label_gets_one_where_it_is_trained_on(tmp_path, monkeypatch, images, photos):
    from tag2mask.data.index import Index

    inputs = dataset(tmp_path)
    index, labels = Index.load(inputs.index), Instances.load(inputs.labels)
    empty = labels.select(np.zeros(len(labels), bool))
    masks, classes = bars((0, 3), (4, 8)), np.array([0, 1])
    monkeypatch.setattr(
        "stages.refine.rounds.predict_photo", lambda *given, size, config: (masks, classes, np.array([0.8, 0.9]), None)
    )
    empty.size[:] = 1, 10
    config = Config(**KEYS).model_copy(update={"images": images})
    found = additions(None, index, empty, config=config, job=Job())
    assert found.image_id == labels.image_id and np.diff(found.first).tolist() == [1] * photos + [0] * (4 - photos)
    assert found.category.tolist() == [3, 7, 3, 7][:photos]  # its tag's class alone
    assert found.score.tolist() == pytest.approx([0.8, 0.9, 0.8, 0.9][:photos])


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """One label is left of four, as where labels are incomplete."""
    folder = tmp_path_factory.mktemp("rounds")
    given = dataset(folder)
    labels = Instances.load(given.labels)
    few = labels.select(np.arange(len(labels)) < 1)
    few.save(folder / "few.zarr.zip")
    return SimpleNamespace(index=given.index, labels=folder / "few.zarr.zip")


def taken(monkeypatch, *, die_after=None):
    """The list that iterations write their number to; after so many the training dies."""
    found, real = [], loop.step

    def step(task, items, t, **keys):
        if len(found) == die_after:
            raise Killed
        found.append(t)
        return real(task, items, t, **keys)

    monkeypatch.setattr(loop, "step", step)
    return found


def digests(made):
    return {name: store.digest(artifact.arrays()) for name, artifact in made.items()}


def test_killed_in_the_second_round_it_goes_on_there(inputs, tmp_path, monkeypatch):
    config, job = Config(**KEYS), Job(seed=5)
    made = refine.train(inputs, config, job)
    wanted, numbers = digests(made), job.numbers
    assert len(made["added"]) > 0 and numbers["added"] == len(made["added"])
    assert numbers["instances"] == 1 + numbers["added"] and numbers["photos"] > 1
    with monkeypatch.context() as patch:
        found = taken(patch, die_after=7)
        with pytest.raises(Killed):
            refine.train(inputs, config, Job(seed=5, checkpoints=tmp_path))
        assert found == [0, 1, 2, 3, 0, 1, 2]
    found, job = taken(monkeypatch), Job(seed=5, checkpoints=tmp_path)
    assert digests(refine.train(inputs, config, job)) == wanted and job.numbers == numbers
    assert found == [2, 3]


def test_killed_between_the_rounds_the_first_is_not_taught_again(inputs, tmp_path, monkeypatch):
    config = Config(**KEYS)

    def die(*given, **keys):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("stages.refine.learn.additions", die)
        with pytest.raises(Killed):
            refine.train(inputs, config, Job(seed=5, checkpoints=tmp_path))
    found = taken(monkeypatch)
    refine.train(inputs, config, Job(seed=5, checkpoints=tmp_path))
    assert found == [0, 1, 2, 3]


def test_one_round_adds_nothing(inputs):
    job = Job(seed=5)
    made = refine.train(inputs, Config(**TINY), job)
    assert made["added"].counts() == {"images": 0, "instances": 0} and "added" not in job.numbers


def test_a_later_round_learns_by_the_thresholds_of_predictions():
    from tag2mask.run.plan import Plan

    keys = {"score_threshold": 0.2, "nms": 0.3}
    recipes = {"once": {"transfer": "default"}, "twice": {"transfer": "default", "refine": {"rounds": 2}}}
    plan = Plan.load({"recipes": recipes, "show": ["once", "twice"], "refine": keys})
    once, twice = (plan.section("refine", function="train", recipe=name)["config"] for name in recipes)
    assert not keys.keys() & once.keys() and keys.items() <= twice.items() and {"detections"} <= twice.keys()
