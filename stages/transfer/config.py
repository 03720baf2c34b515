"""The section `transfer`."""

from pydantic import Field

from stages.common.config import Section


class Config(Section):
    """BESTIE, Sec. 3.3: from semantic maps and peaks to instances."""

    min_area: int = Field(
        50, ge=1, description="least pixels of a component; BESTIE's released code (the paper names no number)"
    )
