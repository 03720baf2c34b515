"""Configuration of the stage `mil`."""

from typing import Literal

from pydantic import Field

from stages.common.config import Section


class Config(Section):
    scores: Literal["cam"] = Field(
        "cam", description="where p comes from: cam, the CAM's mean in the proposal's box, nothing is trained; ours"
    )
    relative: bool = Field(
        False,
        description="divide a class's box means by their largest among the photo's kept proposals, so that every tag "
        "has a proposal with score 1; without it a narrow CAM leaves nearly everything to the background; ours",
    )
    keep: int = Field(
        20,
        ge=1,
        le=2000,
        description="proposals per photo, the first in rank order: 20 for VOC, 40 for COCO, as LIID",
    )
    backbone: str = Field("efficientnet_lite0", description="timm architecture for f (LIID 4.1: ResNet-50)")
    weights: str = Field(
        "imagenet", description="its weights, used as they are: imagenet (packaged) or a local file; ours"
    )
    size: int = Field(
        448,
        ge=32,
        le=2048,
        description="square root of the area in px at which a photo enters the backbone; the code of LIID has 448",
    )
    output_stride: Literal[8, 16, 32] = Field(
        16, description="stride of the feature map in px of the resized photo; later stages are dilated; ours"
    )
    roi: int = Field(7, ge=1, le=32, description="RoI bins per side before the mean over them (LIID 4.1, RoI pooling)")
