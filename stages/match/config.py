"""Configuration of `match`: which proposal is a peak's object."""

from typing import Literal

from pydantic import Field, field_validator

from tag2mask.run.config import Section


class Config(Section):
    """PRM's retrieval by its released code, or ICN's matching (Sec. 3.3). The factors of both were tuned on VOC with
    its masks, by PRM's demo and by ICN's cross validation: they are kept as they are printed."""

    maps: Literal["prm", "icn"] = Field(
        "prm", description="prm: naive peak response maps. icn: those that `icn` has enhanced (ICN, Algorithm 1)."
    )
    score: Literal["prm", "icn"] = Field(
        "prm",
        description="what ranks the proposals of a peak. prm: `balance` x the map inside the mask + the map on its "
        "outline - `penalty` x the background in it. icn: Eq. 5, `alpha`, `beta`, `gamma`, `rebalance`.",
    )
    most: int = Field(100, ge=1, description="the first so many proposals of a photo take part; PRM's code 100.")
    area: tuple[float, float] = Field(
        (2e-5, 0.85),
        description="share of the photo that a proposal covers, at least the first, less than the second; PRM's code.",
    )
    side: int = Field(
        448,
        ge=16,
        le=4096,
        description="square root of the area, in pixels, at which masks and maps are compared: sums and outlines count "
        "these pixels; PRM's code 448.",
    )
    outline: int = Field(
        5,
        ge=3,
        le=101,
        description="odd side, in these pixels, of the window of the morphological gradient that draws outlines; PRM's "
        "code 5 (ICN names none).",
    )
    background_of: Literal["class", "map"] = Field(
        "class",
        description="where the background is. class: where the class map of `cam` is low (PRM). map: where the peak "
        "response map is (ICN's B(V)).",
    )
    background: float = Field(
        0.95,
        ge=0,
        le=10,
        description="background is what is below this factor x the map's mean; PRM's demo 0.95 (ICN names none).",
    )
    balance: float = Field(0.8, ge=0, description="`score: prm`: factor of the map inside the mask; PRM's demo 0.8.")
    penalty: float = Field(
        1e-5, ge=0, description="`score: prm`: factor of a pixel of background in the mask; PRM's demo 1e-5."
    )
    alpha: float = Field(0.95, ge=0, description="`score: icn`: factor of the map inside the mask; ICN, Eq. 5.")
    beta: float = Field(0.1, ge=0, description="`score: icn`: factor of the common outline; ICN, Eq. 5.")
    gamma: float = Field(0.8, ge=0, description="`score: icn`: factor of the background; ICN, Eq. 5.")
    rebalance: bool = Field(
        True,
        description="`score: icn`: divide the first term by the mask's area (1 / sum(P) of Eq. 5); false: as it is "
        "(Table 1, w/o multi-scale rebalance).",
    )
    nms: float = Field(
        0.3,
        gt=0,
        le=1,
        description="of two peaks whose proposals have at least this mask IoU, of whatever class, the better one stays "
        "and its map takes in the other's; PRM's code 0.3 (ICN, Algorithm 1, names none).",
    )

    @field_validator("outline")
    @classmethod
    def _odd(cls, value):
        if value % 2 == 0:
            raise ValueError("must be odd")
        return value

    @field_validator("area")
    @classmethod
    def _range(cls, value):
        if not 0 <= value[0] < value[1]:
            raise ValueError("must be two numbers, 0 <= least < most")
        return value
