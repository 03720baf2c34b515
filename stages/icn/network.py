"""ICN: from a photo and one peak response map to the map of the whole instance (ICN, Sec. 3.2, Fig. 3, Eq. 3)."""

import torch
from torch import nn
from torch.nn import functional

from tag2mask.learn import backbone

LEVELS = 5


class Fusion(nn.Module):
    """E(C(U(f_s), f_l)): the smaller map enlarged, beside the larger, and two convolutions (Eq. 3): CFM and DFM."""

    def __init__(self, small, large, channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(small + large, channels, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, small, large):
        """(B, C, h, w) and (B, C', H, W) -> (B, channels, H, W)."""
        return self.layers(torch.cat([enlarged(small, large.shape[2:]), large], 1))


class CuePropagation(nn.Module):
    """The network of one map at a time.

    fusion : "both" chains, or "none": the deepest level alone is mapped (Table 1, w/o CFM and DFM). use_map : whether
    it sees the map (Table 1, w/o input PRM).
    """

    def __init__(self, net, *, channels, fusion, use_map):
        super().__init__()
        self.backbone, self.use_map = net, use_map
        if use_map:
            widen(net)
        widths = net.channels
        if fusion == "both":
            deeper = [widths[-1], *[channels] * (LEVELS - 2)]  # what has come so far, from the deepest level
            self.context = nn.ModuleList(Fusion(s, w, channels) for s, w in zip(deeper, widths[-2::-1]))
            finer = [widths[0], *[channels] * (LEVELS - 2)]  # the same from the finest
            self.detail = nn.ModuleList(Fusion(w, f, channels) for w, f in zip(widths[1:], finer))
        else:
            self.context = self.detail = nn.ModuleList()
        self.mapping = nn.Conv2d(2 * channels if fusion == "both" else widths[-1], 1, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # 1.5 times as fast on a CPU

    def forward(self, photos, maps):
        """(B, H, W) logits. photos : (B, 3, H, W) normalised. maps : (B, H, W) in [0, 1]."""
        x = torch.cat([photos, maps[:, None]], 1) if self.use_map else photos
        levels = self.backbone(x)
        coarse, fine = levels[-1], levels[0]
        for fuse, level in zip(self.context, levels[-2::-1]):
            coarse = fuse(coarse, level)
        for fuse, level in zip(self.detail, levels[1:]):
            fine = fuse(level, fine)
        found = self.mapping(torch.cat([coarse, fine], 1) if len(self.detail) else coarse)
        return enlarged(found, photos.shape[2:])[:, 0]


def enlarged(x, size):
    """(B, C, *size), bilinear."""
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)


def widen(net):
    """Give the first convolution of a Backbone a fourth input channel, the map, that acts as light on the photo.

    Its weights are the sum of the three colours': a map of 1 is as if the normalised photo were brighter by 1. So a map
    of 0 changes nothing, and where there is one, the trained layers see it from the first iteration on. (With weights
    of 0 a short schedule never learns to look at it: every peak of a photo gets the same answer.)
    """
    first = next(module for module in net.net.modules() if isinstance(module, nn.Conv2d))
    first.weight = nn.Parameter(torch.cat([first.weight, first.weight.sum(1, keepdim=True)], 1).detach())
    first.in_channels += 1


def build(config, *, weights="none"):
    """The network that `config` describes, on five levels of its backbone, with `weights` in that."""
    finest = 1 if config.backbone.startswith("vgg") else 2
    strides = tuple(finest * 2**k for k in range(LEVELS))
    net = backbone.create(
        config.backbone, weights, strides=strides, output_stride=strides[-1], frozen_norm=config.frozen_norm
    )
    return CuePropagation(net, channels=config.channels, fusion=config.fusion, use_map=config.use_map)
