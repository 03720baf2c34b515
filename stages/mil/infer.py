"""Reads the shard's photos, proposals or salient instances, maps and weights, and makes the table of p and f."""

import numpy as np
import torch

from stages.mil import network
from stages.mil.features import crop_features, entering, pooled, unit
from stages.mil.scores import box_means, relative_to_best, with_background
from stages.mil.select import chosen
from stages.mil.shards import pairs, tagged_maps
from tag2mask.data.index import Index
from tag2mask.data.ragged import starts
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.learn import backbone
from tag2mask.learn.crops import corners
from tag2mask.learn.loop import start
from tag2mask.learn.photos import read_ahead
from tag2mask.store.weights import Weights


def infer(inputs, config, job):
    """See `stages.mil.run`."""
    index = Index.load(inputs.index)
    store = inputs.salient if config.nodes == "salient" else inputs.proposals
    ((table, cam),) = pairs(store, inputs.cam)
    number = {name: i for i, name in enumerate(index.image_id)}
    labels = [0, *sorted(index.categories)]
    column = {category: k for k, category in enumerate(labels)}
    start(job)
    model, net, trained_on = networks(inputs, config, labels)
    (net if model is None else model).to(job.device).eval()
    missing = next((name for name in table.image_id if name not in number), None)
    if missing is not None:
        raise UserError(f"{store} has the photo {missing}, which {inputs.index} lacks: build it again.")
    row = [nodes(table, i, config=config) for i in range(table.images)]
    p, f, some = [], [], [i for i, kept in enumerate(row) if len(kept)]
    photos = read_ahead(index, [number[table.image_id[i]] for i in some], job)
    for (n, photo), i in job.progress(zip(photos, some), total=len(some), what="p and f"):
        columns, maps = tagged_maps(cam, i, index.tags(n), column)
        boxes = table.bbox[row[i]]
        f_i, p_i = features(model, net, photo, boxes, size=table.size[i], config=config)
        if model is None:
            p_i = map_scores(maps, columns, boxes, size=table.size[i], labels=len(labels), config=config)
        p.append(p_i)
        f.append(f_i)
    counts = [len(kept) for kept in row]
    p = np.concatenate(p) if p else np.zeros((0, len(labels)), np.float32)
    f = np.concatenate(f) if f else np.zeros((0, net.channels[-1]), np.float16)
    row = np.concatenate(row) if row else np.zeros(0, np.int64)
    job.count(images=table.images, nodes=len(row), without_nodes=counts.count(0))
    arrays = {"image_id": np.array(table.image_id, dtype=str), "first": starts(counts), "row": row, "p": p, "f": f}
    meta = {"labels": labels, "scores": config.scores}
    if trained_on:
        meta["features_trained_on"] = trained_on
    return {"mil": Table("mil/1", arrays, meta)}


def nodes(table, i, *, config):
    """(n,) int64: the rows of photo i that get p and f, best first: all of salient instances, else what is trained on.

    Source: LIID, Sec. 6.1 (salient instances in the graph, filtered proposals in the training).
    """
    return np.arange(*table.first[i : i + 2]) if config.nodes == "salient" else chosen(table, i, config=config)


def networks(inputs, config, labels):
    """(ProposalNet or None, Backbone of f, what Fan's extractor learned on or None): trained ones where there are
    weights, else the ImageNet backbone."""
    path = getattr(inputs, "weights", None)
    if config.scores == "cam":
        path = None
    if config.scores == "network" and path is None:
        raise UserError("mil.scores is network, which needs trained weights: run mil_train, or set it to cam.")
    if path is None:
        net = backbone.create(
            config.backbone, config.weights, output_stride=config.output_stride, dilate=config.dilate,
            head=config.last_conv,
        )  # fmt: skip
        return None, net, None
    weights = Weights.load(path, "mil")
    if config.scores == "attention":
        from stages.mil import extractor

        return None, extractor.restore(weights), weights.meta["features_trained_on"]
    if weights.meta.get("labels") != labels:
        raise UserError(f"{path} was trained on other classes than the index has; train it again.")
    model = network.restore(weights)
    return model, model.backbone, None


def map_scores(maps, columns, boxes, *, size, labels, config):
    """(n, K + 1) float32: p as means of the class maps in the boxes; Fan, Eq. 2 (attention), or ours (cam).

    maps : the photo's T tagged classes' maps in [0, 1], of the classes `columns`. Fan's equation has a minus in front,
    a misprint: a probability is the mean itself.
    """
    means = [box_means(one, boxes, size=size) for one in maps]
    means = np.stack(means, 1) if means else np.zeros((len(boxes), 0))
    if config.scores == "attention":
        return with_background(means, columns, labels=labels, normalise=False)
    return with_background(relative_to_best(means) if config.relative else means, columns, labels=labels)


@torch.no_grad()
def features(model, net, photo, boxes, *, size, config):
    """(f (n, D) float16 at unit length, p (n, K + 1) float32 or None) of the boxes (n, 4) x, y, width, height.

    photo : (H, W, 3) uint8 RGB, which may be smaller than the photo at its own `size`, in whose pixels the boxes are.
    model : ProposalNet, whose softmax is p (LIID, Eq. 2), or None. net : the backbone that f comes from.
    """
    p = None
    if model is not None or config.features == "roi":
        whole = entering(photo, config.size, stride=net.strides[-1])
        shares = corners(boxes, size)
        if model is not None:
            f, scores = model([whole], [shares])
            p = scores.softmax(1).float().cpu().numpy()
        else:
            maps = net(net.normalise(whole[None]))[-1]
            f = pooled(maps, [torch.from_numpy(shares)], bins=config.roi, kind=config.roi_kind)
    if config.features == "crop":
        f = crop_features(net, photo, boxes * of_own_size(photo, size), size=config.size)
    f = unit(f.float()).cpu().numpy().astype(np.float16)
    if not np.isfinite(f).all() or (p is not None and not np.isfinite(p).all()):
        raise UserError(f"The backbone {net.name} gives features that are not finite: check its weights file.")
    return f, p


def of_own_size(photo, size):
    """(4,) float32: what x, y, width, height at the photo's own `size` (H, W) are times in `photo` (h, w, 3)."""
    return np.tile(np.divide(photo.shape[:2], size)[::-1], 2).astype(np.float32)
