"""The section `pseudo_labels`."""

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    """From a recipe's instances to the published labels."""

    box_nms: float | None = Field(
        0.4,
        ge=0,
        le=1,
        description="an instance goes whose box overlaps a better one of its class in its photo by more; LIID, "
        "Sec. 5.3. Applied where instances are proposals (graph_cut, oracle_boxes) and nowhere else; null: never",
    )
    corrections: str | None = Field(
        None,
        min_length=1,
        description="file of what people decided: what the page of `tag2mask review` saves, or a corrected COCO JSON "
        "(CVAT, Label Studio, X-AnyLabeling); for methods, not for references; ours; null: none",
    )
    settled_iou: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="a label goes whose mask overlaps that of an accepted or drawn one of its class by more; ours",
    )
