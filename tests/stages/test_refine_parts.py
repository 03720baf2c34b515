"""The parts of Mask R-CNN are built as the configuration says: anchors, pooling levels, heads, samples."""

import pytest
import torch

from stages.refine.config import Config


@pytest.fixture(scope="module")
def model():
    from stages.refine.model import build

    config = Config(
        weights="none", fpn_channels=16, fpn_levels=[2, 3, 4, 5], anchor_sizes=[16, 32, 64, 128], rpn_batch=24,
        roi_batch=12, roi_positive=0.5, box_resolution=5, box_channels=24, mask_resolution=6, mask_layers=2,
        mask_channels=8, nms=0.3, detections=7, score_threshold=0.2, roi_canonical_size=112, roi_canonical_level=4,
    )  # fmt: skip
    return build(config, 2)


def test_one_anchor_size_a_level_and_three_ratios(model):
    """FPN, Sec. 4.1: areas 16^2 to 128^2 on levels 2 to 5, each at height / width 1/2, 1 and 2."""
    cells = list(model.proposal_generator.anchor_generator.cell_anchors)
    assert len(cells) == 4
    for size, boxes in zip((16, 32, 64, 128), cells):
        width, height = (boxes[:, 2:] - boxes[:, :2]).T
        torch.testing.assert_close(width * height, torch.full((3,), float(size**2)))
        torch.testing.assert_close(height / width, torch.tensor([0.5, 1.0, 2.0]))


@pytest.mark.parametrize(("side", "level"), [(112, 4), (111, 3), (224, 5), (56, 3), (55, 2), (5, 2), (900, 5)])
def test_level_a_box_is_pooled_from(model, side, level):
    """FPN, Eq. 1: floor(k0 + log2(sqrt(w h) / canonical size)), kept within the levels there are."""
    from detectron2.modeling.poolers import assign_boxes_to_levels
    from detectron2.structures import Boxes

    for pooler in (model.roi_heads.box_pooler, model.roi_heads.mask_pooler):
        assert (pooler.canonical_box_size, pooler.canonical_level) == (112, 4)
        box = [Boxes(torch.tensor([[0.0, 0.0, side, side]]))]
        found = assign_boxes_to_levels(
            box, pooler.min_level, pooler.max_level, pooler.canonical_box_size, pooler.canonical_level
        )
        assert pooler.min_level + found.item() == level


def test_the_heads_and_their_samples_are_the_configuration_s(model):
    heads = model.roi_heads
    assert model.proposal_generator.batch_size_per_image == 24
    assert (heads.batch_size_per_image, heads.positive_fraction, heads.num_classes) == (12, 0.5, 2)
    assert heads.box_pooler.output_size == (5, 5) and heads.mask_pooler.output_size == (6, 6)
    assert [layer.out_features for layer in heads.box_head if isinstance(layer, torch.nn.Linear)] == [24, 24]
    convolutions = [layer for name, layer in heads.mask_head.named_children() if name.startswith("mask_fcn")]
    assert [layer.out_channels for layer in convolutions] == [8, 8]
    assert heads.mask_head.predictor.out_channels == 2
    predictor = heads.box_predictor
    assert (predictor.test_nms_thresh, predictor.test_topk_per_image, predictor.test_score_thresh) == (0.3, 7, 0.2)
