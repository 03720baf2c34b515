"""Configuration of `saliency`."""

from typing import Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Section


class Config(Section):
    """Class-agnostic saliency of every photo, and what of it is an instance."""

    source: Literal["rbd", "u2netp", "folder"] = Field(
        "rbd",
        description="rbd: robust background detection (Zhu et al. 2014), which learns from nothing; u2netp: U2-Netp "
        "(Qin et al. 2020), which learned from the masks of DUTS, its packaged weights at 320 px; folder: maps made "
        "elsewhere (`path`)",
    )
    path: str | None = Field(
        None,
        description="source folder: folder of grey PNGs <image id>.png (8 or 16 bits, white stands out) of the photos' "
        "sizes, relative to the folder the workflow runs in",
    )
    threshold: float = Field(
        0.5, gt=0, le=1, description="a pixel is of an instance where its saliency is at least this; ours"
    )
    least_area: float = Field(0.01, ge=0, lt=1, description="least area of an instance, as a share of the photo; ours")
    keep: int = Field(2, ge=1, description="most instances a photo (Fan, Sec. 3: S4Net gives 1.8 a photo)")

    @model_validator(mode="after")
    def _path(self):
        if self.source == "folder" and not self.path:
            raise ValueError("source folder needs `path`, the folder of grey PNGs")
        return self
