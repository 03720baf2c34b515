"""LIID's network (Sec. 4.1): backbone, RoI pooling of the proposals' boxes, their mean f, and K + 1 scores."""

import numpy as np
import torch
from torch import nn

from stages.mil.features import pooled
from tag2mask.errors import UserError
from tag2mask.learn import backbone

# the keys of the configuration that say what the network is
BUILD = ("backbone", "output_stride", "dilate", "last_conv", "frozen_norm", "roi", "roi_kind", "size")


class ProposalNet(nn.Module):
    """Photos and boxes -> f (N, D) and scores a (N, K + 1) of their proposals; softmax of a is p (LIID, Eq. 2).

    centers : (K + 1, D) buffer, the classes' centres of Eq. 7; a class not met yet has the centre 0.
    """

    def __init__(self, net, labels, *, bins, kind):
        super().__init__()
        self.backbone, self.bins, self.kind = net, bins, kind
        self.score = nn.Linear(net.channels[-1], labels)
        nn.init.normal_(self.score.weight, std=0.01)  # Fast R-CNN's start of its classifier
        nn.init.zeros_(self.score.bias)
        self.register_buffer("centers", torch.zeros(labels, net.channels[-1]))
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(self, photos, shares):
        """photos : list of B (h, w, 3) uint8. shares : list of B (n, 4) float32 corners in [0, 1].

        Photos of one shape run through the backbone together; rows come in the order of the photos.
        """
        shapes = [photo.shape[:2] for photo in photos]
        parts = [None] * len(photos)
        for shape in dict.fromkeys(shapes):
            group = [b for b, other in enumerate(shapes) if other == shape]
            maps = self.backbone(self.backbone.normalise(np.stack([photos[b] for b in group])))[-1].float()
            boxes = [torch.from_numpy(np.ascontiguousarray(shares[b])) for b in group]
            rows = pooled(maps, boxes, bins=self.bins, kind=self.kind)
            for b, part in zip(group, rows.split([len(one) for one in boxes])):
                parts[b] = part
        f = torch.cat(parts)
        return f, self.score(f).float()

    def train(self, mode=True):
        super().train(mode)
        # Only the backbone's own flag, which in training leaves dilated maps half a coarse cell off: boxes need them
        # in place. Its batch norm layers follow `mode` and `frozen_norm`.
        self.backbone.training = False
        return self


def build(meta, *, weights="none"):
    """The network that `meta` (written beside the tensors) describes, with `weights` in the backbone."""
    net = backbone.create(
        meta["backbone"], weights, output_stride=meta["output_stride"], dilate=meta["dilate"], head=meta["last_conv"],
        frozen_norm=meta["frozen_norm"],
    )  # fmt: skip
    return ProposalNet(net, len(meta["labels"]), bins=meta["roi"], kind=meta["roi_kind"])


def restore(weights):
    """The trained network of a `Weights` of kind "mil" and scores "network", in evaluation mode."""
    if weights.meta.get("scores") != "network":
        raise UserError(
            f"These weights are of mil.scores {weights.meta.get('scores')!r}, not 'network'; train the stage again."
        )
    model = build(weights.meta)
    weights.fill(model)
    model.backbone.mean, model.backbone.std = tuple(weights.meta["mean"]), tuple(weights.meta["std"])
    return model.eval()
