"""What a training step learns from, by hand: centres of points, the foreground that is refined, the photo's border."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stages.bestie import learn
from stages.bestie.config import Config
from tag2mask.data.tables import Table


def test_the_centre_map_of_points_by_hand():
    from stages.bestie.data import Batch
    from stages.bestie.labels import Labels, Points, drawn
    from stages.bestie.learn import pointed

    none = torch.zeros(0, dtype=torch.int64)
    labels = Labels(torch.zeros(2, 1, 4, dtype=torch.int64), none, none, torch.zeros(0, 2), torch.zeros(0))
    points = Points(*(torch.tensor([v]) for v in (1, 0)), *(torch.tensor([v]) for v in (0.0, 2.0, 0.3)))
    given = Batch(None, None, None, labels, points)
    found = pointed(drawn(labels, 2, sigma=1.0, everywhere=True), given, 2, sigma=1.0)
    center = found.center.view(2, 1, 4, 2).permute(0, 3, 1, 2)
    # photo 1, class 0, column 2: exp(-d^2 / 2) at distances 2, 1, 0, 1; the score does not lower it
    assert center[1, 0, 0].tolist() == pytest.approx(np.exp([-2, -0.5, 0, -0.5]))
    assert not center[0].any() and not center[1, 1].any()


@pytest.mark.parametrize("refine_on", ["network", "semantic"])
def test_the_foreground_that_is_refined(refine_on):
    """The network sees class 1 in the left two pixels, the semantic map class 2 in the third; the last is undecided."""
    from stages.bestie.data import Batch
    from stages.bestie.network import Output

    semantic = torch.zeros(1, 3, 1, 4)
    semantic[0, 1, 0, :2] = semantic[0, 0, 0, 2:] = 5.0
    output = Output(semantic, torch.full((1, 2, 1, 4), 0.9), torch.zeros(1, 2, 1, 4))
    target = torch.tensor([[[0, 0, 2, 255]]])
    given = Batch(None, target, torch.ones(1, 1, 4, dtype=torch.bool), None, None)
    config = Config(refine_on=refine_on, min_area=1, window=41)
    labels = learn.refined_labels(output, torch.ones(1, 2, dtype=torch.bool), given, config=config)
    wanted = {"network": ([[[1, 1, 0, 0]]], [0]), "semantic": ([[[0, 0, 1, 0]]], [1])}[refine_on]
    assert (labels.number.tolist(), labels.column.tolist()) == wanted


def test_the_semantic_map_shows_the_refinement_tagged_classes_alone():
    from stages.bestie.data import Batch
    from stages.bestie.network import Output

    # the map says class 1 in two pixels and class 2 in two; the photo is tagged with the first alone
    output = Output(torch.zeros(1, 3, 1, 5), torch.full((1, 2, 1, 5), 0.9), torch.zeros(1, 2, 1, 5))
    given = Batch(None, torch.tensor([[[1, 1, 0, 2, 2]]]), torch.ones(1, 1, 5, dtype=torch.bool), None, None)
    config = Config(refine_on="semantic", min_area=1)
    labels = learn.refined_labels(output, torch.tensor([[True, False]]), given, config=config)
    assert labels.number.tolist() == [[[1, 1, 0, 0, 0]]] and labels.column.tolist() == [0]


def test_marks_of_points_leave_other_classes_out():
    from stages.bestie.data import marks_of

    table = Table(
        "peaks/1",
        {
            "image_id": np.array(["a", "b", "c"]), "first": np.array([0, 2, 2, 3]), "score": np.array([1, 0.5, 1]),
            "category": np.array([7, 3, 9]), "yx": np.array([[1, 2], [3, 4], [5, 6]]),
        },
    )  # fmt: skip
    found = marks_of(table, {3: 0, 7: 1})
    assert list(found) == ["a"] and found["a"].column.tolist() == [1, 0]
    assert found["a"].yx.tolist() == [[1, 2], [3, 4]] and found["a"].score.tolist() == [1, 0.5]


def test_outside_the_photo_nothing_is_refined():
    from stages.bestie.learn import refined_labels
    from stages.bestie.network import Output

    # all pixels look like class 0 and the centre map has its top at (8, 20); the photo ends at column 16
    center = torch.zeros(1, 1, 32, 32)
    center[0, 0, 8, 4], center[0, 0, 8, 20], center[0, 0, 16, 8] = 0.8, 0.9, 0.6
    output = Output(torch.tensor([0.0, 5.0]).view(1, 2, 1, 1).expand(1, 2, 32, 32), center, torch.zeros(1, 2, 32, 32))
    photo = torch.zeros(1, 32, 32, dtype=torch.bool)
    photo[..., :16] = True
    given = SimpleNamespace(photo=photo, points=None)
    found = refined_labels(output, torch.ones(1, 1, dtype=torch.bool), given, config=Config(cluster=False))
    # rows 0 to 31 and columns 0 to 15: C at (16, 8), the even sides of the halves
    assert found.weight.tolist() == [pytest.approx(0.6)] and torch.equal(found.number > 0, photo)
    assert found.center.tolist() == [[15.5, 7.5]]
