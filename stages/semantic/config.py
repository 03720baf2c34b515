"""The section `semantic`."""

from importlib.util import find_spec
from typing import Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Section


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
    refine: Literal["random_walk", "crf", "none"] = Field(
        "random_walk",
        description="how a CAM follows the photo's edges: random walk with priors (Grady 2005); crf: fully connected "
        "CRF (Kraehenbuehl 2011), for source folder too; or not. crf needs the package pydensecrf2",
    )
    saliency_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="source cam: share of the photo's saliency in a class's score, before the walk: (1 - share) CAM + "
        "share x saliency x CAM / best class's CAM; 0: the CAM alone, no saliency is read; ours",
    )
    saliency_floor: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="the saliency counts for a class where its CAM is above this; elsewhere its term is 0; ours",
    )
    foreground: float = Field(
        0.55,
        gt=0,
        le=1,
        description="least score of a class pixel, as share of the class's maximum; ours (IRN, conf_fg_thres: 0.3)",
    )
    background: float = Field(
        0.3,
        ge=0,
        le=1,
        description="pixels where every class stays below it are background, between the two 255; ours (IRN: 0.05)",
    )
    side: int = Field(
        500, ge=16, description="longest side in pixels at which walk or CRF runs; larger photos are scaled; ours"
    )
    superpixels: int = Field(600, ge=1, le=5000, description="most superpixels a photo is cut into; ours")
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

    crf_iterations: int = Field(10, ge=1, le=100, description="steps of mean-field inference; IRN's code, DeepLab: 10")
    crf_certainty: float = Field(
        0.7, gt=0, lt=1, description="probability that a pixel's label is right before the CRF; IRN's code 0.7"
    )
    crf_near: float = Field(3, gt=0, description="standard deviation of the smoothness kernel, pixels; IRN's code 3")
    crf_near_weight: float = Field(3, ge=0, description="weight of the smoothness kernel; IRN's code, DeepLab: 3")
    crf_space: float = Field(50, gt=0, description="of the appearance kernel in space, pixels; IRN's code 50")
    crf_colour: float = Field(5, gt=0, description="of the appearance kernel in RGB values, 0..255; IRN's code 5")
    crf_weight: float = Field(10, ge=0, description="weight of the appearance kernel; IRN's code 10")

    @model_validator(mode="after")
    def _crf(self):
        if self.refine == "crf" and find_spec("pydensecrf") is None:
            raise ValueError(
                "refine: crf needs the package pydensecrf2, which is not installed here; install it with `pip install "
                "pydensecrf2==1.1` (it is compiled, which needs a C++ compiler), or choose random_walk"
            )
        return self

    @model_validator(mode="after")
    def _ordered(self):
        if self.background > self.foreground:
            raise ValueError("background must not be above foreground")
        if self.source == "folder" and not self.path:
            raise ValueError("source folder needs `path`, the folder of label PNGs")
        return self
