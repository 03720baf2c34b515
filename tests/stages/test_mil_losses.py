"""LIID's Eq. 2 to 9, each worked by hand, and at the ends of the numbers."""

import math

import numpy as np
import pytest
import torch

from stages.mil import losses
from stages.mil.config import Config
from stages.mil.network import ProposalNet


def test_pseudo_labels_by_hand():
    """Eq. 3 with classes 2 and 5, eta 0.75: at the threshold a class, below it background; a tie takes the first."""
    r = np.array([[0.75, 0.2], [0.7499, 0.3], [0.8, 1.9], [1.0, 1.0], [0.0, 0.0]])
    assert losses.pseudo_labels(r, [2, 5], 0.75).tolist() == [2, 0, 5, 2, 0]
    assert losses.pseudo_labels(r, [2, 5], 0.25).tolist() == [2, 2, 5, 2, 0]
    assert losses.pseudo_labels(np.zeros((3, 0)), [], 0.75).tolist() == [0, 0, 0]


def test_softmax_of_the_network_by_hand():
    """Eq. 2: scores 0, ln 2, ln 5 are probabilities 1/8, 2/8, 5/8 (here of a layer whose weights are 0)."""

    net = torch.nn.Identity()
    net.channels = [4]
    model = ProposalNet(net, 3, bins=1, kind="pool")
    with torch.no_grad():
        model.score.weight.zero_()
        model.score.bias.copy_(torch.tensor([1.0, 2.0, 5.0]).log())
    assert model.score(torch.randn(2, 4)).softmax(1).flatten().tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8] * 2)


def test_cam_loss_by_hand():
    """Eq. 4, K = 2. p = (.5, .25, .25), label 0: log .5 + (log .75 + log .75) / 2. p = (.2, .7, .1), label 2: ..."""
    p = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]])
    first = math.log(0.5) + (math.log(0.75) + math.log(0.75)) / 2
    second = math.log(0.1) + (math.log(0.8) + math.log(0.3)) / 2
    loss = losses.cam_loss(p.log(), torch.tensor([0, 2]))
    assert loss.item() == pytest.approx(-(first + second) / 2, rel=1e-6)


def test_log_complement_is_exact_where_p_rounds_to_one():
    """Scores 40 and 0: p_0 = 1 in float32; log(1 - p_0) = -40 to 17 digits, log(1 - p_1) = -4e-18."""
    scores = torch.tensor([[40.0, 0.0]], requires_grad=True)
    assert scores.softmax(1)[0, 0].item() == 1
    rest = losses.log_complement(scores)
    assert rest[0].tolist() == pytest.approx([-40, 0])
    loss = losses.cam_loss(scores, torch.tensor([1]))  # wrong and sure of it: -(log p_1 + log(1 - p_0)) = 80
    loss.backward()
    assert loss.item() == pytest.approx(80) and scores.grad[0].tolist() == pytest.approx([2, -2])


def test_log_complement_against_float64():
    scores = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * 3
    wanted = torch.log1p(-scores.double().softmax(1))
    assert torch.allclose(losses.log_complement(scores).double(), wanted, atol=1e-5)


def test_aggregate_by_hand():
    """Eq. 5, r = 5. p = (1, 0): log((e^5 + 1) / 2) / 5 = 0.862714. Equal p: themselves. r small or large: mean, max."""
    p = torch.tensor([[1.0, 0.3, 0.0], [0.0, 0.3, 0.0]])
    z = losses.aggregate(p, 5.0)
    assert z.tolist() == pytest.approx([math.log((math.exp(5) + 1) / 2) / 5, 0.3, 0.0])
    assert z[0].item() == pytest.approx(0.862714, abs=1e-6)
    assert losses.aggregate(p, 1e-3)[0].item() == pytest.approx(0.5, abs=1e-3)
    assert losses.aggregate(p.double(), 500.0)[0].item() == pytest.approx(1, abs=2e-3)
    assert losses.aggregate(torch.full((3, 1), 1e-9), 5.0).item() == pytest.approx(1e-9, rel=1e-4)


def test_mil_loss_by_hand_with_both_norms():
    """Eq. 6, K + 1 = 5, tags {0, 3}: three absent classes. Z = (.9, .1, .2, .6, .3).

    present: log .9 + log .6 = -0.616186; absent: log .9 + log .8 + log .7 = -0.685179.
    As printed both are divided by 3: 0.433788. Divided by 2 and by 3: 0.308093 + 0.228393 = 0.536486.
    """
    z = torch.tensor([0.9, 0.1, 0.2, 0.6, 0.3])
    present = torch.tensor([True, False, False, True, False])
    printed = losses.mil_loss(z, present, positive_norm="absent")
    own = losses.mil_loss(z, present, positive_norm="present")
    assert printed.item() == pytest.approx(0.433788, abs=1e-6)
    assert own.item() == pytest.approx(0.536486, abs=1e-6)
    assert Config().positive_norm == "absent"


@pytest.mark.parametrize("norm", ["absent", "present"])
def test_mil_loss_at_its_ends(norm):
    """A photo of every class has no absent one; Z = 0 of a tag and Z = 1 of no tag are finite, with a gradient."""
    everything = losses.mil_loss(torch.tensor([0.5, 0.5]), torch.tensor([True, True]), positive_norm=norm)
    assert everything.item() == pytest.approx(2 * math.log(2) / (2 if norm == "present" else 1))
    z = torch.tensor([0.0, 1.0], requires_grad=True)
    loss = losses.mil_loss(z, torch.tensor([True, False]), positive_norm=norm)
    loss.backward()
    assert math.isfinite(loss.item()) and loss.item() > 30 and torch.isfinite(z.grad).all()
    scores = torch.tensor([[-300.0, 300.0]], requires_grad=True)  # the background's p underflows to 0
    loss = losses.mil_loss(losses.aggregate(scores.softmax(1), 5.0), torch.tensor([True, False]), positive_norm=norm)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(scores.grad).all()


def test_center_loss_by_hand():
    """Eq. 7: cosines of (3, 4) with (1, 0), of (0, 2) with (0, 5), of (1, 0) with (-2, 0): 0.6, 1, -1."""
    f = torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]], requires_grad=True)
    centers = torch.tensor([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0]])
    assert losses.center_loss(f, centers).item() == pytest.approx((0.4 + 0 + 2) / 3)
    unmet = losses.center_loss(f, torch.zeros(3, 2))
    unmet.backward()
    assert unmet.item() == 1 and f.grad.abs().max() == 0


def test_center_update_by_hand():
    """Eq. 8, theta = 0.5: c_1 = 4 meets 0, then 8: 2, then 5. c_0 is met by nothing."""
    centers, f = torch.tensor([[1.0], [4.0]]), torch.tensor([[0.0], [8.0]])
    assert losses.updated(centers, f, torch.tensor([1, 1]), 0.5).flatten().tolist() == [1, 5]
    assert losses.updated(centers, f.flip(0), torch.tensor([1, 1]), 0.5).flatten().tolist() == [1, 3]  # 6, then 3
    assert centers.flatten().tolist() == [1, 4]


@pytest.mark.parametrize("theta", [0.0, 0.01, 0.5, 1.0])
def test_center_update_equals_the_loop_as_printed(theta):
    g = torch.Generator().manual_seed(1)
    centers, f = torch.randn(5, 3, generator=g).double(), torch.randn(40, 3, generator=g).double()
    label = torch.randint(0, 4, (40,), generator=g)  # class 4 does not occur
    wanted = centers.clone()
    for row, k in zip(f, label):
        wanted[k] += theta * (row - wanted[k])
    assert torch.allclose(losses.updated(centers, f, label, theta), wanted)


def test_total_by_hand():
    """Eq. 9 with the paper's weights: 0.5 x 2 + 0.5 x 3 + 0.1 x 4 = 2.9; with gamma 0 without the last."""
    parts = torch.tensor([2.0, 3.0, 4.0])
    config = Config()
    weights = (config.cam_loss, config.mil_loss, config.center_loss)
    assert losses.total(parts, weights).item() == pytest.approx(2.9)
    assert losses.total(parts, (*weights[:2], 0)).item() == pytest.approx(2.5)
