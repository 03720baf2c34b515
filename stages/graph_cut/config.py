"""Configuration of the stage `graph_cut`."""

from typing import Literal

from pydantic import Field

from stages.common.config import Section


class Config(Section):
    delta: float = Field(5.0, ge=0, description="weight of an edge is delta x |cosine| (LIID Eq. 10, Table 6: 5)")
    labels: Literal["tags", "all"] = Field(
        "tags",
        description="labels a proposal may take: its photo's tags and the background (tags; the authors' code zeroes p "
        "elsewhere), or every class (all)",
    )
    solver: Literal["exact", "argmax"] = Field(
        "exact", description="exact: the multi-way cut (LIID Sec. 5.3); argmax: the largest p, no edges (LIID w1)"
    )
    time_limit: float = Field(
        1800.0,
        gt=0,
        description="seconds for the solver; then the best labelling, its bound and gap stand in the manifest; ours",
    )
    warn_share: float = Field(
        0.9, gt=0, le=1, description="share of the proposals with one and the same label that is worth a warning; ours"
    )
