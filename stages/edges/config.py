"""Configuration of `edges`."""

from typing import Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Section


class Config(Section):
    """Boundaries of every photo."""

    source: Literal["hed", "folder"] = Field(
        "hed",
        description="hed: HED on VGG-16 (Xie and Tu 2015), which learned from the boundaries of BSDS500, its packaged "
        "weights; folder: maps made elsewhere (`path`)",
    )
    path: str | None = Field(
        None,
        description="source folder: folder of grey PNGs <image id>.png (8 or 16 bits, white is a boundary) of the "
        "photos' sizes, relative to the folder the workflow runs in",
    )
    side: int = Field(
        448,
        ge=32,
        le=4096,
        description="source hed: square root of the area, in pixels, at which a photo enters the network and its map "
        "is kept; smaller photos enter as they are, as all do in HED's code (BSDS500's have 393); ours",
    )
    int8: bool = Field(
        False,
        description="source hed: 8-bit integers in the convolutions, on a CPU: a third to a half of the time, maps "
        "that differ by about 0.003 (nothing is calibrated); on a GPU, or where torch lacks oneDNN, float32 all the "
        "same; ours",
    )

    @model_validator(mode="after")
    def _path(self):
        if self.source == "folder" and not self.path:
            raise ValueError("source folder needs `path`, the folder of grey PNGs")
        return self
