"""The section `reference`."""

from typing import Literal

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    """Bounds for the table of recipes."""

    kind: Literal["full", "oracle_boxes", "whole_photo", "top_proposal"] = Field(
        "full",
        description="full: true masks; oracle_boxes: proposals labelled by true boxes (LIID, Table 7); whole_photo: "
        "one mask a tag; top_proposal: per tag the proposal ranked first. The last two read no ground truth",
    )
    nodes: Literal["proposals", "salient"] = Field(
        "proposals",
        description="what oracle_boxes labels and top_proposal takes: proposals, or the salient instances of which "
        "LIID's graph is",
    )
    box_iou: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="oracle_boxes keeps a proposal whose box overlaps a true box by more; LIID, Sec. 6.2",
    )
