"""Configuration of `icn`: what maps should become, the network, its schedule, its steps in testing."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Learning

RANKING = ("most", "area", "side", "outline", "background", "alpha", "beta", "gamma", "rebalance")


class Config(Learning):
    """Defaults are ICN's (Sec. 3.2, 4.2, 4.6) where it names a number; no code was released."""

    ONLY_TEST: ClassVar[frozenset[str]] = frozenset({"steps", "threshold"})
    TEST: ClassVar[frozenset[str]] = ONLY_TEST | {"side"}
    TARGETS: ClassVar[frozenset[str]] = frozenset({"target", "top", "matching"})

    # --- targets (Sec. 3.2)
    target: Literal["proposals", "salient"] = Field(
        "proposals",
        description="what a map should become. proposals: the union of the `top` proposals that match it best, by "
        "Eq. 5. salient: the salient instance of `saliency` with the best IoU.",
    )
    top: int = Field(
        3,
        ge=1,
        description="`target: proposals`: so many are united, none that those before cover; ICN's k, Sec. 3.2: 3.",
    )
    matching: dict = Field(
        {},
        description="keys of Eq. 5 by which proposals are ranked for the targets, where they differ from those of the "
        "section `match`.",
    )
    # --- network
    backbone: str = Field(
        "efficientnet_lite0", description="timm architecture; its five levels are fused (ICN, Sec. 3.2: vgg16)."
    )
    weights: str = Field(
        "imagenet",
        description="what it starts with: imagenet (packaged), none (random), hub (timm's, see `classifier.weights`) "
        "or a local .pth, .pt, .safetensors file.",
    )
    frozen_norm: bool = Field(True, description="batch norm keeps its ImageNet statistics, scale and shift; ours.")
    channels: int = Field(64, ge=1, description="of every fused map; ICN names none; ours.")
    fusion: Literal["both", "none"] = Field(
        "both",
        description="both: the chains of CFM and DFM. none: the deepest level alone is mapped (Table 1, w/o CFM and "
        "DFM; which features then, ICN leaves open).",
    )
    use_map: bool = Field(True, description="the network sees the map; false: the photo alone (Table 1, w/o PRM).")
    # --- schedule (Sec. 4.2)
    loss: Literal["both", "printed"] = Field(
        "both",
        description="pixel-wise cross-entropy: both, of instance and background. printed: the term of the instance "
        "alone, as Eq. 4 has it, which an answer of 1 everywhere makes 0.",
    )
    batch: int = Field(16, ge=1, description="maps per iteration; ICN names none; ours.")
    epochs: float = Field(120, gt=0, description="passes over the maps that have a target; ICN, Sec. 4.2: 120.")
    optimiser: Literal["adam", "adamw"] = Field("adam", description="ICN, Sec. 4.2: Adam.")
    rate: float = Field(1e-3, gt=0, description="learning rate; ICN, Sec. 4.2: 1e-3.")
    rate_new: float = Field(1.0, gt=0, description="factor of the rate for layers without ImageNet weights; ours: 1.")
    schedule: Literal["step", "one_cycle"] = Field(
        "step", description="step: ICN, Sec. 4.2. one_cycle: for short schedules, ours."
    )
    drop_every: float = Field(
        20, gt=0, description="`schedule: step`: passes after which the rate is multiplied; ICN, Sec. 4.2: 20."
    )
    gamma: float = Field(0.5, gt=0, le=1, description="`schedule: step`: by this; ICN, Sec. 4.2: 0.5.")
    weight_decay: float = Field(0.0, ge=0, description="of all but biases and norms; ICN names none.")
    clip: float = Field(0.0, ge=0, description="largest norm of the gradient, 0: not clipped; ours: 0.")
    checkpoint_every: int = Field(200, ge=1, description="iterations between checkpoints; ours.")
    # --- input (Sec. 4.2: random flipping and cropping)
    crop: int = Field(320, ge=32, description="side of the square training crop in pixels; ICN names none; ours.")
    scales: tuple[float, float] = Field(
        (0.75, 1.25), description="a training photo is scaled by a number drawn between these; ours."
    )
    longest: int | None = Field(
        None, ge=32, description="pixels; photos with a longer side are first scaled down to it, in training; ours."
    )
    flip: float = Field(0.5, ge=0, le=1, description="probability of a left-right flip in training; ours: 0.5.")
    jitter: float = Field(0.2, ge=0, lt=1, description="brightness and contrast times 1 +- up to this; ours.")
    # --- testing (Sec. 4.6)
    side: int = Field(
        448,
        ge=32,
        le=4096,
        description="square root of the area, in pixels, at which a photo enters in testing; ICN names none; ours.",
    )
    steps: int = Field(3, ge=1, description="times a map goes through the network; ICN, Sec. 4.6, Table 4: 3.")
    threshold: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="the last map, min-max normalised, becomes 1 from here on and 0 below; 0: it stays as it is. ICN, "
        "Sec. 4.6, makes it binary and names no threshold; ours.",
    )

    @model_validator(mode="after")
    def _check(self):
        if self.crop % 32:
            raise ValueError("crop must be a multiple of 32")
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError("scales must be two numbers above 0, the smaller one first")
        if unknown := sorted(set(self.matching) - set(RANKING)):
            raise ValueError(f"matching: {', '.join(unknown)} is none of {', '.join(RANKING)}")
        return self
