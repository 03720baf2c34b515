"""What `graph` can be told: who is compared with whom, and which of the nearest become edges."""

from typing import Literal

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    k: int = Field(3, ge=1, le=64, description="neighbours per proposal (LIID Sec. 5.3, Fan Sec. 4.1: three)")
    similarity: Literal["absolute", "signed"] = Field(
        "absolute",
        description="what the largest edge weights are by: absolute, |cosine| (LIID Eq. 10), or signed, cosine + 1 "
        "(Fan Eq. 5)",
    )
    neighbours: Literal["mutual", "union"] = Field(
        "mutual",
        description="an edge where both ends (mutual) or at least one end (union) has the other among its k nearest; "
        "LIID Sec. 5.3 connects a node to at most three others, which holds for mutual alone",
    )
    pairs: Literal["tags", "all"] = Field(
        "tags",
        description="who may be neighbours: proposals whose images share a tag (tags; LIID's released code), or any "
        "two (all; LIID Sec. 5.3, Fan Sec. 4.1 as printed)",
    )
    tile: int = Field(2048, ge=16, le=65536, description="proposals per side of a tile of similarities; ours")
