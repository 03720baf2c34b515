"""Configuration of `report`: what the page shows."""

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    """What the page shows. `recipes` is filled in by the workflow."""

    photos: int = Field(12, ge=0, description="photos whose row of pictures is shown, spread over the training photos")
    recipes: list[dict] = Field(
        [], description="set by the workflow: per shown recipe its name, stage, variant, supervision, trains"
    )
