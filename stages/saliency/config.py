"""Configuration of `saliency`."""

from typing import Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Section


class Config(Section):
    """Class-agnostic saliency of every photo, and what of it is an instance."""

    source: Literal["rbd", "u2netp", "folder", "instances"] = Field(
        "rbd",
        description="rbd: robust background detection (Zhu et al. 2014), which learns from nothing; u2netp: U2-Netp "
        "(Qin et al. 2020), which learned from the masks of DUTS, its packaged weights at 320 px; folder: maps made "
        "elsewhere (`path`); instances: salient instances made elsewhere, such as S4Net's (`path`), the map is 1 on "
        "them",
    )
    path: str | None = Field(
        None,
        description="relative to the folder the workflow runs in; source folder: folder of grey PNGs <image id>.png (8 "
        "or 16 bits, white stands out) of the photos' sizes; source instances: JSON list of {image_id, segmentation, "
        "score}, or a COCO document of them, all photos in one",
    )
    threshold: float = Field(
        0.5,
        gt=0,
        le=1,
        description="a pixel is of an instance where its saliency is at least this; instances: not read; ours",
    )
    least_area: float = Field(0.01, ge=0, lt=1, description="least area of an instance, as a share of the photo; ours")
    keep: int = Field(2, ge=1, description="most instances a photo (Fan, Sec. 3: S4Net gives 1.8 a photo)")
    rbd_size: int = Field(
        300, ge=32, le=2048, description="rbd: square root of the area in px at which larger photos enter it; ours"
    )
    rbd_superpixels: int = Field(250, ge=4, le=2000, description="rbd: most superpixels; ours")
    rbd_colour: float = Field(
        10.0, gt=0, description="rbd: Lab units that are one colour; Zhu et al. 2014, Sec. 3.2, sigma_clr"
    )
    rbd_border: float = Field(1.0, gt=0, description="rbd: border connectivity of background; Sec. 4, sigma_bndCon")
    rbd_place: float = Field(
        0.25, gt=0, description="rbd: reach of contrast, parts of the photo's longer side; Sec. 4, sigma_spa"
    )
    rbd_smooth: float = Field(0.1, ge=0, description="rbd: least pull between neighbouring superpixels; Sec. 5, mu")

    @model_validator(mode="after")
    def _path(self):
        if self.source in ("folder", "instances") and not self.path:
            what = "the folder of grey PNGs" if self.source == "folder" else "the JSON of salient instances"
            raise ValueError(f"source {self.source} needs `path`, {what}")
        return self
