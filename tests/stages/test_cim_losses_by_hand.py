"""CIM's losses with numbers worked by hand: Eq. 3, both terms; Eq. 7, both terms and both readings; Eq. 8; bag loss."""

from math import log

import numpy as np
import pytest
import torch

from stages.cim import learn, losses, mining
from stages.cim.agpl import FirstLabels
from stages.cim.config import Config
from stages.cim.network import Scores
from stages.cim.photos import Sample
from stages.cim.sets import sets_of


def labels(label, *, whole=None, weight=None):
    number = len(label)
    return mining.Labels(
        torch.tensor(label), torch.tensor(whole or [False] * number), torch.tensor(weight or [1.0] * number).double()
    )


def scores(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_eq_3_weighted_cross_entropy_over_the_labelled():
    y = scores([0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8])
    # (0.5 x -log 0.5 [class 1] + 0.25 x -log 0.25 [background]) / 2; the last is left out, whatever its weight
    found = losses.class_loss(y.log(), labels([1, 0, -1], weight=[0.5, 0.25, 9.0]))
    assert found.item() == pytest.approx((0.5 * log(2) + 0.25 * log(4)) / 2) == pytest.approx(0.5 * log(2))


def test_eq_3_smooth_l1_of_the_labels_class_over_the_foreground():
    t = scores([0.9, 0.6, 0.9], [0.9, 0.9, 0.2], [0.7, 0.7, 0.7], [0.3, 0.3, 0.3])
    # class 1, target 1: 0.4^2 / 2 x 0.5 = 0.04; class 2, target 0: 0.2^2 / 2 x 1 = 0.02; (0.04 + 0.02) / 2
    found = losses.integrity_loss(t, labels([1, 2, 0, -1], whole=[True, False, True, True], weight=[0.5, 1, 1, 1]))
    assert found.item() == pytest.approx(0.03)


def test_eq_3_without_labels_or_foreground_is_zero_with_a_gradient():
    score = torch.full((2, 3), 0.5, dtype=torch.float64, requires_grad=True)
    found = losses.class_loss(score.log(), labels([-1, -1])) + losses.integrity_loss(score, labels([0, -1]))
    found.backward()
    assert found.item() == 0 and (score.grad == 0).all()


def test_eq_7_tags():
    y, t = scores([0.5, 0.5], [0.25, 0.75]), scores([0.5, 0.4], [0.5, 0.6])
    # y^I: 0.5 x 0.5 + 0.25 x 0.5 = 0.375, background, always there; 0.5 x 0.4 + 0.75 x 0.6 = 0.65
    assert losses.tag_loss(y.log(), t, torch.tensor([True, False])).item() == pytest.approx(
        -(log(0.375) + log(0.35)) / 2
    )
    assert losses.tag_loss(y.log(), t, torch.tensor([True, True])).item() == pytest.approx(
        -(log(0.375) + log(0.65)) / 2
    )


def test_eq_7_tag_scores_are_cut_at_a_millionth():
    y, t = scores([1e-30, 1 - 1e-9]), scores([1.0, 1.0])
    # background -log 1e-6, not 69; class 1, not there: -log(1 - (1 - 1e-6))
    assert losses.tag_loss(y.log(), t, torch.tensor([True, False])).item() == pytest.approx(-log(1e-6), rel=1e-4)


CLUSTERED = scores([0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8])
LABEL, CLUSTER = torch.tensor([1, 1, 0, -1]), torch.tensor([0, 0, 1, -1])


def test_eq_7_clusters_as_printed():
    # the first two, class 1: mean 0.4, twice; the third, background: 0.5; three are labelled
    found = losses.cluster_loss(CLUSTERED.log(), LABEL, CLUSTER, kind="positive")
    assert found.item() == pytest.approx(-(2 * log(0.4) + log(0.5)) / 3)


def test_eq_7_clusters_as_released():
    # means (0.5, 0.4, 0.1), class 1, twice; (0.5, 0.25, 0.25), background
    one = -(log(1 - 0.5) + log(0.4) + log(1 - 0.1)) / 3
    other = -(log(0.5) + log(1 - 0.25) + log(1 - 0.25)) / 3
    found = losses.cluster_loss(CLUSTERED.log(), LABEL, CLUSTER, kind="binary")
    assert found.item() == pytest.approx((2 * one + other) / 3)


def test_eq_7_a_cluster_that_is_surely_wrong_still_has_its_gradient():
    log_y = torch.log_softmax(torch.tensor([[0.0, -200.0], [0.0, -200.0]], dtype=torch.float32), 1).requires_grad_()
    found = losses.cluster_loss(log_y, torch.tensor([1, 1]), torch.tensor([0, 0]), kind="positive")
    found.backward()
    assert found.item() == pytest.approx(200) and log_y.grad[:, 1].tolist() == pytest.approx([-0.5, -0.5])


@pytest.mark.parametrize("kind", ["positive", "binary"])
def test_eq_7_without_a_labelled_proposal_is_zero(kind):
    none = torch.tensor([-1])
    assert losses.cluster_loss(CLUSTERED[:1].log(), none, none, kind=kind).item() == 0


def test_two_clusters_of_one_class_are_two_terms():
    # 0.2 and 0.6 by themselves, not their mean
    label, cluster = torch.tensor([1, 1]), torch.tensor([0, 1])
    found = losses.cluster_loss(CLUSTERED[:2].log(), label, cluster, kind="positive")
    assert found.item() == pytest.approx(-(log(0.2) + log(0.6)) / 2)


def test_bag_loss():
    y = scores([0.2, 0.5, 0.3], [0.05, 0.9, 0.05], [0.2, 0.2, 0.6])
    t = scores([0.5, 0.8, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 0.25])
    seen = torch.tensor([True, True, False])
    # background: the second, 0.05 x 0.5 = 0.025, weight 0.25
    # class 1: only the first is labelled with it, 0.5 x 0.8 = 0.4, weight 0.5, though the second has 0.9
    # class 2, untagged: 0.3 x 0.5 = 0.15 (the first), 0.025, 0.6 x 0.25 = 0.15 (the last), weight 1
    found = losses.bag_loss(y.log(), t, labels([1, 0, -1], weight=[0.5, 0.25, 0.125]), seen)
    assert found.item() == pytest.approx((0.25 * -log(0.025) + 0.5 * -log(0.4) - log(0.85)) / 3)


def test_bag_loss_of_a_tagged_class_that_labels_none():
    y, t = scores([0.2, 0.5, 0.3]), scores([0.5, 0.8, 0.5])
    found = losses.bag_loss(y.log(), t, labels([2], weight=[0.5]), torch.tensor([True, True, True]))
    assert found.item() == pytest.approx(0.5 * -log(0.15) / 3)


def test_eq_8_the_sum_of_all():
    parts = dict(zip(learn.PARTS, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])))  # tags, clusters, classes, integrity, bag
    assert learn.total(parts, Config()).item() == 1 + 12 * 2 + 3 + 4 + 0
    released = Config(integrity_weight=3, bag_weight=1)
    assert learn.total(parts, released).item() == 1 + 12 * 2 + 3 + 3 * 4 + 5


def test_every_branch_learns_from_the_one_before_it():
    """Two proposals apart, of class 1 and 2; both are seeds, so each mines itself by any scores."""
    sets, _ = sets_of(np.array([0, 4, 12, 4, 4, 8]), np.array([0, 3, 6]), (4, 4))
    sample = Sample(None, None, sets, FirstLabels(np.array([1, -1]), np.array([0, -1])), np.array([1, 2]))
    found = mining.Overlaps(sets.shared(), torch.tensor([4.0, 4.0]), torch.tensor([False, False]))
    y = [
        scores([0.2, 0.6, 0.2], [0.2, 0.2, 0.6]),
        scores([0.25, 0.5, 0.25], [0.5, 0.25, 0.25]),
        scores([0.5, 0.25, 0.25], [0.25, 0.25, 0.5]),
    ]
    t = [
        scores([0.5, 0.75, 0.25], [0.5, 0.25, 0.75]),
        scores([0.5, 0.8, 0.5], [0.5, 0.5, 0.6]),
        scores([0.5, 0.4, 0.5], [0.5, 0.5, 0.9]),
    ]
    both, draws = Scores(torch.stack(y).log(), torch.stack(t)), torch.zeros(2, 2).double()
    given = {"branches": 2, "seed_share": 0.5, "sampling": False, "first_weight": 3.0}
    parts = learn.photo_losses(both, sample, found, draws, config=Config(**given))
    # y^I = 0.2 x 0.5 + 0.2 x 0.5, 0.6 x 0.75 + 0.2 x 0.25, 0.2 x 0.25 + 0.6 x 0.75; all three classes are there
    assert parts["tag_loss"].item() == pytest.approx(-(log(0.2) + 2 * log(0.5)) / 3)
    assert parts["cluster_loss"].item() == pytest.approx(-log(0.6))  # one labelled proposal, one cluster
    # branch 1, by branch 0: weights 0.6 x 0.75 of both; branch 2, by branch 1: seeds 0 (y 0.5) and, of class 2, 0 too
    # (0.25 each, the first), which goes to class 1 (0.5 x 0.8); the second overlaps nothing and is left out
    first, second = 0.45 * -(log(0.5) + log(0.25)) / 2, 0.4 * -log(0.25)
    assert parts["class_loss"].item() == pytest.approx(3 * first + second)
    first, second = 0.45 * (0.2**2 + 0.4**2) / 2 / 2, 0.4 * 0.6**2 / 2
    assert parts["integrity_loss"].item() == pytest.approx(3 * first + second)
    assert parts["bag_loss"].item() == 0
    none = learn.photo_losses(
        both, sample, found, draws, config=Config(**given, agpl=False, integrity=False, mining="mist")
    )
    assert none["cluster_loss"].item() == none["integrity_loss"].item() == 0 and none["class_loss"].item() > 0
    alone = learn.photo_losses(both, sample, found, draws, config=Config(branches=0))
    assert alone["class_loss"].item() == 0 and alone["tag_loss"].item() == parts["tag_loss"].item()
