"""What is sampled where labels are incomplete, and how much it weighs: anchors, proposals and gradients by hand."""

import numpy as np
import pytest
import torch
from refine_photos import TINY, dataset, photo_with

from stages import refine
from stages.refine.config import Config
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.labelmaps import LabelMaps
from tag2mask.data.maps import MapsBuilder
from tag2mask.run.job import Job

SIZE = (64, 96)
BOXES = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]  # a label's, half hidden, in the open


def built(**keys):
    from stages.refine.model import build

    return build(Config(**TINY, **keys), 2)


def target(boxes=BOXES[:1], weights=None):
    """detectron2's Instances of objects that fill their boxes."""
    from detectron2.structures import BitMasks, Boxes
    from detectron2.structures import Instances as Targets

    found, masks = Targets(SIZE), torch.zeros(len(boxes), *SIZE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes):
        mask[y0:y1, x0:x1] = True
    found.gt_boxes, found.gt_masks = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)), BitMasks(masks)
    found.gt_classes = torch.zeros(len(boxes), dtype=torch.int64)
    if weights is not None:
        found.gt_weight = torch.tensor(weights)
    return found


def hidden():
    """The left half of the second box, and all of the first."""
    found = torch.zeros(SIZE, dtype=torch.bool)
    found[:10, 20:25] = found[:10, :10] = True
    return found


@pytest.mark.parametrize(("ignore", "labels"), [(0.5, [1, -1, 0]), (0.51, [1, 0, 0]), (None, [1, 0, 0])])
def test_three_anchors(ignore, labels):
    """The first matches a label whatever lies there, half of the second is hidden, the third is background."""
    from detectron2.structures import Boxes

    rpn = built(ignore=ignore, score_weight=True).proposal_generator
    rpn.hidden = [hidden()]
    anchors = [Boxes(torch.tensor(BOXES[:2], dtype=torch.float32)), Boxes(torch.tensor(BOXES[2:], dtype=torch.float32))]
    found, boxes = rpn.label_and_sample_anchors(anchors, [target(weights=[0.25])])
    assert found[0].tolist() == labels and boxes[0][0].tolist() == BOXES[0]
    assert rpn.weights[0].tolist() == [0.25, 1, 1]
    found, boxes = rpn.label_and_sample_anchors(anchors, [target([], weights=[])])  # all objects vanished when scaled
    assert found[0].tolist() == [-1 if ignore is not None else 0, *[0 if one == 1 else one for one in labels[1:]]]
    assert boxes[0].shape == (3, 4) and rpn.weights[0].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("ignore", "left"), [(0.5, [0, 40]), (0.51, [0, 20, 40])])
def test_three_proposals(ignore, left):
    from detectron2.structures import Boxes
    from detectron2.structures import Instances as Proposals
    from detectron2.utils.events import EventStorage

    heads = built(ignore=ignore, score_weight=True).roi_heads
    heads.hidden = [hidden()]
    given = Proposals(SIZE)
    given.proposal_boxes, given.objectness_logits = Boxes(torch.tensor(BOXES, dtype=torch.float32)), torch.zeros(3)
    with EventStorage():
        (found,) = heads.label_and_sample_proposals([given], [target(weights=[0.25])])
        assert sorted(set(found.proposal_boxes.tensor[:, 0].tolist())) == left
        objects = found.gt_classes == 0
        assert found.proposal_boxes.tensor[objects, 0].unique().tolist() == [0] and objects.sum() == 2  # and the label
        weights = heads.weight_of([found])
        assert (weights[objects] == 0.25).all() and (weights[~objects] == 1).all()
        (none,) = heads.label_and_sample_proposals([given], [target([])])
    assert 0 not in none.proposal_boxes.tensor[:, 0] and heads.weight_of([none]).tolist() == [1] * len(none)


def test_the_hidden_share_of_a_box():
    """Edges at the nearest whole number; pixels outside the photo do not count; a box without pixels is not hidden."""
    from detectron2.structures import Boxes

    from stages.refine.taught import mostly

    whole = torch.zeros(4, 6, dtype=torch.bool)
    whole[:, 4:] = True
    boxes = Boxes(
        torch.tensor([[3.4, 0, 4.6, 4], [4, -9, 20, 2], [0, 0, 6, 4], [0, 0, 4, 4], [5.1, 1, 5.2, 3], [7, 0, 9, 4]])
    )
    shares = [1 / 2, 1, 1 / 3, 0, 0, 0]
    for ignore in (0.25, 0.4, 0.75, 1):
        assert mostly(whole, boxes, ignore).tolist() == [share >= ignore for share in shares]
    assert not mostly(None, boxes, 0.1).any() and not mostly(whole, boxes, None).any()


def test_gradients_by_row():
    from stages.refine.taught import weighted

    x = torch.ones(2, 3, requires_grad=True)
    (weighted(x, torch.tensor([0.5, 2.0])) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [[0.5, 1, 1.5], [2, 4, 6]]


def batch(weights=None, covered=False):
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, *SIZE)).astype(np.float32))
    boxes = [[8, 8, 40, 40], [50, 20, 80, 50]]
    found = [{"image": image, "instances": target(boxes, weights)}, {"image": image, "instances": target(boxes[:1])}]
    if weights is not None:
        found[1]["instances"].gt_weight = torch.tensor(weights[:1])
    for one in found:
        one["hidden"] = torch.full(SIZE, covered)
    return found


def gradients(model, given):
    """(the loss, its gradients by the parameters' names) of one batch; samples are drawn anew from the same seed."""
    from stages.refine.model import losses

    torch.manual_seed(1)
    model.train().zero_grad()
    loss = losses(model, given)
    loss.backward()
    return loss.item(), {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def test_nothing_hidden_and_equal_weights_are_detectron2s_own_losses():
    from detectron2.modeling.meta_arch import GeneralizedRCNN

    plain = built()
    assert type(plain) is GeneralizedRCNN and type(plain.proposal_generator).__name__ == "RPN"
    taught = built(ignore=0.3, score_weight=True)
    assert plain.state_dict().keys() == taught.state_dict().keys()
    expected, by_name = gradients(plain, batch())
    found, by_its = gradients(taught, batch([1.0, 1.0]))
    assert found == expected and by_its.keys() == by_name.keys()
    for name, one in by_name.items():
        torch.testing.assert_close(by_its[name], one)


def test_weights_scale_what_labels_teach():
    """Boxes and masks are taught by samples of labels alone: where these weigh w, gradients are w times as large."""
    model = built(score_weight=True)
    of_labels = ("bbox_pred", "mask_head.predictor", "anchor_deltas")
    one, half, none = (gradients(model, batch([w, w]))[1] for w in (1.0, 0.5, 0.0))
    names = [name for name in one if any(part in name for part in of_labels)]
    assert len(names) == 6 and all(one[name].any() for name in names if "weight" in name)
    for name in names:
        torch.testing.assert_close(half[name], 0.5 * one[name])
        assert not none[name].any()
    scores = "roi_heads.box_predictor.cls_score.bias"
    assert none[scores].any()  # background still teaches
    torch.testing.assert_close(one[scores] - half[scores], half[scores] - none[scores])
    uneven = gradients(model, batch([1.0, 0.0]))[1]["roi_heads.box_predictor.bbox_pred.bias"]
    assert not torch.equal(uneven, one["roi_heads.box_predictor.bbox_pred.bias"])


def test_where_all_is_hidden_only_labels_teach():
    """No background is left, so that the scores' gradient pulls towards objects alone."""
    shown, covered = (gradients(built(ignore=0.3), batch(covered=one))[1] for one in (False, True))
    background = "roi_heads.box_predictor.cls_score.bias"
    assert shown[background][-1] < 0 < covered[background][-1]


def test_weights_are_scores_over_their_mean():
    from stages.refine.learn import weights_of

    assert weights_of(np.array([0.2, 0.6], np.float32), 0.4).tolist() == pytest.approx([0.5, 1.5])
    assert weights_of(np.zeros(2, np.float32), 0.0).tolist() == [1, 1]


def test_weights_and_hidden_pixels_reach_the_network(tmp_path, monkeypatch):
    """Of photo p0: the tag's pixels in the semantic map less the label; its score against the mean of all labels."""
    from stages.refine import model as networks

    inputs, seen = dataset(tmp_path), []
    labels = Instances.load(inputs.labels)
    labels.score[:] = [0.4, 0.8, 0.8, 0.8]
    inputs.labels = tmp_path / "scored.zarr.zip"
    labels.save(inputs.labels)
    builder = MapsBuilder(np.uint8)
    for k in range(4):
        label_map = np.zeros((64, 64), np.uint8)
        label_map[:, :32], label_map[:, 40:] = 3, 7
        builder.add(f"p{k}", (64, 64), [(0, label_map)])
    builder.finish().save(tmp_path / "semantic.zarr.zip")
    inputs.semantic = [tmp_path / "semantic.zarr.zip"]
    original = networks.losses
    monkeypatch.setattr(networks, "losses", lambda model, given: seen.extend(given) or original(model, given))
    keys = {**TINY, "ignore": 0.5, "score_weight": True, "short_side": [64], "flip": 0.0, "iterations": 2}
    refine.train(inputs, Config(**keys), Job())
    weights = sorted(round(one["instances"].gt_weight.item(), 4) for one in seen)
    assert weights == [0.5714, 1.1429, 1.1429, 1.1429]
    (first,) = [one for one in seen if one["instances"].gt_weight < 1]
    expected = np.zeros((64, 64), bool)
    expected[:, :32] = True
    expected &= ~photo_with(3, at=(8, 30), seed=0)[1][0]
    assert np.array_equal(first["hidden"].numpy(), expected) and expected.any()


def test_hidden_pixels_turn_with_the_photo():
    from stages.refine.data import training_sample

    photo, mask = photo_with(3)
    where = np.zeros((64, 64), bool)
    where[:, :16] = True
    for flip, columns in [(0.0, slice(0, 32)), (1.0, slice(96, 128))]:
        config = Config(**{**TINY, "short_side": [128], "max_side": 128, "flip": flip})
        sample = training_sample(photo, mask, [0], config=config, rng=np.random.default_rng(0), hidden=where)
        expected = torch.zeros(128, 128, dtype=torch.bool)
        expected[:, columns] = True
        assert torch.equal(sample["hidden"], expected) and not sample["instances"].has("gt_weight")


def test_void_is_hidden_without_semantic_maps(tmp_path):
    from stages.refine.learn import unlabelled

    index = Index.load(dataset(tmp_path).index)
    mask, void = np.zeros((1, 2, 4), bool), np.zeros((2, 4), bool)
    mask[0, 0, :2], void[0, 1:3] = True, True
    assert unlabelled(index, 0, mask, void, None).tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    builder = MapsBuilder(np.uint8)
    builder.add("p0", (2, 4), [(0, np.array([[3, 7, 255, 3], [0, 3, 7, 0]], np.uint8))])
    seen = unlabelled(index, 0, mask, void, LabelMaps([builder.finish()]))
    assert seen.tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]
