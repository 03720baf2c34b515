"""In which order a stage's photos go through the instance network, and in which their answers stand."""

from types import SimpleNamespace

import numpy as np
import pytest

from stages import bestie
from stages.bestie import infer
from stages.bestie.config import Config
from stages.bestie.data import Marks
from tag2mask.data import rle
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights


def test_photos_of_one_size_go_together_wherever_they_stand_and_answers_keep_their_places(monkeypatch):
    """Of seven photos every other one is larger, the last has no point where all others have one."""
    sizes, groups = [(2, 3), (4, 3)] * 3 + [(2, 3)], []
    names = [str(n) for n in range(7)]
    index = SimpleNamespace(
        image_id=names, size=np.array(sizes), categories={3: "disc"}, tags=lambda i: (3,),
        photo=lambda i: np.zeros((*sizes[i], 3), np.uint8),
    )  # fmt: skip

    def found(model, photos, ids, **_):
        groups.append([one.name for one in photos])
        return [
            (rle.encode(np.ones((1, *one.size), bool)), np.array([0]), np.array([int(one.name) / 10])) for one in photos
        ]

    weights = SimpleNamespace(meta={"mean": (0.0,) * 3, "std": (1.0,) * 3, "categories": {"3": "disc"}})
    monkeypatch.setattr(Weights, "load", lambda *_, **__: weights)
    monkeypatch.setattr(infer, "load", lambda *_, **__: (None, Config(), None))
    monkeypatch.setattr(infer, "photo_instances", found)
    monkeypatch.setattr(infer, "at_once", lambda job: 2)
    marks = {name: None if name == "6" else Marks(np.array([0]), np.ones((1, 2)), np.ones(1)) for name in names}
    inputs = SimpleNamespace(weights=None)
    table = bestie.answered(index, np.arange(7), inputs, Config(), Job(), clean=True, marks=marks)
    assert groups == [["0", "2"], ["1", "3"], ["4"], ["5"], ["6"]]
    assert table.image_id == names and table.size.tolist() == [list(size) for size in sizes]
    assert table.id.tolist() == list(range(1, 8)) and table.score.tolist() == pytest.approx([n / 10 for n in range(7)])
    assert [table.masks(i).shape for i in range(7)] == [(1, *size) for size in sizes]
    nothing = bestie.answered(index, np.arange(0), inputs, Config(), Job(), clean=True)
    assert nothing.images == len(nothing) == 0
