"""What `segment` can be told: DeepLab's architecture, its schedule, its input sizes and its predictions.

LIID trains DeepLab by "the same settings as in previous methods" (Sec. 6.5), Fan among them; Fan (Sec. 5.1) gives rate,
drop, decay and momentum; DeepLab v2 (Chen et al., PAMI 2018) what is left; v3 (Chen et al. 2017) the head.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Learning


class Config(Learning):
    ONLY_TEST: ClassVar[frozenset[str]] = frozenset({"test_scales", "test_flip"})
    TEST: ClassVar[frozenset[str]] = ONLY_TEST | {"max_side"}

    # --- network
    backbone: str = Field(
        "efficientnet_lite0",
        description="`resnet101` (LIID Sec. 5.3) or `resnet50`: torchvision's DeepLab v3; else the name of a timm "
        "network, below torchvision's DeepLab head",
    )
    weights: str = Field(
        "imagenet",
        description="`imagenet`: the packaged weights (efficientnet_lite0, _lite2); `none`: random; `hub`: timm's "
        "from the Hugging Face Hub (see `classifier.weights`); else a local file of the backbone's ImageNet tensors "
        "(for a ResNet by torchvision's or timm's names)",
    )
    output_stride: Literal[8, 16, 32] = Field(
        8, description="photo pixels a cell of the map; later stages are dilated instead of strided; v2 Sec. 3.1: 8"
    )
    atrous_rates: list[int] = Field(
        [12, 24, 36],
        min_length=1,
        description="cells between the samples of the head's 3x3 convolutions; v3 Sec. 3.3: 12, 24, 36 at stride 8, "
        "6, 12, 18 at stride 16 (v2: 6, 12, 18, 24)",
    )
    freeze: int = Field(
        0, ge=0, le=4, description="first stages of the backbone that are not trained, a faster iteration; ours: 0"
    )
    # --- schedule
    images: Literal["with_masks", "all"] = Field(
        "all",
        description="photos to train on: the split with_masks (like with like), or every training photo",
    )
    batch: int = Field(10, ge=2, description="photos per iteration; v2 Sec. 4")
    iterations: int = Field(30_000, ge=1, description="Fan names the drop, not the end; ours: as long as it pays")
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="Fan Sec. 5.1: SGD; AdamW for short schedules, ours")
    learning_rate: float = Field(2.5e-4, gt=0, description="of the backbone; Fan Sec. 5.1, v2 Sec. 4")
    rate_new: float = Field(10.0, gt=0, description="factor of the rate for the head, whose layers are new; v2 Sec. 4")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD; Fan Sec. 5.1")
    weight_decay: float = Field(5e-4, ge=0, description="of all but biases and norms; Fan Sec. 5.1")
    schedule: Literal["step", "poly"] = Field("step", description="step: Fan Sec. 5.1; poly: v2 Sec. 4")
    steps: list[int] = Field([20_000], description="step: iterations after which the rate is multiplied; Fan Sec. 5.1")
    gamma: float = Field(0.1, gt=0, le=1, description="step: by this; Fan Sec. 5.1")
    power: float = Field(0.9, gt=0, description="poly: rate x (1 - iteration / iterations)^power; v2 Sec. 4")
    clip: float = Field(0.0, ge=0, description="largest norm of the gradient, 0: not clipped; ours: 0")
    checkpoint_every: int = Field(500, ge=1, description="iterations between checkpoints; ours")
    # --- input
    max_side: int = Field(
        640,
        ge=16,
        description="pixels; larger photos are scaled down to it, in training and testing; COCO's most; ours",
    )
    scales: tuple[float, float] = Field(
        (0.5, 1.5), description="a training photo is scaled by a number drawn between these; v2 Sec. 4"
    )
    flip: float = Field(0.5, ge=0, le=1, description="probability of a left-right flip in training; ours: 0.5")
    crop: int = Field(
        320, ge=16, description="side of the training crop in pixels, whole cells; v2's code: 321, cells and one pixel"
    )
    # --- predictions
    test_scales: list[float] = Field(
        [1.0], min_length=1, description="the photo's scales whose probabilities are averaged; v2: 0.5, 0.75, 1 (max)"
    )
    test_flip: bool = Field(False, description="average with the mirrored photo's probabilities; v3 Sec. 4")

    @model_validator(mode="after")
    def _sizes(self):
        if self.crop % self.output_stride:
            raise ValueError(f"crop must be a multiple of output_stride, {self.output_stride}")
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError("scales must be two numbers above 0, the smaller one first")
        if min(self.test_scales) <= 0:
            raise ValueError("test_scales must be above 0")
        if min(self.atrous_rates) < 1:
            raise ValueError("atrous_rates must be at least 1")
        return self
