"""DeepLab in torchvision's parts: its own ResNet, or a timm backbone, below its head (atrous spatial pyramid pooling).

Batch norm of the backbone keeps its ImageNet statistics, scale and shift (DeepLab v2's code does the same: crops of a
few photos have no statistics of their own); that of the head learns. Source: Chen et al. 2017 (v3), Sec. 3.3.
"""

import torch
from torch import nn
from torchvision.models import resnet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.ops import FrozenBatchNorm2d

from tag2mask.learn import backbone as networks
from tag2mask.learn import pretrained

RESNETS = {"resnet50": resnet.resnet50, "resnet101": resnet.resnet101}
RESNET_MEAN, RESNET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, RGB in 0..1
RESNET_STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")


class Features(nn.Module):
    """A network of tag2mask.learn.backbone as torchvision's DeepLab wants it: x -> {"out": its deepest level}."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def train(self, mode=True):
        """Only evaluation mode puts dilated cells back in their place; training must see what testing does."""
        super().train(mode)
        self.net.eval()
        return self

    def forward(self, x):
        """(B, 3, H, W) float32 -> {"out": (B, C, H / stride, W / stride) float32}."""
        return {"out": self.net(x)[-1]}


def build(config, classes, *, seed=0):
    """(DeepLabV3 on the CPU, mean, std of RGB in 0..1) for `classes` labels, the background among them.

    New layers are drawn from `seed`, the backbone comes from the file; the caller's random state is not touched.
    model(x)["out"] : (B, 3, H, W) float32, normalised -> (B, classes, H, W) float32 scores. For a ResNet at stride 8
    the tensors have the names and shapes of torchvision's deeplabv3_resnet50 and _resnet101.
    Raises UserError when the weights file is of another architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.backbone in RESNETS:
            backbone, channels = dilated_resnet(config), 2048
            mean, std = RESNET_MEAN, RESNET_STD
        else:
            net = networks.create(config.backbone, config.weights, output_stride=config.output_stride)
            net.freeze(config.freeze)
            backbone, channels = Features(net), net.channels[-1]
            mean, std = net.mean, net.std
        model = DeepLabV3(backbone, DeepLabHead(channels, classes, config.atrous_rates))
    return model.to(memory_format=torch.channels_last), mean, std


def dilated_resnet(config):
    """torchvision's ResNet up to its last block, at config.output_stride, with the tensors of config.weights."""
    net = RESNETS[config.backbone](
        replace_stride_with_dilation=[False, config.output_stride <= 8, config.output_stride <= 16],
        norm_layer=FrozenBatchNorm2d,
    )
    backbone = IntermediateLayerGetter(net, return_layers={"layer4": "out"})
    if config.weights == "imagenet":
        pretrained.packaged(config.backbone)  # says that there are none
    if config.weights != "none":
        state = pretrained.read(config.weights, config.backbone)
        pretrained.fit(backbone, state, name=config.backbone, source=config.weights)
    for name in RESNET_STAGES[: config.freeze]:
        backbone[name].requires_grad_(False)
    return backbone


def described(config):
    """What the network is, for the manifest: the papers' ResNet-101 or a stand-in."""
    name = {"resnet101": "ResNet-101", "resnet50": "ResNet-50"}.get(config.backbone, config.backbone)
    return f"DeepLab v3, {name} ({'random' if config.weights == 'none' else 'ImageNet'} weights)"
