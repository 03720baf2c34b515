"""Configuration of `classifier`: the multi-label classifier whose maps become CAMs, PAM maps or responses."""

from typing import Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Learning


class Config(Learning):
    """Defaults follow BESTIE's classifier (SGD, 15 epochs, drops at 5 and 10) and LIID's input of 448 pixels; PRM's
    schedule, where it differs, is the variant `prm` of config/recipes.yaml."""

    head: Literal["plain", "pam", "prm"] = Field(
        "plain",
        description="plain: 1x1 convolution and global average pooling (CAM; LIID 4.2.1). pam: three 3x3 convolutions, "
        "each followed by ReLU and a peak attention module, before it (BESTIE 3.3 and released code). prm: peak "
        "stimulation in place of the average: 1x1 convolution, maps enlarged, a class's score is the mean over its "
        "map's peaks (PRM).",
    )
    enlarge: int = Field(
        8,
        ge=1,
        le=32,
        description="Factor by which maps are enlarged, corners aligned, before peaks are found: in training by the "
        "head prm, in `cam` by `peaks: median`; PRM's code 8.",
    )
    alpha: float = Field(
        0.7, ge=0, le=1, description="PAM controller alpha: values below alpha x channel maximum become 0; BESTIE 3.3."
    )
    pam_layers: int = Field(3, ge=1, le=8, description="Number of 3x3 convolution + ReLU + PAM blocks; BESTIE's code.")
    pam_context: int | None = Field(
        None,
        ge=0,
        description="Most network pixels around a cell that the blocks see: a 3x3 convolution adds two strides, "
        "those for which there is no room are 1x1. BESTIE's three at stride 8 see 48. null: all are 3x3; ours.",
    )
    pam_channels: int = Field(512, ge=1, description="Channels of those convolutions; VGG-16's width in BESTIE's code.")
    backbone: str = Field(
        "efficientnet_lite0",
        description="timm architecture, with or without its tag (LIID resnet50, BESTIE vgg16). Maps of a vision "
        "transformer have its patch's stride, those of DINOv2 (vit_small_patch14_dinov2) 14.",
    )
    weights: str = Field(
        "imagenet",
        description="imagenet: packaged weights (efficientnet_lite0, _lite2); none: random; hub: timm's own, from the "
        "cache of the Hugging Face Hub or downloaded once (hub:<repository>@<revision>, as the manifest has it, holds "
        "on to one); else the path of a local .pth, .pt or .safetensors file with this backbone's tensors.",
    )
    output_stride: Literal[8, 16, 32] = Field(
        16,
        description="Stride of the maps in network pixels, later stages dilated; ours (BESTIE's VGG-16: 8, its last "
        "pool at stride 1 and conv5 dilated by 2).",
    )
    dilate: bool = Field(
        True, description="true: all of the backbone, dilated; false: only its layers up to `output_stride`; ours."
    )
    last_conv: bool = Field(
        True, description="Use the backbone's own last 1x1 convolution (EfficientNet's 1280 channels), if any; ours."
    )
    frozen_norm: bool = Field(True, description="Batch norm keeps its ImageNet statistics, scale and shift; ours.")
    freeze: int = Field(
        0, ge=0, le=4, description="The backbone's first stages that are not trained; makes an iteration faster; ours."
    )
    size: int = Field(448, ge=32, le=2048, description="Side of the square training crop in pixels; LIID and PRM 448.")
    crop_area: tuple[float, float] = Field(
        (0.5, 1.0),
        description="Share of the photo that a random crop covers, least and most, in (0, 1], so that objects appear "
        "at several scales; ours. [1, 1] with `crop_aspect` 1 is the whole photo squashed to a square (PRM's code).",
    )
    crop_aspect: float = Field(
        1.33, ge=1, le=3, description="A crop's side ratio is changed by at most this factor, log-uniform; ours."
    )
    keep_aspect: bool = Field(
        False,
        description="true: crops are cut as squares, the largest that fits where `crop_area` asks for more, so that "
        "objects have the proportions of testing; false: of the photo's shape, squashed to squares; ours.",
    )
    flip: bool = Field(True, description="Mirror half of the crops left to right; PRM's code too.")
    jitter: float = Field(
        0.2, ge=0, lt=1, description="Brightness and contrast are multiplied by 1 +- up to this, uniform; ours."
    )
    optimiser: Literal["sgd", "adam", "adamw"] = Field(
        "sgd", description="sgd with momentum 0.9 (BESTIE), Adam (ICN, Sec. 4.2), or AdamW."
    )
    rate: float = Field(1e-3, gt=0, description="Learning rate of the backbone; BESTIE 1e-3, PRM 1e-2 (sgd).")
    rate_new: float = Field(10.0, gt=0, description="Factor of the rate for new layers; BESTIE 10, PRM 1.")
    weight_decay: float = Field(
        5e-4, ge=0, description="Weight decay of all but biases; BESTIE's base code 5e-4, PRM's code 1e-4."
    )
    batch: int = Field(16, ge=1, description="Photos an iteration; ours, and PRM's.")
    epochs: float = Field(15, gt=0, description="Passes over the training photos; BESTIE 15, PRM 20.")
    schedule: Literal["step", "one_cycle"] = Field(
        "step", description="step: x0.1 at `drops` (BESTIE); one_cycle: rise for 30 %, then fall to nearly 0."
    )
    drops: tuple[float, ...] = Field(
        (5, 10), description="Epochs after which the rate is divided by 10; BESTIE 5, 10; PRM none."
    )
    checkpoint_every: int = Field(200, ge=1, description="Iterations between checkpoints.")

    @model_validator(mode="after")
    def _check(self):
        low, high = self.crop_area
        if not 0 < low <= high <= 1:
            raise ValueError("crop_area must be two numbers, 0 < least <= most <= 1")
        return self
