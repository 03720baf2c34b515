"""The multi-label classifier: a backbone, a head whose last 1x1 convolution gives one map per class, and their mean,
over all of the map or over its peaks."""

import math

import torch
from torch import nn

from tag2mask.learn import backbone


class PeakAttention(nn.Module):
    """Peak attention module (PAM): keeps each channel near its peak and deactivates the rest.

    x : (B, C, H, W) float, not negative. Selector S = max over positions of each channel, (B, C, 1, 1); controller
    G = alpha, the same for all channels; boundary tau = S G; the peak stimulator sets x to 0 where x < tau and leaves
    it elsewhere. No parameters. Source: BESTIE, Sec. 3.3, Fig. 4.
    """

    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def forward(self, x):
        tau = self.alpha * x.amax((2, 3), keepdim=True)  # (B, C, 1, 1)
        return torch.where(x < tau, 0.0, x)


def peak_scores(maps):
    """Peak stimulation: the mean of every map over its own peaks; gradients flow to the peaks alone.

    maps : (B, K, H, W) float, any sign, finite. Returns (B, K). A peak is the maximum of its 3x3 window, of equal ones
    the first in row order, and above the map's median. A map at least half of which equals its maximum, such as a
    constant one, has no peak: its score is its mean over all places. Source: PRM (peak stimulation) and its code (there
    "at least" the median, so that a constant map has one peak, its corner).
    """
    height, width = maps.shape[2:]
    with torch.no_grad():
        first = nn.functional.max_pool2d(maps, 3, stride=1, padding=1, return_indices=True)[1]
        own = torch.arange(height * width, device=maps.device).view(height, width)
        median = maps.flatten(2).median(2).values[:, :, None, None]
        peaks = (first == own) & (maps > median)
        peaks |= ~peaks.any(3, keepdim=True).any(2, keepdim=True)  # without a peak, all places count
    return (maps * peaks).sum((2, 3)) / peaks.sum((2, 3))


@torch.no_grad()
def pass_on(weight):
    """Let a convolution, weight (D, C, k, k), k odd, hand on all its inputs in place: the identity where D = C.

    With fewer outputs than inputs each is the mean of the inputs c, c + D, c + 2 D, ..., which for features that are
    not negative lets all of them through a ReLU; with more, the inputs are repeated.
    """
    outputs, inputs = (torch.arange(n) % min(weight.shape[:2]) for n in weight.shape[:2])
    share = (outputs[:, None] == inputs).float()
    weight.zero_()
    weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2] = share / share.sum(1, keepdim=True)


class Classifier(nn.Module):
    """x (B, 3, H, W) -> logits (B, K) and class maps (B, K, H / stride, W / stride).

    The logit of a class is the mean of its map plus a bias, so the map, without the bias, is the CAM itself. With the
    head prm it is the mean over the peaks of the enlarged map plus the bias, so the response at a place is the enlarged
    map there plus the bias. Sources: LIID, Sec. 4.2.1 (plain); BESTIE, Sec. 3.3 and released code (pam); PRM (peak
    stimulation) and released code (prm).
    """

    def __init__(self, net, classes, *, head, alpha, pam_sides, pam_channels, enlarge):
        super().__init__()
        self.head, self.enlarge = head, enlarge
        self.backbone, self.stride = net, net.strides[-1]
        width, blocks = net.channels[-1], []
        if head == "pam":
            for side in pam_sides:
                blocks += [nn.Conv2d(width, pam_channels, side, padding=side // 2), nn.ReLU(), PeakAttention(alpha)]
                width = pam_channels
        self.blocks = nn.Sequential(*blocks)
        self.score = nn.Conv2d(width, classes, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(classes))
        if head == "prm":
            nn.init.zeros_(self.score.weight)  # peaks of random maps are high: every class would seem to be there
        for module in self.blocks:
            if isinstance(module, nn.Conv2d):
                pass_on(module.weight)  # at first the backbone's own features pass: learns in few epochs
                nn.init.zeros_(module.bias)
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(self, x):
        maps = self.score(self.blocks(self.backbone(x)[-1]))
        scores = peak_scores(self.enlarged(maps)) if self.head == "prm" else maps.mean((2, 3))
        return scores + self.bias, maps

    def enlarged(self, maps):
        """(B, K, h enlarge, w enlarge): class maps (B, K, h, w) as peaks are found on, bilinear, corners aligned."""
        return nn.functional.interpolate(maps, scale_factor=self.enlarge, mode="bilinear", align_corners=True)

    def start_at(self, frequency):
        """Set the biases so that the first answers are the classes' frequencies (K,) among the training photos.

        They are so to within the mean of the untrained maps; exactly with the head prm, whose maps start at 0.
        """
        for k, p in enumerate(frequency):
            p = min(max(float(p), 1e-3), 1 - 1e-3)
            self.bias.data[k] = math.log(p / (1 - p))


def build(meta, *, weights="none", output_stride=None):
    """The network that `meta` (written beside the tensors) describes, with `weights` in the backbone.

    output_stride : another than it is trained with; what is finer is dilated, the head's 3x3 convolutions too, so the
    finer maps pass through the coarser ones' values.
    """
    net = backbone.create(
        meta["backbone"],
        weights,
        output_stride=output_stride or meta["output_stride"],
        dilate=meta["dilate"],
        head=meta["last_conv"],
        frozen_norm=meta["frozen_norm"],
    )
    stride = meta.get("stride", net.strides[-1])  # of training
    model = Classifier(
        net,
        len(meta["classes"]),
        head=meta["head"],
        alpha=meta["alpha"],
        pam_sides=sides_of(meta["pam_layers"], meta["pam_context"], stride=stride),
        pam_channels=meta["pam_channels"],
        enlarge=meta["enlarge"],
    )
    step = max(1, stride // model.stride)
    for block in model.blocks:
        if isinstance(block, nn.Conv2d):
            block.dilation = (step, step)
            block.padding = tuple(step * (side // 2) for side in block.kernel_size)
    return model


def sides_of(layers, context, *, stride):
    """Sides, 3 or 1, of the convolutions of so many PAM blocks that see at most `context` px beyond a cell of `stride`.

    A 3x3 convolution adds a cell on either side; None: all are 3x3. Source: ours (BESTIE: 48 px, three at stride 8).
    """
    wide = layers if context is None else min(layers, context // (2 * stride))
    return [3] * wide + [1] * (layers - wide)


def restore(weights, *, output_stride=None):
    """The trained network of a `Weights` of kind "classifier", in evaluation mode; it normalises as it was trained."""
    model = build(weights.meta, output_stride=output_stride)
    weights.fill(model)
    model.backbone.mean, model.backbone.std = tuple(weights.meta["mean"]), tuple(weights.meta["std"])
    return model.eval()
