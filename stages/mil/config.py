"""Configuration of the stage `mil`: class probabilities p and a feature f for the kept proposals of every photo."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Learning


class Config(Learning):
    """Defaults are LIID's (Sec. 4, 6.1); the variant `attention` is Fan's (Sec. 3.1, 3.2)."""

    ONLY_TEST: ClassVar[frozenset[str]] = frozenset({"relative", "features", "nodes"})
    # what the training of scores `network` reads and that of `attention` does not
    OF_PROPOSALS: ClassVar[frozenset[str]] = frozenset({
        "keep", "select", "hcp_area", "hcp_aspect", "pooling", "terms", "eta", "lse", "positive_norm", "cam_loss",
        "mil_loss", "roi", "roi_kind",
    })  # fmt: skip
    TEST: ClassVar[frozenset[str]] = ONLY_TEST | {
        "scores", "keep", "select", "hcp_area", "hcp_aspect", "backbone", "weights", "size", "output_stride", "dilate",
        "last_conv", "roi", "roi_kind",
    }  # fmt: skip

    @classmethod
    def taught_by(cls, values):
        """Fan's extractor learns from whole photos: how proposals are chosen and pooled teaches it nothing."""
        return super().taught_by(values) - (cls.OF_PROPOSALS if values["scores"] == "attention" else set())

    # --- what p and f are
    scores: Literal["cam", "network", "attention"] = Field(
        "network",
        description="where p comes from: network, the trained network's softmax (LIID Eq. 2); cam, the CAM's mean in "
        "the box, rows divided by their sum, nothing is trained (ours); attention, the mean of the attention map in "
        "the box (Fan Eq. 2), rows left as they are, with f from the trained extractor",
    )
    relative: bool = Field(
        False,
        description="scores cam: divide a class's box means by their largest among the photo's kept proposals, so that "
        "every tag has a proposal with score 1; without it a narrow CAM leaves nearly all to the background; ours",
    )
    features: Literal["roi", "crop"] = Field(
        "roi",
        description="f: roi, pooled from the whole photo's feature map (LIID 4.1); crop, the box cut out, resized to "
        "size x size and averaged after the backbone (Fan 3.2)",
    )
    # --- what is learned from, and what is scored
    keep: int = Field(20, ge=1, le=2000, description="proposals per photo: 20 for VOC, 40 for COCO (LIID 6.1)")
    select: Literal["ranking", "hcp"] = Field(
        "ranking",
        description="ranking, the first `keep` in rank order (ours); hcp, the filter that LIID 6.1 names "
        "(arXiv 1406.5726): one of each cluster of boxes",
    )
    nodes: Literal["proposals", "salient"] = Field(
        "proposals",
        description="what gets p and f and is a node of the graph: proposals, those that `select` keeps for the "
        "training; salient, all salient instances of the photo from the stage saliency (LIID 6.1, Fan 3), where a "
        "photo without any has no node and so no label",
    )
    hcp_area: float = Field(
        0.005, ge=0, lt=1, description="hcp drops boxes of a smaller share of the photo; ours (30 x 30 px of VOC's)"
    )
    hcp_aspect: float = Field(
        4.0, ge=1, description="hcp drops boxes whose longer side is more than so many times the shorter; ours"
    )
    # --- pseudo labels and losses (LIID 4.2)
    pooling: Literal["box", "mask"] = Field("box", description="region of R in Eq. 3; LIID 4.2.1 box, Table 4 both")
    terms: Literal["both", "mean", "max"] = Field("both", description="terms of R in Eq. 3; LIID both, Table 3 each")
    eta: float = Field(0.75, ge=0, le=2, description="eta of Eq. 3: below it a proposal is background; LIID Table 5")
    lse: float = Field(5.0, gt=0, description="r of Eq. 5: towards 0 the mean of p, towards infinity its maximum; LIID")
    positive_norm: Literal["absent", "present"] = Field(
        "absent",
        description="Eq. 6 divides the sum over the present classes by the number of absent ones (as printed) or of "
        "present ones",
    )
    cam_loss: float = Field(0.5, ge=0, description="alpha of Eq. 9, weight of the CAM-based loss (Eq. 4); LIID Table 2")
    mil_loss: float = Field(0.5, ge=0, description="beta of Eq. 9, weight of the MIL loss (Eq. 6); LIID Table 2")
    center_loss: float = Field(
        0.1,
        ge=0,
        description="gamma of Eq. 9, weight of the centre loss (Eq. 7), LIID Table 1; lambda of Fan Eq. 3: 1e-3",
    )
    center_rate: float = Field(
        0.01, ge=0, le=1, description="theta of Eq. 8, step of the centres, LIID Table 1; alpha of Fan Eq. 4: 0.5"
    )
    # --- network
    backbone: str = Field("efficientnet_lite0", description="timm architecture (LIID 4.1: ResNet-50; Fan 3.2: ResNet)")
    weights: str = Field(
        "imagenet",
        description="what it starts with: imagenet (packaged), none (random), hub (timm's, see `classifier.weights`) "
        "or a local .pth, .pt, .safetensors file",
    )
    size: int = Field(
        448,
        ge=32,
        le=2048,
        description="square root of the area in px at which a photo enters the backbone, side of a crop with features "
        "crop; the code of LIID has 448, Fan's ImageNet crops are 224",
    )
    output_stride: Literal[8, 16, 32] = Field(
        16, description="stride of the feature map in px of the resized photo; later stages are dilated; ours"
    )
    dilate: bool = Field(
        True, description="true: all of the backbone, dilated; false: only its layers up to `output_stride`; ours"
    )
    last_conv: bool = Field(
        True, description="use the backbone's own last 1x1 convolution (EfficientNet's 1280 channels), if any; ours"
    )
    roi: int = Field(7, ge=1, le=32, description="RoI bins per side before the mean over them (LIID 4.1, RoI pooling)")
    roi_kind: Literal["pool", "align"] = Field(
        "pool",
        description="a bin's value: pool, the largest of its cells (Fast R-CNN's RoI pooling, which LIID 4.1 cites); "
        "align, the mean of bilinear samples (Mask R-CNN's RoIAlign; ours)",
    )
    # --- schedule (LIID 6.1)
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="LIID: SGD; adamw for short schedules, ours")
    rate: float = Field(5e-4, gt=0, description="learning rate; LIID 6.1")
    rate_new: float = Field(1.0, gt=0, description="factor of the rate for the new fully connected layer; ours")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD; LIID 6.1")
    weight_decay: float = Field(1e-4, ge=0, description="of all but biases; LIID 6.1")
    schedule: Literal["step", "one_cycle"] = Field(
        "step", description="step: x0.1 at `drops` (LIID); one_cycle: rise for 30 %, then fall to nearly 0, ours"
    )
    epochs: float = Field(
        10, ge=0, description="passes over the training photos, LIID 6.1; 0: Fan's extractor stays as ImageNet left it"
    )
    drops: tuple[float, ...] = Field((5,), description="epochs after which the rate is divided by 10; LIID 6.1")
    batch: int = Field(1, ge=1, description="photos an iteration; LIID 6.1")
    freeze: int = Field(0, ge=0, le=4, description="the backbone's first stages that are not trained; ours")
    frozen_norm: bool = Field(True, description="batch norm keeps its statistics, scale and shift: one photo has none")
    flip: bool = Field(True, description="mirror half of the photos, with their boxes; ours")
    labelled_folder: str | None = Field(
        None,
        description="scores attention: folder with one sub-folder of photos per class on which the extractor learns "
        "(Fan 3.2: ImageNet); null: the training photos with a single tag",
    )
    checkpoint_every: int = Field(500, ge=1, description="iterations between checkpoints; ours")

    @model_validator(mode="after")
    def _learns(self):
        if self.scores == "network" and self.cam_loss == self.mil_loss == 0:
            raise ValueError("cam_loss and mil_loss must not both be 0: nothing would tell the classes apart")
        if self.scores == "network" and self.epochs == 0:
            raise ValueError("epochs must be above 0 with scores network: its scores are learned")
        return self
