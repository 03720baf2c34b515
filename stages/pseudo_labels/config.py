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
