"""What `refine` can be told: Mask R-CNN's architecture, its schedule, its input sizes and its predictions.

The papers train Mask R-CNN by its "default settings" (LIID, Sec. 6.1) or "the official training recipe" (BESTIE,
Sec. 4.2), so the defaults are those of detectron2's R50-FPN 1x (`det2`); Fan (Sec. 5) states its own rate: 2e-3,
divided by 10 after 5 epochs.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Learning


class Config(Learning):
    ONLY_TEST: ClassVar[frozenset[str]] = frozenset({"score_threshold", "nms", "detections", "mask_threshold"})
    TEST: ClassVar[frozenset[str]] = ONLY_TEST | {"test_short_side", "max_side", "rpn_pre_nms", "rpn_post_nms"}

    @classmethod
    def taught_by(cls, values):
        """All, where a later round learns from predictions."""
        return super().taught_by(values) | (cls.ONLY_TEST if values["rounds"] > 1 else set())

    # --- network
    backbone: str = Field(
        "efficientnet_lite0",
        description="name of a timm network, or `R-50`: detectron2's own ResNet-50 (LIID Sec. 5.3, CIM Sec. 4.2)",
    )
    weights: str = Field(
        "imagenet",
        description="`imagenet`: the packaged weights; `none`: random; `hub`: timm's from the Hugging Face Hub (see "
        "`classifier.weights`); else a file of the backbone's tensors (for R-50 by torchvision's or timm's names)",
    )
    freeze_stages: int = Field(
        2, ge=0, le=5, description="first stages of the backbone that are not trained (strides 2, 4, ...); det2: 2"
    )
    fpn_channels: int = Field(256, ge=8, description="channels of every pyramid level; FPN Sec. 4: 256")
    fpn_levels: list[int] = Field(
        [2, 3, 4, 5, 6], min_length=1, description="pyramid levels, level l has stride 2^l; 6 is pooled from 5; det2"
    )
    anchor_sizes: list[float] = Field(
        [32, 64, 128, 256, 512], description="side of a level's anchors in pixels of the network's input; FPN Sec. 4.1"
    )
    anchor_ratios: list[float] = Field([0.5, 1.0, 2.0], min_length=1, description="height / width; FPN Sec. 4.1")
    roi_canonical_size: int = Field(
        224, ge=1, description="pixels; a box of this side is pooled from roi_canonical_level; FPN eq. 1"
    )
    roi_canonical_level: int = Field(4, ge=1, le=6, description="FPN eq. 1, k_0")
    rpn_batch: int = Field(256, ge=2, description="anchors sampled per photo; Faster R-CNN Sec. 3.1.3")
    rpn_pre_nms: tuple[int, int] = Field((2000, 1000), description="boxes a level, training and testing; det2")
    rpn_post_nms: tuple[int, int] = Field((1000, 1000), description="proposals a photo, training and testing; det2")
    roi_batch: int = Field(512, ge=2, description="proposals sampled per photo; Mask R-CNN Sec. 3.1 (with FPN)")
    roi_positive: float = Field(0.25, gt=0, lt=1, description="share of them that are objects; Mask R-CNN Sec. 3.1")
    roi_samples: int = Field(0, ge=0, description="ROIAlign's samples a side and bin; 0: as many as pixels; det2")
    box_resolution: int = Field(7, ge=1, description="bins a side of the box head; Mask R-CNN Fig. 4")
    box_channels: int = Field(1024, ge=8, description="width of the box head's two layers; Mask R-CNN Fig. 4")
    mask_resolution: int = Field(14, ge=2, description="bins a side of the mask head, its output has twice; Fig. 4")
    mask_layers: int = Field(4, ge=0, description="3x3 convolutions of the mask head; Mask R-CNN Fig. 4")
    mask_channels: int = Field(256, ge=8, description="their channels; Mask R-CNN Fig. 4")
    # --- schedule
    images: Literal["with_masks", "all"] = Field(
        "all",
        description="photos to train on: the split with_masks (like with like), or every training photo",
    )
    batch: int = Field(16, ge=1, description="photos per iteration, over all devices; det2")
    iterations: int = Field(90_000, ge=1, description="det2's 1x schedule")
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="det2: SGD; AdamW for short schedules, ours")
    learning_rate: float = Field(0.02, gt=0, description="at `rate_batch` photos an iteration; det2; Fan Sec. 5: 2e-3")
    rate_batch: int = Field(
        16, ge=1, description="the learning rate is scaled by batch / rate_batch (linear rule); det2"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD; det2, Fan Sec. 5")
    weight_decay: float = Field(1e-4, ge=0, description="of all but normalisation layers; det2, Fan Sec. 5")
    weight_decay_norm: float = Field(0.0, ge=0, description="of the scale and shift of normalisation layers; det2")
    schedule: Literal["step", "one_cycle"] = Field("step", description="det2: step; one_cycle: ours, for short runs")
    steps: list[int] = Field([60_000, 80_000], description="iterations after which the rate is multiplied; det2 1x")
    gamma: float = Field(0.1, gt=0, le=1, description="by this; det2, Fan Sec. 5")
    warmup: int = Field(1000, ge=0, description="iterations of linear warm-up; det2")
    clip: float = Field(0.0, ge=0, description="largest norm of the gradient, 0: not clipped; det2: 0")
    checkpoint_every: int = Field(500, ge=1, description="iterations between checkpoints; ours")
    # --- input
    short_side: list[int] = Field(
        [640, 672, 704, 736, 768, 800], min_length=1, description="pixels, one is drawn per photo in training; det2"
    )
    max_side: int = Field(1333, ge=32, description="pixels, the longer side is never more; det2")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a left-right flip in training; det2")
    # --- incomplete labels
    ignore: float | None = Field(
        None,
        gt=0,
        le=1,
        description="an anchor or proposal that matches no label is not sampled as background where at least this "
        "share of its pixels is foreground without a label: a tag's class in the recipe's semantic maps, or void; "
        "null: all are background, as in the papers; ours",
    )
    score_weight: bool = Field(
        False,
        description="what is sampled for a label weighs in all losses as much as the label's score over the mean score "
        "of all labels, background 1; ours",
    )
    rounds: int = Field(
        1,
        ge=1,
        le=4,
        description="trainings from the start, each of the whole schedule; from the second on the one before adds what "
        "it sees on its training photos to the labels, by the thresholds of its predictions; 1: none, as in the "
        "papers; ours",
    )
    round_score: float = Field(0.7, ge=0, le=1, description="least score of what a round adds; ours")
    round_iou: float = Field(
        0.3, ge=0, le=1, description="a round adds no mask that overlaps a label, or a better one added, by more; ours"
    )
    # --- predictions
    test_short_side: int = Field(800, ge=32, description="pixels; det2")
    score_threshold: float = Field(0.05, ge=0, le=1, description="detections below it are dropped; det2")
    nms: float = Field(0.5, gt=0, le=1, description="box IoU of the class-wise suppression; Mask R-CNN Sec. 3.1")
    detections: int = Field(100, ge=1, description="at most so many per photo; Mask R-CNN Sec. 3.1, COCO's rule")
    mask_threshold: float = Field(0.5, gt=0, lt=1, description="of the mask's probability; Mask R-CNN Sec. 3.1")

    @model_validator(mode="after")
    def _levels(self):
        levels = self.fpn_levels
        if levels != list(range(levels[0], levels[-1] + 1)) or not 2 <= levels[0] <= levels[-1] <= 6:
            raise ValueError("fpn_levels must be consecutive numbers from 2 to 6")
        if levels[0] == 6:
            raise ValueError("fpn_levels needs a level below 6")
        if len(self.anchor_sizes) != len(levels):
            raise ValueError("anchor_sizes needs one size per entry of fpn_levels")
        return self
