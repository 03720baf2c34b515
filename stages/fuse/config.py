"""The section `fuse`."""

from pydantic import Field

from tag2mask.run.config import Section


class Config(Section):
    """From several recipes' instances to one set. All ours, chosen on generated scenes (benchmarks/fuse_weights.py)."""

    trust_bestie: float = Field(1.0, gt=0, description="how much `bestie` counts beside the other sources; ours")
    trust_cim: float = Field(1.0, gt=0, description="how much `cim` counts; ours")
    trust_graph_cut: float = Field(0.5, gt=0, description="how much `graph_cut` counts; ours")
    trust_match: float = Field(0.5, gt=0, description="how much `match` counts; ours")
    trust_transfer: float = Field(0.5, gt=0, description="how much `transfer` counts; ours")
    kin: float = Field(
        0.5,
        ge=0,
        le=1,
        description="how much a source counts beside a kin that says more, 1 as any other: kin are sources whose masks "
        "are cut from the same proposals, salient instances or semantic maps, see `cut_from`; ours",
    )
    cut_from: dict[str, list[str]] = Field(
        {}, description="source: variants that give its masks their outlines; filled in from what they read; ours"
    )
    same: float = Field(
        0.5, gt=0, le=1, description="mask IoU from which two candidates of a class are one object; ours"
    )
    consensus: bool = Field(
        True, description="whether the masks that several sources agree on take part beside theirs; ours"
    )
    margin: float = Field(
        0.2, gt=0, le=2, description="how far around a mask's box a map is looked at, in sides of the box; ours"
    )
    weight_agreement: float = Field(
        5.0,
        description="weight of the trust that has a candidate like it, in [0, 1]; this and the next are log odds; ours",
    )
    weight_dispute: float = Field(
        -0.5, description="weight of the trust that has one of another class in its place, in [0, 1]; ours"
    )
    weight_score: float = Field(1.0, description="weight of the source's own score, in [0, 1]; ours")
    weight_cam: float = Field(0.8, description="weight of its class map inside less around, in [-1, 1]; ours")
    weight_semantic: float = Field(2.0, description="weight of its class in the semantic map, likewise; ours")
    weight_saliency: float = Field(1.0, description="weight of the saliency, likewise; ours")
    weight_edges: float = Field(
        2.0, description="weight of the edges along its outline less inside, in [-1, 1], where they are read; ours"
    )
    price: float = Field(2.0, description="what a candidate costs, in log odds; ours")
    reward: float = Field(
        4.0, ge=0, description="log odds paid for a tag that some candidate explains; 0: a photo may stay empty; ours"
    )
    overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="two candidates, of whatever class, of which more than this share of the smaller one is common "
        "are not both chosen; of two chosen ones the more probable keeps what is common; ours",
    )
    void: float = Field(
        0.5,
        ge=0,
        le=1,
        description="pixels outside the chosen candidates that have others at least so probable become void; 1: none; "
        "ours",
    )
