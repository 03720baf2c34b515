"""What `evaluate` can be told: at which overlaps and how many proposals it measures."""

from typing import Annotated

from pydantic import Field

from tag2mask.run.config import Section

Share = Annotated[float, Field(gt=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class Config(Section):
    thresholds: tuple[Share, ...] = Field(
        (0.25, 0.5, 0.7, 0.75),
        min_length=1,
        description="mask IoU at which a prediction is a hit, one mAP each; in (0, 1]; "
        "0.5 and 0.75: LIID 6.1; 0.25: ICN 4.3; 0.7: BESTIE 4.1.",
    )
    abo_top: int = Field(
        100,
        ge=1,
        description="ABO of labels and predictions looks at this many masks of a photo, by score; COCO's limit; ours.",
    )
    proposal_counts: tuple[Count, ...] = Field(
        (20, 100, 500),
        min_length=1,
        description="ABO and recall of proposals look at the first so many masks of a photo, in rank order; ours.",
    )
    recall_at: tuple[Share, ...] = Field(
        (0.5, 0.7), description="mask IoU at which a proposal finds an object; in (0, 1]; ours."
    )
    merge_floor: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="mIoU: instances with a lower score are left out of the merged semantic map; ours.",
    )
