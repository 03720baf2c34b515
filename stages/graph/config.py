"""Configuration of the stage `graph`."""

from typing import Literal

from pydantic import Field

from stages.common.config import Section


class Config(Section):
    k: int = Field(3, ge=1, le=64, description="neighbours per proposal (LIID Sec. 5.3: three)")
    neighbours: Literal["mutual", "union"] = Field(
        "mutual",
        description="an edge where both ends (mutual) or at least one end (union) has the other among its k nearest; "
        "LIID Sec. 5.3 connects a node to at most three others, which holds for mutual alone (design/multiway_cut.md)",
    )
    tile: int = Field(2048, ge=16, le=65536, description="proposals per side of a tile of similarities; ours")
