"""What `cim` can be told: its proposals and cues, the network, mining, losses, schedule and answers.

CIM (Li et al., IJCAI 2023) names the numbers of Sec. 3 and 4.2; where the paper is silent they are those of its
released code, and the description says so.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Learning


class Config(Learning):
    # `run` and `predict` read these; of them training reads all but ONLY_TEST
    ONLY_TEST: ClassVar[frozenset[str]] = frozenset({
        "test_sides", "test_flip", "test_floor", "test_nms", "test_most", "label_floor", "label_best",
    })  # fmt: skip
    TEST: ClassVar[frozenset[str]] = ONLY_TEST | {"most", "sides", "longest"}

    # --- proposals and cues
    cues: Literal["peaks", "points"] = Field(
        "peaks",
        description="what the first labels are made from: peaks of the class maps (Sec. 3.2; the variant of `cam` says "
        "which), or the dataset's points (`dataset.points`; CIM-p)",
    )
    cue_floor: float = Field(
        0.0,
        ge=0,
        le=1,
        description="least score of a cue, in [0, 1] as the peaks have it (PRM's are above 0.5 and order as the "
        "response does); ours: all that `cam` found",
    )
    most: int | None = Field(
        None,
        ge=1,
        description="proposals of a photo that take part, the best-ranked; null: all that `proposals` left (its "
        "count, nms_iou, min_area); CIM takes all of COB's",
    )
    without_cues: Literal["background", "left_out"] = Field(
        "background",
        description="what the first labels of a photo without any cue are: background (CIM's code), or none; ours: "
        "left_out for points, where nobody clicked",
    )
    # --- first labels (Sec. 3.2)
    agpl: bool = Field(
        True, description="clusters of proposals teach the anti-noise branch; false: tags alone; Table 4"
    )
    support: float = Field(
        0.7, gt=0, lt=1, description="a support mask is where more than this share of a peak's proposals is; Eq. 1: 0.7"
    )
    support_iou: float = Field(
        0.5, gt=0, lt=1, description="a proposal above this IoU with a support mask has its class; Eq. 2: 0.5"
    )
    # --- network (Sec. 3.3, 3.4)
    backbone: str = Field("efficientnet_lite0", description="timm architecture; CIM 4.2: resnet50, vgg16, hrnet_w48")
    weights: str = Field(
        "imagenet",
        description="`imagenet`: the packaged weights (efficientnet_lite0, _lite2); `none`: random; `hub`: timm's "
        "from the Hugging Face Hub (see `classifier.weights`); else a local file of the backbone's ImageNet tensors",
    )
    from_classifier: bool = Field(
        False,
        description="the backbone begins as the classifier's, which knows the photos' tags, where both have the same "
        "layers; ours, for schedules too short to learn them again",
    )
    output_stride: Literal[8, 16, 32] = Field(
        16,
        description="stride of the features in px of the resized photo; CIM's code 16 (ResNet-50 to its third block)",
    )
    dilate: bool = Field(
        False, description="true: all of the backbone, dilated; false: its layers up to `output_stride`; CIM's code"
    )
    freeze: int = Field(
        2,
        ge=0,
        le=4,
        description="first stages that are not trained; CIM's code: ResNet's stem and first block, 2 here",
    )
    frozen_norm: bool = Field(True, description="batch norm keeps its statistics, scale and shift; CIM's code")
    roi: int = Field(7, ge=1, le=32, description="h = w of B, the RoIAlign bins a side; CIM's code 7 (Sec. 3.3)")
    fuse_channels: int | None = Field(
        None, ge=1, description="outputs of MaskFuse's convolution; null: as many as B has, CIM's code"
    )
    widths: tuple[int, int] = Field(
        (4096, 4096), description="of MaskFuse's two fully connected layers; CIM's code 4096, 4096"
    )
    branches: int = Field(3, ge=0, le=8, description="K, refinement branches; CIM Eq. 8: 3")
    integrity: bool = Field(True, description="the branches have MaskIoU heads; false: classes alone; Table 4")
    # --- mining (Sec. 3.5, Algorithm 1)
    mining: Literal["cim", "mist"] = Field(
        "cim",
        description="pseudo ground truth: the most integral proposals that contain a seed (Algorithm 1), or the seeds "
        "themselves (MIST; Table 4)",
    )
    seed_share: float = Field(0.1, gt=0, le=1, description="p_seed, share of the proposals that may be seeds; 4.2: 0.1")
    contain: float = Field(0.85, gt=0, lt=1, description="tau_con, share of a seed that lies in what contains it; 4.2")
    seed_nms: float | None = Field(
        None, gt=0, le=1, description="tau_nms, seeds overlap less than this; null: tau_cls of the branch; 4.2"
    )
    big: float = Field(
        0.9,
        gt=0,
        le=1,
        description="a proposal that contains at least this share of all proposals is background and never mined; "
        "CIM's code 0.9",
    )
    class_iou: float = Field(0.25, ge=0, lt=1, description="tau_cls of the first branch, Eq. 4; 4.2: 0.25")
    integrity_iou: float = Field(0.5, ge=0, lt=1, description="tau_iou of the first branch, Eq. 5; 4.2: 0.5")
    cascade: float = Field(0.1, ge=0, lt=1, description="tau_cas, added to both from branch to branch; 3.5, 4.2: 0.1")
    sampling: bool = Field(True, description="anti-noise sampling of the pseudo ground truth; Sec. 3.6, Table 6")
    # --- losses (Eq. 3, 7, 8)
    pcl_weight: float = Field(12.0, ge=0, description="alpha of Eq. 7: 12")
    pcl: Literal["positive", "binary"] = Field(
        "positive",
        description="second term of Eq. 7: the log of a cluster's own class alone, as printed; or binary cross-entropy "
        "over all K + 1 classes (CIM's code)",
    )
    first_weight: float = Field(1.0, ge=0, description="factor of the first branch's loss; Eq. 8: 1, CIM's code 3")
    integrity_weight: float = Field(1.0, ge=0, description="factor of Eq. 3's second term; 1, CIM's code 3")
    bag_weight: float = Field(
        0.0,
        ge=0,
        description="factor of a tag loss of every branch, on its best scores; not in the paper: 0, CIM's code 1",
    )
    # --- schedule (Sec. 4.2)
    batch: int = Field(4, ge=1, description="photos an iteration; 4.2: 4")
    iterations: int = Field(45_000, ge=1, description="4.2: 45,000 (VOC), 240,000 (COCO)")
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="4.2: SGD; adamw for short schedules, ours")
    rate: float = Field(2.5e-4, gt=0, description="learning rate; 4.2: 2.5e-4")
    rate_new: float = Field(1.0, gt=0, description="factor of the rate for layers without ImageNet weights; ours: 1")
    bias_rate: float = Field(1.0, gt=0, description="factor of the biases' rate; not in the paper: 1, CIM's code 2")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD; CIM's code 0.9")
    weight_decay: float = Field(5e-4, ge=0, description="of all but biases and norms; 4.2: 5e-4")
    schedule: Literal["step", "one_cycle"] = Field(
        "step", description="step: x0.1 at `drops` (4.2); one_cycle: rise for 30 %, then fall to nearly 0, ours"
    )
    drops: tuple[float, ...] = Field(
        (2 / 3,), description="parts of the schedule after which the rate is a tenth; CIM's code 2/3 (COCO 5/6)"
    )
    gamma: float = Field(0.1, gt=0, le=1, description="factor of the rate at a drop; 4.2: 0.1")
    warmup: int = Field(500, ge=0, description="iterations of a linear rise of the rate; CIM's code 500")
    warmup_start: float = Field(1 / 3, gt=0, le=1, description="part of the rate that it begins with; CIM's code 1/3")
    clip: float = Field(0.0, ge=0, description="largest norm of the gradient, 0: not clipped; ours: 0")
    checkpoint_every: int = Field(500, ge=1, description="iterations between checkpoints; ours")
    # --- input (Sec. 4.2)
    sides: tuple[int, ...] = Field(
        (480, 576, 688, 864, 1200),
        min_length=1,
        description="short sides in px, one drawn a photo; testing averages them; 4.2",
    )
    longest: int = Field(2000, ge=32, description="most px of the longer side; CIM's code 2000")
    flip: bool = Field(True, description="mirror half of the training photos, with their proposals; 4.2")
    # --- what it says over training time (Fig. 4)
    snapshots: int = Field(
        0, ge=0, description="how often, at equal intervals, scores of proposals are saved (at the middle side); Fig. 4"
    )
    snapshot_photos: int = Field(
        100, ge=1, description="how many training photos those are, the first of the split with_masks, else of train"
    )
    # --- answers (Sec. 4.2)
    test_sides: tuple[int, ...] | None = Field(None, description="short sides in testing, px; null: `sides`; 4.2")
    test_flip: bool = Field(True, description="average with the mirrored photo; 4.2")
    test_floor: float = Field(1e-5, ge=0, description="an answer's score is above this; CIM's code 1e-5")
    test_nms: float = Field(
        0.3, gt=0, le=1, description="box IoU above which the weaker of a class goes; CIM's code 0.3"
    )
    test_most: int = Field(100, ge=1, description="answers a photo, the best; CIM's code 100")
    label_floor: float = Field(
        0.3,
        ge=0,
        le=1,
        description="a training photo's label, of a tagged class, has a score above this; CIM's code 0.3",
    )

    label_best: bool = Field(
        False,
        description="the best answer of every tagged class is a label whatever its score, as weak detectors "
        "have it (OICR); ours, for schedules too short for scores above label_floor",
    )

    @model_validator(mode="after")
    def _check(self):
        last = max(self.class_iou, self.integrity_iou) + max(0, self.branches - 1) * self.cascade
        if last >= 1:
            raise ValueError(f"cascade: the last branch's threshold would be {last:g}, which no overlap exceeds")
        if self.mining == "cim" and not self.integrity and self.branches > 1:
            raise ValueError("integrity: false leaves mining: cim nothing to choose by; set mining to mist")
        if min(self.widths) < 1:
            raise ValueError("widths must be two numbers of at least 1")
        for name in ("sides", "test_sides"):
            if getattr(self, name) is not None and min(getattr(self, name), default=0) < 32:
                raise ValueError(f"{name} must be one or more numbers of at least 32")
        if any(not 0 < part < 1 for part in self.drops):
            raise ValueError("drops must lie between 0 and 1: they are parts of the schedule")
        return self
