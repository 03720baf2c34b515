"""Mask R-CNN's losses of a batch that is cut into slices: each counts by its own samples; by hand."""

import pytest
import torch

from stages.refine import model
from tag2mask.learn import whole


def test_means_over_samples_count_by_the_samples():
    """One photo with 1 object among 4 samples, then two photos with 3 among 10."""
    from detectron2.utils.events import get_event_storage

    slices = [
        (whole.Slice(0, 1, 3), (1, 3), {"loss_rpn_cls": 3, "loss_cls": 2, "loss_box_reg": 1, "loss_mask": 8}),
        (whole.Slice(1, 3, 3), (3, 7), {"loss_rpn_cls": 6, "loss_cls": 4, "loss_box_reg": 2, "loss_mask": 4}),
    ]
    ledger, found = whole.Ledger(), []
    for _ in range(2):
        for part, counts, losses in slices:

            def network(batch, counts=counts, losses=losses):
                for kind, count in zip(("fg", "bg"), counts):
                    get_event_storage().put_scalar(f"roi_head/num_{kind}_samples", count / len(batch))
                return {name: torch.tensor(float(loss)) for name, loss in losses.items()}

            with whole.computing(part, ledger):
                found.append(model.losses(network, [{}] * (part.stop - part.start)).item())
        if ledger.answers is None:
            ledger.close()
    rpn, of_samples, of_objects = (3 + 2 * 6) / 3, (4 * (2 + 1) + 10 * (4 + 2)) / 14, (1 * 8 + 3 * 4) / 4
    assert sum(found[2:]) == pytest.approx(rpn + of_samples + of_objects)
