"""Mask R-CNN where labels are incomplete or unsure: what may be an object without a label teaches nothing, and what is
sampled for a label weighs as much as the label.

detectron2's own network but for which samples it takes and how much each counts; its tensors, their names and their
first values are the same. Boxes are x0, y0, x1, y1 in pixels of the network's input, edges at whole numbers.
"""

from stages.refine import detectron  # isort: skip  # noqa: F401  before the first import of detectron2

import torch
from detectron2.modeling import META_ARCH_REGISTRY, PROPOSAL_GENERATOR_REGISTRY, ROI_HEADS_REGISTRY
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import StandardROIHeads, select_foreground_proposals
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_loss
from detectron2.structures import Boxes, pairwise_iou
from torch.nn import functional


@META_ARCH_REGISTRY.register()
class TaughtRCNN(GeneralizedRCNN):
    """A sample of the batch may have "hidden": (h, w) bool, where an object may be that has no label."""

    def forward(self, batch):
        # detectron2 hands targets alone to its parts, and these are a list of objects
        hidden = [one.get("hidden") for one in batch]
        self.proposal_generator.hidden = self.roi_heads.hidden = hidden
        return super().forward(batch)


@PROPOSAL_GENERATOR_REGISTRY.register()
class TaughtRPN(RPN):
    """ignore : share of an anchor's pixels, or None. hidden : TaughtRCNN's. Targets may have gt_weight (n,) float32."""

    ignore, hidden, weights = None, (), ()

    @torch.no_grad()
    def label_and_sample_anchors(self, anchors, gt_instances):
        """As detectron2's; keeps in `weights` for `losses` how much every anchor counts, (R,) float32 of each photo."""
        anchors = Boxes.cat(anchors)
        labels, boxes, self.weights = [], [], []
        for target, hidden in zip(gt_instances, self.hidden):
            matched, label = self.anchor_matcher(pairwise_iou(target.gt_boxes, anchors))
            label[(label == 0) & mostly(hidden, anchors, self.ignore)] = -1
            labels.append(self._subsample_labels(label))
            # one row more: a photo without objects has nothing to match, and 0 is what it matches
            boxes.append(functional.pad(target.gt_boxes.tensor, (0, 0, 0, 1))[matched])
            self.weights.append(weight_of(target, matched, labels[-1] == 1))
        return labels, boxes

    def losses(self, anchors, pred_objectness_logits, gt_labels, pred_anchor_deltas, gt_boxes):
        weights = torch.stack(self.weights).split([len(level) for level in anchors], dim=1)
        logits, deltas = (
            [weighted(level, weight) for level, weight in zip(levels, weights)]
            for levels in (pred_objectness_logits, pred_anchor_deltas)
        )
        return super().losses(anchors, logits, gt_labels, deltas, gt_boxes)


@ROI_HEADS_REGISTRY.register()
class TaughtHeads(StandardROIHeads):
    """ignore, hidden and gt_weight as in TaughtRPN, of proposals."""

    ignore, hidden = None, ()

    @torch.no_grad()
    def label_and_sample_proposals(self, proposals, targets):
        kept = []
        for one, target, hidden in zip(proposals, targets, self.hidden):
            _, label = self.proposal_matcher(pairwise_iou(target.gt_boxes, one.proposal_boxes))
            kept.append(one[(label != 0) | ~mostly(hidden, one.proposal_boxes, self.ignore)])
        return super().label_and_sample_proposals(kept, targets)

    def _forward_box(self, features, proposals):
        if not self.training:
            return super()._forward_box(features, proposals)
        pooled = self.box_pooler([features[f] for f in self.box_in_features], [x.proposal_boxes for x in proposals])
        weight = self.weight_of(proposals)
        predictions = tuple(weighted(one, weight) for one in self.box_predictor(self.box_head(pooled)))
        return self.box_predictor.losses(predictions, proposals)

    def _forward_mask(self, features, instances):
        if not self.training:
            return super()._forward_mask(features, instances)
        objects, _ = select_foreground_proposals(instances, self.num_classes)
        pooled = self.mask_pooler([features[f] for f in self.mask_in_features], [x.proposal_boxes for x in objects])
        logits = weighted(self.mask_head.layers(pooled), self.weight_of(objects))
        return {"loss_mask": mask_rcnn_loss(logits, objects) * self.mask_head.loss_weight}

    def weight_of(self, proposals):
        """(n,) float32: how much each of the sampled proposals of all photos counts."""
        objects = [one.gt_classes < self.num_classes for one in proposals]
        own = [torch.arange(len(one), device=one.gt_classes.device) for one in proposals]  # each has its target's
        return torch.cat([weight_of(*given) for given in zip(proposals, own, objects)])


def mostly(hidden, boxes, ignore):
    """(n,) bool: boxes of whose pixels at least the share `ignore` is hidden; none where there is no `ignore` or map.

    hidden : (h, w) bool or None. boxes : n Boxes. Edges go to the nearest whole number; pixels outside don't count.
    """
    if ignore is None or hidden is None:
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    height, width = hidden.shape
    sums = functional.pad(hidden.long().cumsum(0).cumsum(1), (1, 0, 1, 0))  # [y, x]: hidden pixels above and left
    x0, y0, x1, y1 = boxes.tensor.round().long().T
    x0, x1, y0, y1 = x0.clamp(0, width), x1.clamp(0, width), y0.clamp(0, height), y1.clamp(0, height)
    inside = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    return (inside > 0) & (inside >= ignore * (x1 - x0) * (y1 - y0))


def weight_of(targets, matched, objects):
    """(n,) float32: the weight of the target that each of n samples matched where `objects` (n,) bool, else 1.

    targets : detectron2 Instances, perhaps with gt_weight; without it all weigh 1. matched : (n,) int64 rows of it.
    """
    if not targets.has("gt_weight"):
        return torch.ones(len(matched), device=matched.device)
    return torch.where(objects, functional.pad(targets.gt_weight, (0, 1), value=1.0)[matched], 1.0)


def weighted(predictions, weight):
    """`predictions` (..., k) whose gradient will be `weight` (...) times as large, by row.

    detectron2's losses are sums over samples divided by a number that does not depend on their weights, so this is what
    weighting each term of the sum does; the value of the loss stays that of equal weights.
    """
    view = predictions.view_as(predictions)
    if not view.requires_grad:
        return view
    weight = weight.to(view.dtype)
    view.register_hook(lambda gradient: gradient * weight.reshape(weight.shape + (1,) * (gradient.ndim - weight.ndim)))
    return view
