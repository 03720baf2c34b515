"""The section `fuse`."""

from pydantic import Field

from tag2mask.run.config import Section


class Trust(Section):
    """How much a source counts beside the others; chosen on generated scenes."""

    bestie: float = Field(1.0, gt=0, description="how much `bestie` counts beside the other sources; ours")
    cim: float = Field(1.0, gt=0, description="how much `cim` counts; ours")
    graph_cut: float = Field(0.5, gt=0, description="how much `graph_cut` counts; ours")
    match: float = Field(0.5, gt=0, description="how much `match` counts; ours")
    transfer: float = Field(0.5, gt=0, description="how much `transfer` counts; ours")


class Worth(Section):
    """The linear log odds that a candidate is an object; a map that is not read counts nothing."""

    agreement: float = Field(6.0, description="weight of the trust that has a candidate like it, in [0, 1]; ours")
    dispute: float = Field(-2.0, description="weight of the trust that has one of another class there, in [0, 1]; ours")
    score: float = Field(1.0, description="weight of the source's own score, in [0, 1]; ours")
    cam: float = Field(0.0, description="weight of the class map inside less around, in [-1, 1]; ours")
    semantic: float = Field(0.0, description="weight of its class in the semantic map inside less around; ours")
    saliency: float = Field(0.0, description="weight of the saliency inside less around, in [-1, 1]; ours")
    price: float = Field(2.0, description="what a candidate costs, in log odds; ours")


class Config(Section):
    """From several recipes' instances to one set. All ours, all chosen on generated scenes (docs/benchmarks.md)."""

    trust: Trust = Trust()
    worth: Worth = Worth()
    same: float = Field(
        0.5, gt=0, le=1, description="mask IoU from which two candidates of a class are one object; ours"
    )
    kin: float = Field(
        0.5,
        ge=0,
        le=1,
        description="how much a source counts beside a kin that says more, 1 as any other: cim, graph_cut and match "
        "choose from the same proposals, bestie learns from transfer; ours",
    )
    consensus: bool = Field(
        True, description="whether masks that several sources agree on take part beside theirs; ours"
    )
    margin: float = Field(
        0.2, gt=0, le=2, description="how far around a mask's box a map is looked at, in sides of the box; ours"
    )
    overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="two candidates, of whatever class, of which more than this share of the smaller one is common "
        "are not both chosen; ours",
    )
    reward: float = Field(
        4.0, ge=0, description="log odds paid for a tag that some candidate explains: 0, a photo may stay empty; ours"
    )
    void: float = Field(
        0.5,
        ge=0,
        le=1,
        description="pixels outside the chosen candidates that have others at least so probable become void; 1: none; "
        "ours",
    )
