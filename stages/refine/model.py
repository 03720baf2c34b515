"""Mask R-CNN in detectron2's parts: the whole configuration here, a timm backbone with FPN, ResNet-50-FPN by file.

Source: Mask R-CNN (He et al. 2017, Sec. 3.1), FPN (Lin et al. 2017); detectron2's R50-FPN 1x for what they leave out.
"""

from stages.refine import detectron  # isort: skip  # noqa: F401  before the first import of detectron2

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone, build_model
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import build_resnet_backbone
from detectron2.solver.build import get_default_optimizer_params
from detectron2.utils.events import EventStorage
from torch import nn

import stages.refine.taught  # noqa: F401  registers its parts
from tag2mask.errors import UserError
from tag2mask.learn import backbone as networks
from tag2mask.learn import pretrained
from tag2mask.learn.whole import share, total

RESNET = "R-50"
RESNET_MEAN = (123.675, 116.28, 103.53)  # torchvision's, RGB in 0..255
RESNET_STD = (58.395, 57.12, 57.375)
PLAIN = "GeneralizedRCNN", "RPN", "StandardROIHeads"  # detectron2's network and its parts, by their names in registries
TAUGHT = "TaughtRCNN", "TaughtRPN", "TaughtHeads"  # those of taught.py


class TimmBackbone(Backbone):
    """A network of tag2mask.learn.backbone as detectron2 wants it: features `res<l>` of stride 2^l.

    The first `freeze` stages (those of strides 2, 4, ...) are not trained. Batch norm keeps its statistics and in the
    other stages trains its scale and shift: batches of a few photos have no statistics of their own.
    """

    def __init__(self, net, *, levels, freeze):
        super().__init__()
        self.net = net
        self._out_features = [f"res{level}" for level in levels]
        self._out_feature_channels = dict(zip(self._out_features, net.channels))
        self._out_feature_strides = dict(zip(self._out_features, net.strides))
        net.freeze(freeze)

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, x):
        """(B, 3, H, W) float32 -> {"res<l>": (B, C, H / 2^l, W / 2^l) float32}."""
        return dict(zip(self._out_features, self.net(x)))


@BACKBONE_REGISTRY.register()
def build_timm_fpn(cfg, input_shape):
    """The timm network of cfg.MODEL.TIMM below detectron2's FPN."""
    levels = [int(name.removeprefix("res")) for name in cfg.MODEL.FPN.IN_FEATURES]
    net = networks.create(
        cfg.MODEL.TIMM.NAME, cfg.MODEL.TIMM.WEIGHTS, strides=[2**level for level in levels], frozen_norm=False
    )
    return _pyramid(cfg, TimmBackbone(net, levels=levels, freeze=cfg.MODEL.BACKBONE.FREEZE_AT))


@BACKBONE_REGISTRY.register()
def build_resnet_fpn(cfg, input_shape):
    """detectron2's own ResNet below its FPN."""
    return _pyramid(cfg, build_resnet_backbone(cfg, input_shape))


def _pyramid(cfg, bottom_up):
    """FPN over `bottom_up`; one more level by pooling where level 6 is asked for."""
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        top_block=LastLevelMaxPool() if "p6" in cfg.MODEL.RPN.IN_FEATURES else None,
    )


def detectron_config(config, classes, *, mean, std):
    """detectron2's configuration of our `config` (config.Config) for `classes` categories; mean, std: RGB in 0..255."""
    cfg = get_cfg()
    levels = [level for level in config.fpn_levels if level < 6]
    pyramid = [f"p{level}" for level in levels]
    m = cfg.MODEL
    m.DEVICE = "cpu"
    m.WEIGHTS = ""
    m.MASK_ON = True
    names = TAUGHT if taught(config) else PLAIN
    m.META_ARCHITECTURE, m.PROPOSAL_GENERATOR.NAME, m.ROI_HEADS.NAME = names
    m.PIXEL_MEAN, m.PIXEL_STD = list(mean), list(std)
    m.TIMM = CfgNode({"NAME": config.backbone, "WEIGHTS": config.weights})
    m.BACKBONE.NAME = "build_resnet_fpn" if config.backbone == RESNET else "build_timm_fpn"
    m.BACKBONE.FREEZE_AT = config.freeze_stages
    m.RESNETS.OUT_FEATURES = [f"res{level}" for level in levels]
    m.RESNETS.NORM = "FrozenBN"
    m.RESNETS.STRIDE_IN_1X1 = False  # as torchvision and the common R-50 files have it
    m.FPN.IN_FEATURES = [f"res{level}" for level in levels]
    m.FPN.OUT_CHANNELS = config.fpn_channels
    m.ANCHOR_GENERATOR.SIZES = [[size] for size in config.anchor_sizes]
    m.ANCHOR_GENERATOR.ASPECT_RATIOS = [list(config.anchor_ratios)]
    m.RPN.IN_FEATURES = [f"p{level}" for level in config.fpn_levels]
    m.RPN.BATCH_SIZE_PER_IMAGE = config.rpn_batch
    m.RPN.PRE_NMS_TOPK_TRAIN, m.RPN.PRE_NMS_TOPK_TEST = config.rpn_pre_nms
    m.RPN.POST_NMS_TOPK_TRAIN, m.RPN.POST_NMS_TOPK_TEST = config.rpn_post_nms
    m.ROI_HEADS.IN_FEATURES = pyramid
    m.ROI_HEADS.NUM_CLASSES = classes
    m.ROI_HEADS.BATCH_SIZE_PER_IMAGE = config.roi_batch
    m.ROI_HEADS.POSITIVE_FRACTION = config.roi_positive
    m.ROI_HEADS.SCORE_THRESH_TEST = config.score_threshold
    m.ROI_HEADS.NMS_THRESH_TEST = config.nms
    cfg.TEST.DETECTIONS_PER_IMAGE = config.detections
    m.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    m.ROI_BOX_HEAD.NUM_FC = 2
    m.ROI_BOX_HEAD.FC_DIM = config.box_channels
    m.ROI_BOX_HEAD.POOLER_RESOLUTION = config.box_resolution
    m.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
    m.ROI_MASK_HEAD.NUM_CONV = config.mask_layers
    m.ROI_MASK_HEAD.CONV_DIM = config.mask_channels
    m.ROI_MASK_HEAD.POOLER_RESOLUTION = config.mask_resolution
    for head in (m.ROI_BOX_HEAD, m.ROI_MASK_HEAD):
        head.POOLER_SAMPLING_RATIO = config.roi_samples
    cfg.freeze()
    return cfg


def taught(config):
    """Whether labels are taught otherwise than in detectron2 (taught.py)."""
    return config.ignore is not None or config.score_weight


def build(config, classes, *, seed=0):
    """A GeneralizedRCNN for `classes` categories on the CPU, new layers drawn from `seed`, backbone from the file.

    The caller's random state is not touched. Raises UserError when the weights file is of another architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.backbone == RESNET:
            model = build_model(detectron_config(config, classes, mean=RESNET_MEAN, std=RESNET_STD))
            load_resnet(model.backbone.bottom_up, config.weights)
        else:
            model = build_model(detectron_config(config, classes, mean=(0.0,) * 3, std=(1.0,) * 3))
            net = model.backbone.bottom_up.net
            set_pixels(model, mean=[255 * v for v in net.mean], std=[255 * v for v in net.std])
    if taught(config):
        model.proposal_generator.ignore = model.roi_heads.ignore = config.ignore
    for pooler in (model.roi_heads.box_pooler, model.roi_heads.mask_pooler):
        # detectron2 fixes these two in code, not in its configuration (FPN, eq. 1)
        pooler.canonical_box_size = config.roi_canonical_size
        pooler.canonical_level = config.roi_canonical_level
    return model


def set_pixels(model, *, mean, std):
    """Let the model subtract `mean` and divide by `std`, RGB in 0..255; its state_dict does not hold them."""
    for buffer, values in ((model.pixel_mean, mean), (model.pixel_std, std)):
        buffer.copy_(torch.tensor(values, dtype=buffer.dtype).view(-1, 1, 1))


def load_resnet(bottom_up, weights):
    """Fill detectron2's ResNet-50 from a file with torchvision's or timm's tensor names.

    A file with detectron2's or Caffe2's own names is refused: its R-50 takes BGR of unit deviation and strides in the
    first 1x1 convolutions, and its shapes are the same, so that it would load and see something else.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        raise UserError(
            f"refine.weights: there are no packaged weights for {RESNET}; name a local file of them, or `none`"
        )
    content = pretrained.read(weights, RESNET)
    if any(name.removeprefix("backbone.bottom_up.").startswith(("stem.", "res2.", "res2_")) for name in content):
        raise UserError(
            f"{weights} has detectron2's tensor names, whose R-50 takes other pixels (BGR, unit deviation) and other "
            "strides than this one: name a ResNet-50 file with torchvision's or timm's tensor names"
        )
    given = {detectron_name(name): t for name, t in content.items()}
    wanted = bottom_up.state_dict()
    bad = [name for name, t in wanted.items() if name not in given or given[name].shape != t.shape]
    if bad:
        raise UserError(
            f"{weights} does not hold a ResNet-50 ({len(bad)} of {len(wanted)} tensors are missing or differ in shape, "
            f"first {bad[0]}): name a file with torchvision's or timm's tensor names"
        )
    bottom_up.load_state_dict({name: given[name] for name in wanted})


def detectron_name(name):
    """detectron2's name of a ResNet tensor that torchvision or timm calls `name`.

    "layer1.0.bn2.weight" -> "res2.0.conv2.norm.weight", "layer2.0.downsample.0.weight" -> "res3.0.shortcut.weight"
    """
    parts = name.split(".")
    if parts[0] in ("conv1", "bn1"):
        parts.insert(0, "stem")
    elif parts[0].startswith("layer") and parts[0][5:].isdigit():
        parts[0] = f"res{int(parts[0][5:]) + 1}"
    out = []
    for part in parts:
        if part.startswith("bn") and part[2:].isdigit():
            out += [f"conv{part[2:]}", "norm"]
        elif out and out[-1] == "downsample":
            out[-1:] = ["shortcut"] if part == "0" else ["shortcut", "norm"]
        else:
            out.append(part)
    return ".".join(out)


def groups(model, config):
    """Parameter groups of what is trained: weight decay `weight_decay`, in normalisation layers `weight_decay_norm`."""
    return get_default_optimizer_params(
        model, weight_decay=config.weight_decay, weight_decay_norm=config.weight_decay_norm
    )


def losses(model, batch):
    """The sum of Mask R-CNN's five losses over `batch` (a list of data.training_sample's dicts): a scalar tensor.

    Those of the RPN are means over photos, those of the heads over the proposals that were sampled, of masks over the
    objects among them; so they count in a batch that is cut into slices.
    """
    with EventStorage() as storage:  # detectron2's heads write how many proposals a photo they sampled
        found = model(batch)
        objects, others = (storage.latest()[f"roi_head/num_{kind}_samples"][0] * len(batch) for kind in ("fg", "bg"))
    counts = {"loss_cls": objects + others, "loss_box_reg": objects + others, "loss_mask": objects}
    return sum(part_of(loss, counts[name]) if name in counts else share(loss) for name, loss in found.items())


def part_of(mean, count):
    """A mean over `count` samples of the slice, as its part of the mean over those of the whole batch."""
    count = torch.full((), float(round(count)), device=mean.device)
    return mean * (count / total(count).clamp(min=1))
