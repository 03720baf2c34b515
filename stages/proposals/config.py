"""Configuration of `proposals`."""

from importlib.util import find_spec
from typing import Literal

from pydantic import Field, model_validator

from tag2mask.run.config import Section
from tag2mask.store import hub

CUES = ("lab", "chroma", "histogram", "texture", "place")
LEARNED = ("edges", "edges+colour")  # trees that follow learned edges


class Config(Section):
    """Segment proposals: made here without learning, or imported. Numbers marked "ours" used no mask of a photo."""

    source: Literal["hierarchy", "sam", "coco_rle", "label_png", "mat"] = Field(
        "hierarchy",
        description="hierarchy: made here (ours, after MCG, Arbelaez et al. 2014, without its learning); sam: "
        "made here by the Segment Anything Model (Kirillov et al. 2023), which learned from 1.1 billion masks, with "
        "`weights` and the package segment-anything; coco_rle: a JSON list of {image_id, segmentation, score}, or a "
        "COCO document of them; label_png: a folder of "
        "<image id>.png, each label > 0 one mask; mat: a folder of <image id>.mat, MATLAB files of masks (maskmat, as "
        "COB's for CIM) or of sets of superpixels (superpixels, labels, scores: MCG's)",
    )
    path: str | None = Field(
        None,
        description="the JSON file of coco_rle, or the folder of label_png or mat, all photos in one; nothing outside "
        "that folder is read",
    )
    weights: str | None = Field(
        None, description="source sam: local file of SAM's weights as released, sam_vit_b_01ec64.pth or _l_ or _h_"
    )
    sam_points: int = Field(32, ge=1, le=128, description="source sam: points a side of the grid; SAM's code 32")
    sam_iou: float = Field(
        0.88, ge=0, le=1, description="source sam: a mask's predicted IoU is above this; SAM, Appendix B: 0.88"
    )
    sam_stability: float = Field(
        0.95, ge=0, le=1, description="source sam: least IoU of a mask cut at logits -1 and +1; SAM, Appendix B: 0.95"
    )
    sam_box_nms: float = Field(
        0.7,
        gt=0,
        le=1,
        description="source sam: box IoU above which a mask of lower predicted IoU falls; SAM's code 0.7",
    )
    count: int = Field(500, ge=1, description="most proposals a photo, best first; ours")
    nms_iou: float = Field(
        0.7, gt=0, le=1, description="a proposal with a mask IoU above this with a better one is dropped; ours"
    )
    min_area: int = Field(100, ge=1, description="smallest proposal, pixels; imported ones too; ours")
    max_side: int = Field(
        1024,
        ge=32,
        description="pixels; a photo with a longer side is scaled down for the work (min_area and all sigmas count "
        "there), its masks are of its own size; ours",
    )
    max_superpixels: int = Field(1600, ge=1, description="superpixels a photo; ours")
    superpixel_area: int = Field(
        48, ge=1, description="pixels a superpixel has at least on average, so that small photos get fewer; ours"
    )
    sigma: float = Field(1.0, gt=0, description="smoothing before the watershed and of the colour cues, pixels; ours")
    contour_sigmas: tuple[float, ...] = Field(
        (1.0, 2.0, 4.0), min_length=1, description="scales of the contours' contrast, pixels; ours"
    )
    contour_power: float = Field(
        1.0, ge=0, description="power of the contour's mean contrast in a candidate's weight; 0: no contours; ours"
    )
    trees: tuple[str, ...] = Field(
        (
            "lab",
            "lab+place",
            "histogram",
            "chroma+texture",
            "texture",
            "boundary",
            "lab+texture+place",
            "lab+histogram",
        ),
        min_length=1,
        description="one binary partition tree each: `boundary` (weakest mean contour first, Arbelaez et al. 2011, "
        "Sec. 4) or cues joined by + (Ward's rule) out of lab, chroma, histogram, texture, place; or, one for each of "
        "`edge_powers`, `edges` (weakest learned boundary first) and `edges+colour` (learned boundary and contrast); "
        "ours",
    )
    edges: bool = Field(
        False,
        description="source hierarchy: superpixels, contours and the trees `edges` follow the boundary maps of the "
        "stage `edges`, which learned from other photos; ours",
    )
    edge_colour: float = Field(
        0.02,
        ge=0,
        description="`edges`: what a Lab unit of the colours' contrast counts beside a boundary in [0, 1], in the "
        "watershed and in the trees `edges+colour`; ours",
    )
    edge_powers: tuple[float, ...] = Field(
        (0.0, 0.25, 0.5),
        min_length=1,
        description="trees `edges` and `edges+colour`: powers of the smaller area, in pixels, by which the mean "
        "boundary is multiplied; 0: it alone; ours",
    )
    salient: bool = Field(
        False,
        description="source hierarchy: the salient instances of the stage `saliency` are proposals, and what overlaps "
        "them comes early; ours",
    )
    salient_lead: float = Field(
        1.0,
        ge=0,
        description="`salient`: a candidate's weight is multiplied by 1 + this x its largest IoU with a salient "
        "instance, every octave of area keeping its weight; ours, chosen on collages of training photos",
    )
    upstream: dict = Field(
        {},
        description="Filled in: the sections of `edges` and `saliency`, by which those of a photo of no run are made.",
    )

    @model_validator(mode="after")
    def check(self):
        for name in self.trees:
            if name not in ("boundary", *LEARNED) and not set(name.split("+")) <= set(CUES):
                raise ValueError(f"trees: {name!r} is not `boundary` or cues joined by + out of {', '.join(CUES)}")
            if name in LEARNED and not self.edges:
                raise ValueError(f"the tree {name!r} needs `edges: true`")
        if any(sigma <= 0 for sigma in self.contour_sigmas):
            raise ValueError("contour_sigmas must be above 0")
        if any(power < 0 for power in self.edge_powers):
            raise ValueError("edge_powers must not be below 0")
        if self.source not in ("hierarchy", "sam") and not self.path:
            raise ValueError(f"source {self.source} needs `path`")
        if hub.named(self.weights) or (self.source == "sam" and not self.weights):
            raise ValueError("source sam needs `weights`, a local file as sam_vit_b_01ec64.pth")
        if self.source == "sam" and find_spec("segment_anything") is None:
            raise ValueError(
                "source sam needs the package segment-anything, which is not installed here; install it with "
                "`pip install segment-anything==1.0`, or choose hierarchy"
            )
        return self
