"""What `graph_cut` can be told: the weight of an edge, who may have which label, and the solver."""

from typing import Literal

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    delta: float = Field(5.0, ge=0, description="weight of an edge is delta x |cosine| (LIID Eq. 10, Table 6: 5)")
    labels: Literal["tags", "keywords", "all"] = Field(
        "tags",
        description="labels a proposal may take: its photo's tags and the background (tags; LIID's code zeroes p "
        "elsewhere), the tags alone (keywords; Fan 3.1), or every class (all)",
    )
    solver: Literal["multiway", "partition", "argmax"] = Field(
        "multiway",
        description="multiway: the multi-way cut (LIID Sec. 5.3); partition: Fan's program, whose label 0 is noise "
        "(Fan Eq. 6 to 8); argmax: the largest p, no edges (LIID w1)",
    )
    terminals: int | None = Field(
        None,
        ge=1,
        description="only so many most probable labels of a proposal have an edge to their terminal; null: all (LIID "
        "Eq. 10); the authors' code: 4",
    )
    terminal_floor: float = Field(
        0.0, ge=0, lt=1, description="no edge to a terminal with p up to this: 0 (LIID Eq. 10); the authors' code: 1e-4"
    )
    terminal_sure: float | None = Field(
        None,
        gt=0,
        description="a proposal whose largest p is at least this has one edge to a terminal only; null: never (LIID "
        "Eq. 10); the authors' code: 0.9",
    )
    beta: float = Field(30.0, ge=0, description="partition: weight of p against the edges (Fan Eq. 7, Sec. 5.2: 30)")
    retain: float = Field(
        1.0,
        ge=0,
        le=1,
        description="partition: the share r of all proposals that gets a class, exactly floor(r n) (Fan Eq. 8; our "
        "copy of the paper has no value: all)",
    )
    time_limit: float = Field(
        1800.0,
        gt=0,
        description="seconds for the solver; then the best labelling, its bound and gap stand in the manifest; ours",
    )
    warn_share: float = Field(
        0.9, gt=0, le=1, description="share of the proposals with one and the same label that is worth a warning; ours"
    )
