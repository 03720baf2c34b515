"""Configuration of `prm`: peak response maps."""

from typing import Literal

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    """Peak back-propagation (PRM); the peaks are those of `cam`."""

    size: int | None = Field(
        None,
        ge=32,
        le=4096,
        description="Square root of the area, in pixels, at which a photo enters the network; none: the classifier's "
        "training size (PRM 448).",
    )
    output_stride: Literal[8, 16, 32] | None = Field(
        None, description="Stride of the class maps in network pixels, by dilation; none: the classifier's; ours."
    )
    side: int = Field(
        224,
        ge=16,
        le=4096,
        description="Square root of a map's area in cells, at most the network's pixels: means over these are kept; "
        "ours, for the store (PRM: the network's pixels).",
    )
    peaks_at_once: int | None = Field(
        None,
        ge=1,
        description="Peaks of a photo that go back through the network together, which changes no map; none: 16 on a "
        "GPU, 1 on a CPU, whose caches hold the gradients of one; ours.",
    )
