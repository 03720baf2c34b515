"""What `bestie` can be told: the instance network, its guidance, the self-refinement, its schedule and its answers.

BESTIE (Kim et al., CVPR 2022) names the numbers of Sec. 4.2; where the paper is silent they are those of its released
code or of Panoptic-DeepLab (Cheng et al., CVPR 2020), and the description says so. Pixels are those of the network's
input.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Learning


class Config(Learning):
    # `run` and `predict` read these; of them training reads all but ONLY_TEST
    ONLY_TEST: ClassVar[frozenset[str]] = frozenset({
        "test_size", "test_threshold", "test_flip", "test_most", "test_whole", "clean_tags",
    })  # fmt: skip
    TEST: ClassVar[frozenset[str]] = ONLY_TEST | {
        "side", "min_area", "window", "cluster", "cluster_offset", "cluster_area", "cluster_threshold",
        "cluster_distance",
    }  # fmt: skip

    # --- network
    backbone: str = Field("efficientnet_lite0", description="timm architecture; BESTIE 4.2: hrnet_w48")
    weights: str = Field(
        "imagenet",
        description="`imagenet`: the packaged weights (efficientnet_lite0, _lite2); `none`: random; `hub`: timm's "
        "from the Hugging Face Hub (see `classifier.weights`); else a local file of the backbone's ImageNet tensors",
    )
    output_stride: Literal[8, 16, 32] = Field(
        32, description="stride of the deepest features, by dilation; Panoptic-DeepLab 3.1: 16 (HRNet: 32)"
    )
    freeze: int = Field(0, ge=0, le=4, description="first stages of the backbone that are not trained; ours: 0")
    atrous_rates: list[int] = Field(
        [3, 6, 9],
        description="cells between the pyramid's samples; Panoptic-DeepLab at stride 32: 3, 6, 9",
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="share of the pyramids' values; Panoptic-DeepLab's code: 0.5")
    aspp_channels: int = Field(256, ge=4, description="channels of the spatial pyramid; Panoptic-DeepLab 3.1: 256")
    semantic_channels: int = Field(256, ge=4, description="of the semantic decoder; Panoptic-DeepLab 3.1: 256")
    instance_channels: int = Field(128, ge=4, description="of the instance decoder; Panoptic-DeepLab 3.1: 128")
    head_channels: int = Field(32, ge=4, description="of the centre and offset heads; Panoptic-DeepLab 3.1: 32")
    low_levels: list[int] = Field(
        [8, 4],
        min_length=1,
        description="strides of the finer features that the decoders take in; Panoptic-DeepLab 3.1: 8, 4",
    )
    # --- guidance (Sec. 3.3, 3.4, Eq. 2 to 6)
    sigma: float = Field(6.0, gt=0, description="standard deviation of a centre's Gaussian, pixels; BESTIE 3.3: 6")
    instance_aware: bool = Field(
        True, description="centre and offset are guided inside labelled instances only; false: everywhere; BESTIE 3.4"
    )
    center_weight: float = Field(200.0, ge=0, description="lambda_center of Eq. 6; BESTIE 3.5: 200")
    offset_weight: float = Field(0.01, ge=0, description="lambda_offset of Eq. 6; BESTIE 3.5: 0.01")
    semantic_weight: float = Field(1.0, ge=0, description="lambda_sem of Eq. 6; BESTIE 3.5: 1")
    semantic_share: float = Field(
        1.0, gt=0, le=1, description="share of the pixels, the worst, that Eq. 5 takes the mean of; BESTIE's code 0.2"
    )
    terms: Literal["sum", "mean"] = Field(
        "sum", description="the pseudo and the refined term of Eq. 3 and 4 are added, as printed; BESTIE's code: mean"
    )
    undecided: Literal["background", "ignore"] = Field(
        "background",
        description="what 255 of a semantic map means in Eq. 5, whose P_sem is all pixels: `background`, as its "
        "maps leave none undecided, or `ignore`, for void pixels of true masks; a map of 255 alone is never used; ours",
    )
    # --- self-refinement (Sec. 3.5)
    refine: bool = Field(True, description="labels refined by the network guide it too; BESTIE 3.5")
    refine_on: Literal["network", "semantic"] = Field(
        "network",
        description='the foreground that is refined: the network\'s own (3.5, "using the network outputs"), or the '
        "semantic map that it learns from (BESTIE's code)",
    )
    refine_from: float = Field(
        0.0, ge=0, le=1, description="share of the schedule after which refinement begins; BESTIE: from the start"
    )
    refine_threshold: float = Field(0.3, gt=0, description="least value of a refined centre; BESTIE's code 0.3")
    refine_most: int = Field(
        5,
        ge=1,
        description="most instances of a component of the semantic map, the strongest; BESTIE's code 5, which leaves a "
        "component of more alone",
    )
    refine_center: Literal["centroid", "peak"] = Field(
        "centroid",
        description="where a refined instance's centre lies: at its pixels' centroid, as in 3.3 and 3.5, or at the "
        "pixel of it where C is largest (BESTIE's code)",
    )
    refine_weight: Literal["center", "center_semantic"] = Field(
        "center",
        description="weight W of a refined instance: C at that centre (Eq. 2), or that times its mean semantic "
        "probability (BESTIE's code)",
    )
    window: int = Field(41, ge=3, description="odd side of the window whose maximum a centre is; BESTIE's code 41")
    min_area: int = Field(50, ge=1, description="least pixels of a component or an instance; BESTIE's code 50")
    cluster: bool = Field(True, description="centres from clusters of small offsets too; BESTIE 3.5")
    cluster_offset: float = Field(2.5, gt=0, description="offsets shorter than this cluster, pixels; BESTIE's code 2.5")
    cluster_area: tuple[int, int] = Field(
        (19, 23), description="least and most pixels of a 4-connected cluster; BESTIE's code: 21, off by less than 3"
    )
    cluster_threshold: float = Field(0.05, ge=0, description="a clustered centre's C is above this; BESTIE's code 0.05")
    cluster_distance: float = Field(
        100.0, ge=0, description="no other centre of its component is nearer than this, pixels; BESTIE's code 100"
    )
    # --- schedule
    batch: int = Field(32, ge=1, description="photos per iteration; BESTIE 4.2: 32")
    epochs: float = Field(70, gt=0, description="passes over the training photos; BESTIE 4.2: 70")
    optimiser: Literal["adam", "adamw"] = Field("adam", description="BESTIE 4.2: Adam")
    rate: float = Field(5e-5, gt=0, description="learning rate; BESTIE 4.2: 5e-5")
    rate_new: float = Field(1.0, gt=0, description="factor of the rate for layers without ImageNet weights; ours: 1")
    power: float = Field(0.9, gt=0, description="rate x (1 - iteration / iterations)^power; BESTIE's code 0.9")
    weight_decay: float = Field(0.0, ge=0, description="of all but biases and norms; ours: 0")
    clip: float = Field(0.0, ge=0, description="largest norm of the gradient, 0: not clipped; ours: 0")
    checkpoint_every: int = Field(200, ge=1, description="iterations between checkpoints; ours")
    # --- input
    size: int = Field(416, ge=32, description="side of the square training crop, pixels; BESTIE 4.2: 416")
    scales: tuple[float, float] = Field(
        (0.5, 1.5), description="a training photo is scaled by a number drawn between these; ours"
    )
    side: int | None = Field(
        None,
        ge=32,
        description="longest side at which a photo enters at scale 1, larger ones are scaled down, in training and "
        "testing; null: as it is (BESTIE 4.2)",
    )
    flip: float = Field(0.5, ge=0, le=1, description="probability of a left-right flip in training; ours: 0.5")
    jitter: float = Field(0.2, ge=0, lt=1, description="brightness and contrast times 1 +- up to this; ours")
    # --- refined labels over training time (Fig. 6)
    snapshots: int = Field(
        0, ge=0, description="how often, at equal intervals, labels of training photos are saved; Fig. 6"
    )
    snapshot_photos: int = Field(
        100, ge=1, description="how many training photos those are, the first of the split with_masks, else of train"
    )
    # --- answers (Sec. 3.2)
    test_size: float = Field(1.0, gt=0, le=4, description="factor of the photo's size in testing; BESTIE 4.2: 1")
    test_threshold: float = Field(0.1, gt=0, description="least value of a centre in testing; BESTIE's code 0.1")
    test_most: int = Field(100, ge=1, description="most instances of a component, the strongest; ours")
    test_whole: bool = Field(
        True, description="a component without a centre is one instance, its centre where C is largest; BESTIE's code"
    )
    test_flip: bool = Field(True, description="average with the mirrored photo; BESTIE's code")
    clean_tags: bool = Field(True, description="on training photos classes without a tag give no instance; ours")

    @model_validator(mode="after")
    def _check(self):
        if self.size % 32:
            raise ValueError("size must be a multiple of 32")
        if self.low_levels != sorted(set(self.low_levels), reverse=True) or self.low_levels[0] >= self.output_stride:
            raise ValueError("low_levels must be falling strides below output_stride")
        if self.window % 2 == 0:
            raise ValueError("window must be odd")
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError("scales must be two numbers above 0, the smaller one first")
        if not 1 <= self.cluster_area[0] <= self.cluster_area[1]:
            raise ValueError("cluster_area must be two numbers, the smaller one first")
        return self
