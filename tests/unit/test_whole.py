"""What the slices of a batch tell each other, here the parts that one process computes; numbers by hand."""

import math

import pytest
import torch

from stages.bestie.losses import semantic_loss
from tag2mask.learn import whole


def in_parts(ask, parts, batch):
    """What `ask` of each of the parts [(start, stop, given)] gives in the second pass over them."""
    ledger = whole.Ledger()
    slices = [(whole.Slice(start, stop, batch), given) for start, stop, given in parts]
    for part, given in slices:
        with whole.computing(part, ledger):
            ask(given)
    ledger.close()
    found = []
    for part, given in slices:
        with whole.computing(part, ledger):
            found.append(ask(given))
    return found


def test_a_whole_batch_is_as_it_was():
    value = torch.tensor([1.0, 2.0])
    assert whole.share(value) is whole.total(value) is value
    with whole.computing(whole.Slice(0, 3, 3)):
        assert whole.share(value) is whole.total(value) is whole.gathered(value) is value and whole.is_first()


def test_a_mean_is_shared_by_the_number_of_photos():
    """One photo with 3, two with a mean of 6: (3 + 2 x 6) / 3 = 5 in all."""
    shares = in_parts(whole.share, [(0, 1, torch.tensor(3.0)), (1, 3, torch.tensor(6.0))], 3)
    assert [one.item() for one in shares] == [1, 4]


def test_counts_are_added_and_rows_joined_in_the_order_of_the_batch():
    def ask(given):
        return whole.total(given.sum()).item(), whole.gathered(given).tolist(), whole.is_first()

    assert in_parts(ask, [(0, 1, torch.tensor([5])), (1, 3, torch.tensor([7, 1]))], 3) == [
        (13, [5, 7, 1], True),
        (13, [5, 7, 1], False),
    ]


@pytest.mark.parametrize("share", [1.0, 0.5, 0.6])
def test_the_worst_pixels_are_those_of_the_whole_batch(share):
    """Eight pixels in parts of two photos and one: the dearest in one part, equal ones at the border in the other."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn((3, 2, 1, 3), generator=generator)
    scores[2] *= 10
    scores[:2, :, 0, :2] = 0.0  # four equal ones, log 2
    target = torch.tensor([[[0, 1, 255]], [[1, 1, 0]], [[0, 0, 1]]])
    parts = [(0, 2, (scores[:2], target[:2])), (2, 3, (scores[2:], target[2:]))]
    found = in_parts(lambda given: semantic_loss(*given, share=share), parts, 3)
    cost = torch.nn.functional.cross_entropy(scores, target, ignore_index=255, reduction="none").flatten()
    most = math.ceil(share * 8)
    assert sum(found).item() == pytest.approx(cost.sort(descending=True).values[:most].mean().item())
    assert semantic_loss(scores, target, share=share).item() == pytest.approx(sum(found).item())
