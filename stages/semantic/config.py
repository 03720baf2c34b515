"""The section `semantic`."""

from typing import Literal

from pydantic import Field, model_validator

from stages.common.config import Section


class Config(Section):
    """Where semantic label maps come from, and how a CAM becomes one."""

    source: Literal["cam", "folder", "truth"] = Field(
        "cam",
        description="cam: from this run's CAMs; folder: maps made elsewhere (`path`); truth: an upper bound",
    )
    path: str | None = Field(
        None,
        description="source folder: folder of label PNGs <image id>.png (palette or grey, one byte a pixel: category "
        "id, 0 background, 255 ignore; VOC layout), relative to the folder the workflow runs in",
    )
    refine: Literal["random_walk", "none"] = Field(
        "random_walk", description="how a CAM follows the photo's edges: random walk with priors (Grady 2005), or not"
    )
    foreground: float = Field(
        0.3, gt=0, le=1, description="least score of a class pixel, as share of the class's maximum; IRN, conf_fg_thres"
    )
    split: Literal["otsu", "fixed"] = Field(
        "otsu",
        description="otsu: a class's threshold is where Otsu 1979 splits its map in two, but never below `foreground`; "
        "fixed: `foreground` itself; ours",
    )
    background: float = Field(
        0.15,
        ge=0,
        le=1,
        description="pixels where every class stays below it are background, between the two 255; ours (IRN: 0.05)",
    )
    side: int = Field(
        500, ge=16, description="longest side in pixels at which the walk runs; larger photos are scaled; ours"
    )
    superpixels: int = Field(600, ge=1, le=5000, description="about how many superpixels a photo is cut into; ours")
    colour: float = Field(
        1.0, ge=0, description="how much a step's Lab distance costs, in units of its mean square (Grady: beta); ours"
    )
    edge: float = Field(
        1.0,
        ge=0,
        description="how much the gradient along the border of two superpixels costs, in units of its mean; ours",
    )
    restart: float = Field(
        0.003,
        gt=0,
        description="pull of a pixel's own CAM against one pixel edge to a like neighbour (Grady: gamma); ours",
    )

    @model_validator(mode="after")
    def _ordered(self):
        if self.background > self.foreground:
            raise ValueError("background must not be above foreground")
        if self.source == "folder" and not self.path:
            raise ValueError("source folder needs `path`, the folder of label PNGs")
        return self
