"""Configuration of `report`: what the page shows."""

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    """What the page shows. What the plan knows is filled in by the workflow."""

    photos: int = Field(12, ge=0, description="photos whose row of pictures is shown, spread over the training photos")
    recipes: list[dict] = Field([], description="set by the workflow: what `recipes.table` says of the shown recipes")
    pictures: list[dict] = Field([], description="set by the workflow: kind and title of the training photos' pictures")
    panels: list[dict] = Field([], description="set by the workflow: modules of stages with a part of the page")
