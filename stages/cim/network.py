"""The network of CIM (Sec. 3.3 to 3.6): backbone, MaskFuse, and a class and an integrity head a branch."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torchvision.ops import roi_align

from tag2mask.errors import UserError
from tag2mask.learn import backbone
from tag2mask.learn.device import moved


class Scores(NamedTuple):
    """Of one photo's N proposals by every branch, the anti-noise branch first. log_y : (K + 1, N, classes + 1), log of
    the class scores. t : the same shape, in [0, 1]: the anti-noise branch's detection scores, then integrity scores."""

    log_y: torch.Tensor
    t: torch.Tensor


class MaskFuse(nn.Module):
    """Box features B (N, D, h, w) and the masks in the same grid (N, h, w) -> (N, width).

    [B, mask x B], a convolution, two fully connected layers, each followed by ReLU. Source: CIM, Sec. 3.3; that the
    convolution is 3x3 and back to D channels: its released code.
    """

    def __init__(self, channels, *, bins, fused, widths):
        super().__init__()
        self.fuse = nn.Conv2d(2 * channels, fused, 3, padding=1)
        self.full = nn.Sequential(
            nn.Linear(fused * bins * bins, widths[0]), nn.ReLU(), nn.Linear(widths[0], widths[1]), nn.ReLU()
        )

    def forward(self, features, masks):
        both = torch.cat([features, features * masks[:, None]], 1)
        return self.full(self.fuse(both).relu().flatten(1))


class ProposalNet(nn.Module):
    """Photos and their proposals -> Scores of each photo. One linear layer a head (Sec. 4.3), here side by side."""

    def __init__(self, net, classes, *, bins, fused, widths, branches, integrity):
        super().__init__()
        self.backbone, self.bins, self.branches, self.integrity = net, bins, branches, integrity
        self.classes = classes
        self.maskfuse = MaskFuse(net.channels[-1], bins=bins, fused=fused or net.channels[-1], widths=widths)
        self.heads = nn.Linear(widths[1], 2 * (branches + 1) * (classes + 1))
        nn.init.normal_(self.heads.weight, std=0.01)  # Fast R-CNN's start of its classifier
        nn.init.zeros_(self.heads.bias)
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(self, photos, shares, masks):
        """photos : list of B (h, w, 3) uint8. shares : list of B (n, 4) float32 corners x0, y0, x1, y1 in [0, 1].
        masks : list of B (n, bins, bins) float32 in [0, 1]. Returns a list of B Scores.
        """
        parts = [self.pooled(photo, boxes) for photo, boxes in zip(photos, shares)]
        masks = moved(torch.from_numpy(np.concatenate(masks)), parts[0].device)
        f = self.maskfuse(torch.cat(parts), masks)
        raw = self.heads(f).float().view(len(f), self.branches + 1, 2, self.classes + 1)
        return [self.scores(one) for one in raw.split([len(one) for one in shares])]

    def pooled(self, photo, shares):
        """(n, D, bins, bins): B of one photo's boxes, by RoIAlign."""
        features = self.backbone(self.backbone.normalise(photo[None]))[-1]
        height, width = features.shape[2:]
        cells = moved(torch.from_numpy(shares * np.float32([width, height, width, height])), features.device)
        return roi_align(features, [cells], self.bins, sampling_ratio=2, aligned=True)

    def scores(self, raw):
        """Scores of the n proposals of one photo. raw : (n, K + 1, 2, classes + 1)."""
        y, t = raw.unbind(2)
        whole = t[:, 1:].sigmoid() if self.integrity else torch.ones_like(t[:, 1:])
        t = torch.cat([t[:, :1].softmax(0), whole], 1)
        return Scores(y.log_softmax(2).transpose(0, 1), t.transpose(0, 1))

    def train(self, mode=True):
        super().train(mode)
        # Only the backbone's own flag: boxes need its maps in place, which they are not in training. Its batch norm
        # layers follow `mode` and `frozen_norm`.
        self.backbone.training = False
        return self


def take_over(net, weights):
    """Give the Backbone `net` the tensors that the backbone of a classifier's Weights has too; returns how many.

    The last blocks may be missing there, as it may be of a finer stride. Raises UserError for another architecture.
    """
    own, theirs = net.state_dict(), weights.tensors
    both = {name: theirs[f"backbone.{name}"] for name in own if f"backbone.{name}" in theirs}
    if weights.meta["backbone"] != net.name or any(own[name].shape != both[name].shape for name in both):
        raise UserError(
            f"cim.from_classifier: the classifier's backbone is {weights.meta['backbone']}, that of cim {net.name}; "
            "give both the same, or set it to false."
        )
    net.load_state_dict(both, strict=False)
    return len(both)


def build(config, classes, *, weights="none"):
    """The network that `config` describes, for so many classes, with `weights` in the backbone."""
    net = backbone.create(
        config.backbone, weights, output_stride=config.output_stride, dilate=config.dilate,
        frozen_norm=config.frozen_norm,
    )  # fmt: skip
    return ProposalNet(
        net, classes, bins=config.roi, fused=config.fuse_channels, widths=config.widths, branches=config.branches,
        integrity=config.integrity,
    )  # fmt: skip
