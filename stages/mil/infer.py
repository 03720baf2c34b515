"""Reads the shard's photos, proposals and maps, and makes the table of p and f."""

import numpy as np
import torch

from stages.common import backbone
from stages.common.errors import UserError
from stages.common.index import Index
from stages.common.instances import Instances, starts
from stages.common.maps import Maps
from stages.common.tables import Table
from stages.mil.features import entering, pooled
from stages.mil.scores import box_means, relative_to_best, with_background


def infer(inputs, config, job):
    """See `stages.mil.run`."""
    index, proposals, cam = Index.load(inputs.index), Instances.load(inputs.proposals), Maps.load(inputs.cam)
    if proposals.image_id != cam.image_id:
        raise UserError(
            f"{inputs.proposals} and {inputs.cam} are not of the same photos: build both from the same index and shard."
        )
    number = {name: i for i, name in enumerate(index.image_id)}
    labels = [0, *sorted(index.categories)]
    net = backbone.create(config.backbone, config.weights, output_stride=config.output_stride).to(job.device).eval()
    count = np.minimum(np.diff(proposals.first), config.keep)
    p, f, row = [], [], []
    for i, name in job.progress(enumerate(proposals.image_id), total=proposals.images, what="p and f"):
        if name not in number:
            raise UserError(f"{inputs.proposals} has the photo {name}, which {inputs.index} lacks: build it again.")
        kept = proposals.first[i] + np.arange(count[i])
        boxes, size = proposals.bbox[kept], proposals.size[i]
        tags = index.tags(number[name])
        classes, maps = cam.of(i)
        missing = set(tags) - set(classes.tolist())
        if missing:
            raise UserError(f"{inputs.cam} has no map of class {min(missing)} for the photo {name}: build it again.")
        tagged = [(labels.index(k), m) for k, m in zip(classes.tolist(), maps) if k in tags]
        means = [box_means(m, boxes, size=size) for _, m in tagged]
        means = np.stack(means, 1) if means else np.zeros((len(kept), 0))
        if config.relative:
            means = relative_to_best(means)
        p.append(with_background(means, [c for c, _ in tagged], labels=len(labels)))
        f.append(photo_features(net, index.photo(number[name]), boxes, config=config))
        row.append(kept)
    p = np.concatenate(p) if p else np.zeros((0, len(labels)), np.float32)
    f = np.concatenate(f) if f else np.zeros((0, net.channels[-1]), np.float16)
    row = np.concatenate(row) if row else np.zeros(0, np.int64)
    job.count(images=proposals.images, proposals=len(row), without_proposals=int((count == 0).sum()))
    arrays = {"image_id": np.array(proposals.image_id, dtype=str), "first": starts(count), "row": row, "p": p, "f": f}
    return {"mil": Table("mil/1", arrays, {"labels": labels})}


@torch.no_grad()
def photo_features(net, photo, boxes, *, config):
    """(n, D) float16: f of the boxes (n, 4) x, y, width, height of one photo (H, W, 3) uint8."""
    if not len(boxes):
        return np.zeros((0, net.channels[-1]), np.float16)
    feature_map = net(net.normalise(entering(photo, config.size)[None]))[-1]
    f = pooled(feature_map, boxes, size=photo.shape[:2], bins=config.roi).cpu().numpy().astype(np.float16)
    if not np.isfinite(f).all():
        raise UserError(f"The backbone {config.backbone} gives features that are not finite: check its weights file.")
    return f
