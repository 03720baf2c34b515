"""The instance network: Panoptic-DeepLab with a centre map for every class, above any timm backbone.

Two decoders, each with a spatial pyramid of its own, share the backbone: one for the semantic map, one for centres
and offsets. Sources: BESTIE, Sec. 3.2, 4.2; Panoptic-DeepLab (Cheng et al., CVPR 2020), Sec. 3.1 and its code.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from tag2mask.learn import backbone as networks


class Output(NamedTuple):
    """semantic : (B, K + 1, H, W) float32 scores before the softmax, 0 the background, k + 1 class k. center :
    (B, K, H, W) float32, towards [0, 1] but not clipped. offset : (B, 2, H, W) float32 y, x in pixels, from a pixel to
    the centre of its instance."""

    semantic: torch.Tensor
    center: torch.Tensor
    offset: torch.Tensor


class InstanceNet(nn.Module):
    """backbone -> semantic decoder and head; backbone -> instance decoder, centre head and offset head."""

    def __init__(self, net, config, classes):
        super().__init__()
        self.backbone = net
        lower = net.channels[-2::-1]  # the finer levels, coarse first
        self.semantic_decoder = Decoder(net.channels[-1], lower, config.semantic_channels, config)
        self.instance_decoder = Decoder(net.channels[-1], lower, config.instance_channels, config)
        self.semantic_head = head(config.semantic_channels, config.semantic_channels, classes + 1)
        self.center_head = head(config.instance_channels, config.head_channels, classes)
        self.offset_head = head(config.instance_channels, config.head_channels, 2)
        nn.init.normal_(self.center_head[-1].weight, std=0.001)  # so that no centre is seen before one is learned
        nn.init.zeros_(self.center_head[-1].bias)

    def forward(self, x):
        """(B, 3, H, W) float32, normalised; H and W multiples of 32 -> Output at the same resolution.

        The heads answer at the stride of the finest level and are enlarged bilinearly. Offsets come out in its cells
        and are multiplied by the stride, so that far centres are no large numbers to learn (detectron2's form of it).
        """
        features = self.backbone(x)
        semantic = self.semantic_decoder(features)
        instance = self.instance_decoder(features)
        offset = self.offset_head(instance) * self.backbone.strides[0]
        maps = (self.semantic_head(semantic), self.center_head(instance), offset)
        return Output(*(enlarged(one.float(), x.shape[2:]) for one in maps))


class Decoder(nn.Module):
    """Spatial pyramid, then for each finer level: enlarge, join with the level's projection, 5x5 convolution.

    coarse : channels of the deepest level. lower : channels of the finer ones, coarse first. A level's projection has
    a quarter, an eighth, ... of the decoder's `channels` (Panoptic-DeepLab 3.1: 64, 32 of 256 and 32, 16 of 128).
    """

    def __init__(self, coarse, lower, channels, config):
        super().__init__()
        self.pyramid = Pyramid(coarse, config.aspp_channels, config.atrous_rates, dropout=config.dropout)
        self.project, self.fuse = nn.ModuleList(), nn.ModuleList()
        inside = config.aspp_channels
        for k, level in enumerate(lower):
            narrow = max(1, channels >> (2 + k))
            self.project.append(block(level, narrow))
            self.fuse.append(separable(inside + narrow, channels))
            inside = channels

    def forward(self, features):
        """features : the backbone's levels, finest first. Returns (B, channels, h, w) of the finest level's size."""
        x = self.pyramid(features[-1])
        for project, fuse, level in zip(self.project, self.fuse, features[-2::-1]):
            x = fuse(torch.cat([enlarged(x, level.shape[2:]), project(level)], 1))
        return x


class Pyramid(nn.Module):
    """Atrous spatial pyramid: 1x1, 3x3 at each rate, and the mean over the map, joined by a 1x1 convolution.

    The mean's branch has no batch norm: it has a single value a photo and channel (Panoptic-DeepLab's code).
    """

    def __init__(self, channels, out, rates, *, dropout):
        super().__init__()
        dilated = [block(channels, out, kernel=3, dilation=rate) for rate in rates]
        self.branches = nn.ModuleList([block(channels, out), *dilated])
        self.mean = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), nn.ReLU())
        self.project = nn.Sequential(block((len(rates) + 2) * out, out), nn.Dropout(dropout))

    def forward(self, x):
        """(B, C, h, w) -> (B, out, h, w)."""
        found = [branch(x) for branch in self.branches]
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.project(torch.cat([*found, mean], 1))


def block(channels, out, *, kernel=1, dilation=1, groups=1):
    """Convolution, batch norm, ReLU; the map keeps its size."""
    reach = dilation * (kernel // 2)
    conv = nn.Conv2d(channels, out, kernel, padding=reach, dilation=dilation, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


def separable(channels, out):
    """5x5 convolution of each channel alone, then 1x1; both with batch norm and ReLU."""
    return nn.Sequential(block(channels, channels, kernel=5, groups=channels), block(channels, out))


def head(channels, inside, out):
    """5x5 separable convolution and a 1x1 (Panoptic-DeepLab 3.1).

    detectron2's form of it begins every 1x1 near 0 (standard deviation 0.001). From there a semantic map learns nothing
    in its first hundred iterations, so this is kept for the centres alone.
    """
    return nn.Sequential(separable(channels, inside), nn.Conv2d(inside, out, 1))


def enlarged(maps, size):
    """(B, C, h, w) -> (B, C, *size), bilinear, cell areas kept in place."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def build(config, classes, *, seed=0):
    """(InstanceNet on the CPU, mean, std of RGB in 0..1) for K = `classes` classes without the background.

    New layers are drawn from `seed`, the backbone comes from its file; the caller's random state is not touched.
    Raises UserError for an unknown backbone, a stride that it lacks, or weights that are not its own.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        strides = (*config.low_levels[::-1], config.output_stride)
        net = networks.create(config.backbone, config.weights, strides=strides, output_stride=config.output_stride)
        net.freeze(config.freeze)
        model = InstanceNet(net, config, classes)
    return model.to(memory_format=torch.channels_last), net.mean, net.std


def described(config):
    """What the network is, for the manifest: the paper's HRNet-W48 or a stand-in."""
    name = {"hrnet_w48": "HRNet-W48", "resnet50": "ResNet-50"}.get(config.backbone, config.backbone)
    return f"Panoptic-DeepLab, {name} ({'random' if config.weights == 'none' else 'ImageNet'} weights)"
