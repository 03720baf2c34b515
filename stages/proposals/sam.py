"""Proposals by the Segment Anything Model (Kirillov et al. 2023): its released package, and a file of its weights.

The package segment-anything is no part of the usual installation (config.py looks for it).
"""

import functools

import numpy as np

from stages.proposals import ranking
from stages.proposals.imported import select
from tag2mask.data import rle
from tag2mask.data.scale import resized, scaled_down, size_within
from tag2mask.errors import UserError
from tag2mask.learn import pretrained

KINDS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}  # width of the image encoder -> the package's name of the network


def proposer(config, *, device):
    """A function: photo (H, W, 3) uint8 RGB -> (list of n RLE dicts, score (n,) float32), best first.

    A grid of `sam_points` x `sam_points` points asks for three masks each; SAM's own filters and box NMS follow, then,
    by falling predicted IoU, what all proposals go through (`select`). A photo with a longer side than config.max_side
    is scaled down for that; its masks are of its own size. Raises UserError where config.weights is not a file of SAM's
    weights. Source: Kirillov et al. 2023, Appendix B, and the released automatic_mask_generator.py.
    """
    from segment_anything import SamAutomaticMaskGenerator

    generator = SamAutomaticMaskGenerator(
        placed(config.weights, device=device), points_per_side=config.sam_points, pred_iou_thresh=config.sam_iou,
        stability_score_thresh=config.sam_stability, box_nms_thresh=config.sam_box_nms, output_mode="uncompressed_rle",
    )  # fmt: skip

    def propose(photo):
        small = scaled_down(photo, size_within(photo.shape[:2], config.max_side))
        found = sorted(generator.generate(small), key=lambda one: -one["predicted_iou"])
        runs = [np.array(one["segmentation"]["counts"], np.uint32) for one in found]
        rles = select([rle.from_counts(one, small.shape[:2]) for one in runs], config=config)
        if small is not photo:
            rles = [enlarged(one, photo.shape[:2]) for one in rles]
        return rles, ranking.scores(len(rles), count=config.count)

    return propose


def enlarged(code, size):
    """The RLE dict of a mask at `size` (H, W), by nearest pixels; one at a time, for many large masks fill memory."""
    (mask,) = rle.decode([code], code["size"])
    return rle.encode(resized(mask.astype(np.uint8), size)[None])[0]


@functools.cache
def placed(path, *, device):
    """`network` on `device`, read once a process."""
    return network(path).to(device)


def network(path):
    """SAM in evaluation mode with the tensors of the file `path`, whose size says which of the three it is."""
    from segment_anything import sam_model_registry

    state = pretrained.read(path, "SAM")
    positions = state.get("image_encoder.pos_embed")
    kind = KINDS.get(positions.shape[-1]) if positions is not None else None
    if kind is None:
        raise UserError(
            f"proposals.weights, {path}, are not SAM's: name sam_vit_b_01ec64.pth, or _l_ or _h_, as it was released."
        )
    model = sam_model_registry[kind]()
    pretrained.fit(model, state, name=f"SAM {kind}", source=path)
    return model.eval()
