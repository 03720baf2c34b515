"""Equations 2 to 6 of BESTIE by hand."""

import numpy as np
import pytest
import torch

from stages.bestie.config import Config
from stages.bestie.labels import Drawn, Labels, drawn
from stages.bestie.losses import center_loss, offset_loss, semantic_loss, total
from stages.bestie.network import Output


def maps(*, center, offset, weight, inside):
    """Drawn of one photo of one row of pixels, from lists: in its instances, and everywhere."""
    whole = Drawn(torch.arange(len(inside)), torch.tensor(center).T, torch.tensor(offset).T, torch.tensor(weight))
    return Drawn(*(one[torch.tensor(inside)] for one in whole)), whole


# one photo, two classes, four pixels; pixels 0 and 1 lie in pseudo instances, 1, 2 and 3 in refined ones
PSEUDO, PSEUDO_EVERYWHERE = maps(
    center=[[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], offset=[[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]],
    weight=[1.0, 1.0, 0.0, 0.0], inside=[True, True, False, False],
)  # fmt: skip
REFINED, REFINED_EVERYWHERE = maps(
    center=[[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]], offset=[[0.0, 2.0, 1.0, 0.0], [0.0, 0.0, -1.0, 0.0]],
    weight=[0.0, 0.5, 0.5, 0.25], inside=[False, True, True, True],
)  # fmt: skip
CENTER = torch.tensor([[[[0.5, 0.5, 0.5, 0.5]], [[0.0, 1.0, 0.0, 1.0]]]])
OFFSET = torch.tensor([[[[1.0, 0.0, 0.0, 4.0]], [[0.0, -2.0, 0.0, 4.0]]]])


def test_center_terms_by_hand():
    # pseudo: pixel 0 (0.5 - 1)^2 + 0 = 0.25; pixel 1 0 + 1^2 = 1; over 2 pixels
    assert float(center_loss(CENTER, PSEUDO)) == pytest.approx(1.25 / 2)
    # refined: pixel 1 0.5 (0.25 + 1); pixel 2 0.5 (0.25 + 0); pixel 3 0.25 (0.25 + 0); over 3 pixels
    assert float(center_loss(CENTER, REFINED, soft=True)) == pytest.approx((0.625 + 0.125 + 0.0625) / 3)


def test_offset_terms_by_hand():
    # pseudo: pixel 0 |1 - 0| + |0 - 1| = 2; pixel 1 0 + 2; over 2 pixels
    assert float(offset_loss(OFFSET, PSEUDO)) == pytest.approx(4 / 2)
    # refined: pixel 1 0.5 (2 + 2); pixel 2 0.5 (1 + 1); pixel 3 0.25 (4 + 4); over 3 pixels
    assert float(offset_loss(OFFSET, REFINED, soft=True)) == pytest.approx((2 + 1 + 2) / 3)


def test_without_instance_aware_guidance_all_pixels_count():
    # pseudo: as above 1.25, pixel 2 0.25, pixel 3 0.25 + 1; over 4. Refined: W is 0 at pixel 0 (Eq. 2); over 4
    assert float(center_loss(CENTER, PSEUDO_EVERYWHERE)) == pytest.approx(2.75 / 4)
    assert float(center_loss(CENTER, REFINED_EVERYWHERE, soft=True)) == pytest.approx(0.8125 / 4)
    assert float(offset_loss(OFFSET, PSEUDO_EVERYWHERE)) == pytest.approx((4 + 0 + 8) / 4)


def test_nothing_is_learned_outside_labelled_instances():
    center = CENTER.clone().requires_grad_()
    center_loss(center, PSEUDO).backward()
    assert center.grad[..., :2].abs().sum() > 0 and not center.grad[..., 2:].any()


def test_the_guided_pixels_are_counted_over_the_batch():
    # photo 0 has one guided pixel of error 1, photo 1 three of error 0: 1 / 4, not the mean of 1 and 0
    both = Drawn(torch.tensor([0, 3, 4, 5]), torch.zeros(4, 1), torch.zeros(4, 2), torch.ones(4))
    found = torch.zeros(2, 1, 1, 3)
    found[0, 0, 0] = 1.0
    assert float(center_loss(found, both)) == pytest.approx(0.25)


def test_no_labelled_pixel_costs_nothing():
    empty = Drawn(*(one[:0] for one in PSEUDO))
    center = CENTER.clone().requires_grad_()
    for soft in (False, True):
        loss = center_loss(center, empty, soft=soft) + offset_loss(OFFSET, empty, soft=soft)
        loss.backward()
        assert float(loss.detach()) == 0 and not center.grad.any()


def test_semantic_loss_by_hand():
    # three pixels, background and two classes: p(0) = 1/2, label 0; p(2) = 1/4, label 2; the third does not count
    scores = torch.log(torch.tensor([[[[0.5, 0.5, 0.1]], [[0.25, 0.25, 0.8]], [[0.25, 0.25, 0.1]]]]))
    target = torch.tensor([[[0, 2, 255]]])
    assert float(semantic_loss(scores, target)) == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert float(semantic_loss(scores, torch.full_like(target, 255))) == 0
    # of the two pixels that count the worse one alone; a third of two is one; without any, nothing
    assert float(semantic_loss(scores, target, share=0.5)) == pytest.approx(np.log(4))
    assert float(semantic_loss(scores, target, share=0.3)) == pytest.approx(np.log(4))
    assert float(semantic_loss(scores, torch.full_like(target, 255), share=0.3)) == 0


SCORES = torch.zeros(1, 3, 1, 4)  # every class as probable as the others: log 3 a pixel
TARGET = torch.tensor([[[0, 1, 2, 255]]])
OUTPUT = Output(SCORES, CENTER, OFFSET)
REFINED_CENTER, REFINED_OFFSET = 0.8125 / 3, 5 / 3


@pytest.mark.parametrize(
    "terms, center, offset",
    [
        ("sum", 0.625 + REFINED_CENTER, 2 + REFINED_OFFSET),
        ("mean", (0.625 + REFINED_CENTER) / 2, (2 + REFINED_OFFSET) / 2),
    ],
)
def test_total_by_hand(terms, center, offset):
    config = Config(terms=terms)
    found = total(OUTPUT, PSEUDO, REFINED, TARGET, config=config)
    assert float(found) == pytest.approx(200 * center + 0.01 * offset + np.log(3))
    config = Config(terms=terms, center_weight=2, offset_weight=3, semantic_weight=5)
    found = total(OUTPUT, PSEUDO, REFINED, TARGET, config=config)
    assert float(found) == pytest.approx(2 * center + 3 * offset + 5 * np.log(3))


@pytest.mark.parametrize("terms", ["sum", "mean"])
def test_total_without_refined_labels_is_the_pseudo_term_alone(terms):
    found = total(OUTPUT, PSEUDO, None, TARGET, config=Config(terms=terms))
    assert float(found) == pytest.approx(200 * 0.625 + 0.01 * 2 + np.log(3))


def test_total_without_instance_aware_guidance():
    found = total(OUTPUT, PSEUDO_EVERYWHERE, REFINED_EVERYWHERE, TARGET, config=Config())
    offset = (4 + 0 + 8) / 4 + 5 / 4
    assert float(found) == pytest.approx(200 * (2.75 / 4 + 0.8125 / 4) + 0.01 * offset + np.log(3), rel=1e-5)


def test_pixels_have_the_weight_centre_and_offset_of_their_instance():
    """Eq. 2 and Sec. 3.3: one row of five pixels, an instance of class 1 at pixels 0 to 2, centre 1; one of class 0
    at pixel 4, whose centre (row 0, column 5.5) lies outside."""
    labels = Labels(
        torch.tensor([[[1, 1, 1, 0, 2]]]), torch.tensor([0, 0]), torch.tensor([1, 0]),
        torch.tensor([[0.0, 1.0], [0.0, 5.5]]), torch.tensor([0.7, 0.4]),
    )  # fmt: skip
    found = drawn(labels, 2, sigma=1.0, everywhere=True)
    assert found.at.tolist() == [0, 1, 2, 3, 4] and found.weight.tolist() == pytest.approx([0.7, 0.7, 0.7, 0, 0.4])
    assert found.offset.T.tolist() == [[0, 0, 0, 0, 0], [1, 0, -1, 0, 1.5]]
    # exp(-d^2 / 2) at distances 1, 0, 1, 2, 3 of class 1; at 1.5 and 2.5 of class 0, 0 beyond 3
    assert found.center[:, 1].tolist() == pytest.approx(np.exp([-0.5, 0, -0.5, -2, -4.5]))
    assert found.center[:, 0].tolist() == pytest.approx([0, 0, 0, *np.exp([-(2.5**2) / 2, -(1.5**2) / 2])])
    inside = drawn(labels, 2, sigma=1.0)
    assert inside.at.tolist() == [0, 1, 2, 4]
    assert all(torch.equal(one, whole[inside.at]) for one, whole in zip(inside, found))


def test_what_is_drawn_of_several_photos_is_what_is_drawn_of_each():
    rng = np.random.default_rng(0)
    number = torch.from_numpy(rng.integers(0, 7, (3, 9, 11)))
    labels = Labels(
        number, torch.tensor([0, 0, 1, 2, 2, 2]), torch.from_numpy(rng.integers(0, 4, 6)),
        torch.from_numpy(rng.uniform(-3, 12, (6, 2)).astype(np.float32)), torch.rand(6),
    )  # fmt: skip
    whole = drawn(labels, 4, sigma=2.0)
    center = torch.zeros(3, 9, 11, 4)
    for photo, column, (cy, cx) in zip(labels.photo, labels.column, labels.center.tolist()):
        y, x = np.mgrid[:9, :11]
        away = (y - cy) ** 2 + (x - cx) ** 2
        value = torch.from_numpy(np.where(away <= 36, np.exp(-away / 8), 0)).float()
        center[photo, :, :, column] = torch.maximum(center[photo, :, :, column], value)
    assert whole.at.tolist() == np.flatnonzero(number.numpy()).tolist()
    torch.testing.assert_close(whole.center, center.view(-1, 4)[whole.at])
    n, (_, y, x) = number.flatten()[whole.at] - 1, np.unravel_index(whole.at.numpy(), number.shape)
    torch.testing.assert_close(whole.offset, labels.center[n] - torch.from_numpy(np.stack([y, x], 1)))
    torch.testing.assert_close(whole.weight, labels.weight[n])
