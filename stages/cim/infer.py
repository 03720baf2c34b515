"""Answers of a trained network: proposals with a class and a score. Source: CIM, Sec. 4.2."""

import numpy as np
import torch
from torchvision.ops import batched_nms

from stages.cim.config import Config
from stages.cim.network import build
from stages.cim.photos import boxed, chosen, shown
from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder
from tag2mask.learn.loop import start
from tag2mask.run.config import parse


def load(weights, *, device="cpu", **test):
    """(model in evaluation mode on `device`, its Config, (K,) int64 category ids by column) of Weights of kind "cim".

    test : values of Config.TEST. Raises UserError when the tensors are not those of the network that they describe.
    """
    config = parse(Config, {**weights.meta["config"], **test, "weights": "none"}, where="the weights' cim")
    ids = np.array(sorted(map(int, weights.meta["categories"])), np.int64)
    model = build(config, len(ids))
    weights.fill(model)
    model.backbone.mean, model.backbone.std = tuple(weights.meta["mean"]), tuple(weights.meta["std"])
    return model.to(device).eval(), config, ids


@torch.no_grad()
def proposal_scores(model, photo, shares, grid, *, config):
    """(n, K) float32: class x integrity score, averaged over branches, sides and mirroring (Sec. 4.2).

    photo : (H, W, 3) uint8. shares, grid : of its n proposals, see `photos.Sample`. A network without refinement
    branches answers with the anti-noise branch.
    """
    total, times = 0, 0
    for side in config.test_sides or config.sides:
        for flip in (False, True) if config.test_flip else (False,):
            given = shown(photo, shares, grid, side=side, flip=flip, config=config)
            ((log_y, t),) = model(*zip(given))
            of_branches = (log_y.exp() * t)[min(1, len(t) - 1) :, :, 1:]
            total, times = total + of_branches.mean(0), times + 1
    return (total / times).float().cpu().numpy()


def answers(scores, boxes, allowed, *, floor, nms, most, best=False):
    """(rows (m,) int64, columns (m,) int64, scores (m,) float32) of a photo's answers, best first, ties in order.

    scores : (n, K) float. boxes : (n, 4) float x, y, width, height in px. allowed : (K,) bool, the classes that may be
    answered. Above `floor`, and with `best` the best of every class that may be; of a class none that overlaps a better
    one by a box IoU above `nms`; at most `most`.
    """
    able = scores > floor
    if best:
        able |= np.arange(len(scores))[:, None] == scores.argmax(0)
    rows, columns = np.nonzero(able & allowed)
    value = scores[rows, columns].astype(np.float32)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).astype(np.float32)[rows]
    order = np.argsort(-value, kind="stable")
    rows, columns, value, corners = rows[order], columns[order], value[order], corners[order]
    kept = batched_nms(*map(torch.from_numpy, (corners, value, columns)), nms).numpy()
    kept = np.sort(kept)[:most]
    return rows[kept], columns[kept], value[kept]


def predict_photos(photos, weights, *, config, job, labels=False, count=None):
    """Instances table of `photos`: an iterable of (image id, (h, w, 3) uint8 RGB, its own size (H, W), Instances
    with its proposals, their image there, category ids it may show or None).

    config : Config whose Config.TEST are used, or None for those that it was trained with. labels : whether they are to
    be labels, above config.label_floor.
    """
    start(job)
    test = {} if config is None else config.model_dump(include=Config.TEST)
    model, config, ids = load(weights, device=job.device, **test)
    floor = max(config.test_floor, config.label_floor) if labels else config.test_floor
    table = InstancesBuilder({int(c): name for c, name in weights.meta["categories"].items()})
    for name, photo, size, proposals, k, tags in job.progress(photos, total=count, what="CIM"):
        rows = chosen(proposals, k, config.most)
        if not len(rows):
            table.add(name, size, [], category=[])
            continue
        shares, grid = boxed(proposals, k, rows, bins=config.roi)
        scores = proposal_scores(model, photo, shares, grid, config=config)
        allowed = np.ones(len(ids), bool) if tags is None else np.isin(ids, list(tags))
        found, columns, value = answers(
            scores, proposals.bbox[rows], allowed, floor=floor, nms=config.test_nms, most=config.test_most,
            best=labels and config.label_best,
        )  # fmt: skip
        masks = rle.scaled(proposals.rles(rows[found]), size)
        table.add(name, size, masks, category=ids[columns], score=value)
    return table.finish()
