"""The section `transfer`."""

from typing import Literal

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    """BESTIE, Sec. 3.3: from semantic maps and peaks to instances."""

    cues: Literal["peaks", "points"] = Field(
        "peaks",
        description="what tells single instances: peaks of the class maps (BESTIE 3.3), or the dataset's points "
        "(`dataset.points`; BESTIE 4.3)",
    )
    floor: float = Field(
        0.0, ge=0, le=1, description="least score of a cue; ours: all that `cam` found (BESTIE's loader: 0.7)"
    )
    min_area: int = Field(
        50, ge=1, description="least pixels of a component; BESTIE's released code (the paper names no number)"
    )
