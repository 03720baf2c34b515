"""Configuration of `cam`: class activation maps of tagged classes, and their peaks."""

from typing import Literal

from pydantic import Field, field_validator

from tag2mask.run.config import Section


class Config(Section):
    """Defaults: maps as LIID 4.2.1 normalises them (or Fan 3.1); peaks as BESTIE's code finds them (or PRM)."""

    size: int | None = Field(
        None,
        ge=32,
        le=4096,
        description="Square root of the area, in pixels, at which a photo enters the network at scale 1; none: the "
        "classifier's training size.",
    )
    output_stride: Literal[8, 16, 32] | None = Field(
        None, description="Stride of the maps in network pixels, by dilation; none: the classifier's; ours."
    )
    scales: tuple[float, ...] = Field(
        (1.0,),
        description="Factors of `size` over which maps are averaged, on the grid of the largest; BESTIE 1, IRN's code "
        "0.5, 1, 1.5 and 2.",
    )
    normalise: Literal["maximum", "sigmoid"] = Field(
        "maximum",
        description="maximum: negative values to 0, each map over its own maximum (LIID 4.2.1). sigmoid: the attention "
        "map, the sigmoid of the score map with its bias, so that values compare between photos and classes (Fan 3.1).",
    )
    flip: bool = Field(True, description="Average with the mirrored photo; BESTIE's code (PRM's: no).")
    images_at_once: int | None = Field(
        None,
        ge=1,
        description="Images, photos of one size and their mirror images, that go through the network together; none: "
        "16 on a GPU, 1 on a CPU, where more take memory and no less time; ours.",
    )
    peaks: Literal["window", "median", "gaussian"] = Field(
        "window",
        description="window: maxima of the normalised map at photo resolution, see `mean_filter`, `window` and `floor` "
        "(BESTIE's code). median: maxima of a 3x3 window of the map enlarged by `classifier.enlarge`, above the map's "
        "own median and `peak_floor`, on the maps averaged over `scales` and `flip` but not normalised (PRM). "
        "gaussian: places of the normalised map that rise above its Gaussian mean and its own mean, see `sigma` (ICN "
        "3.1, Eq. 1).",
    )
    peak_floor: float = Field(
        10.0,
        description="`peaks: median`: the class response at a peak is above this, in logits: the enlarged map with the "
        "class's bias, whose mean over the peaks is the logit of the head prm; CIM's use of PRM 10, PRM's demo 30.",
    )
    sigma: float = Field(
        48.0,
        gt=0,
        le=1024,
        description="`peaks: gaussian`: standard deviation of the Gaussian filter G in network pixels; ICN gives none; "
        "ours.",
    )
    mean_filter: int = Field(
        3,
        ge=1,
        le=31,
        description="`peaks: window`: odd side, in photo pixels, of the mean filter before the search; BESTIE 3.",
    )
    window: int = Field(
        15,
        ge=3,
        le=255,
        description="`peaks: window`: odd side, in photo pixels, of the window whose maximum a peak is; BESTIE 15.",
    )
    floor: float = Field(
        0.1, ge=0, le=1, description="`peaks: window`: least score of a peak, the filtered map's value; BESTIE 0.1."
    )
    join: float | None = Field(
        None,
        gt=0,
        le=1,
        description="two peaks are one where the map on the best way between them stays at this share of the lower one "
        "or above, heights counted from 0 (`peaks: median`: from the map's median); null: they stay two; ours.",
    )
    most: int = Field(25, ge=1, description="At most this many peaks a class and photo, the strongest; BESTIE 25.")

    @field_validator("mean_filter", "window")
    @classmethod
    def _odd(cls, value):
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value

    @field_validator("scales")
    @classmethod
    def _positive(cls, value):
        if not value or min(value) <= 0 or max(value) > 4:
            raise ValueError("must be one or more factors above 0 and at most 4")
        return value
