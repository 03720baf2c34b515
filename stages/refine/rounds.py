"""Between two rounds: what the network sees on its training photos and no label shows becomes a label."""

import numpy as np

from stages.refine.predict import predict_photo
from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.scores import best_first
from tag2mask.learn.photos import read_ahead


def additions(model, index, labels, *, config, job):
    """Instances of the photos of `labels` (Instances): what `model` adds to them, score its confidence.

    model : in evaluation mode. Photos that are not trained on (config.images) get none. Source: ours, after
    self-training as in Noisy Student (Xie et al. 2020): what a network is sure of teaches the next one.
    """
    chosen = {index.image_id[i]: i for i in index.where("with_masks" if config.images == "with_masks" else "train")}
    categories = np.array(sorted(labels.categories))
    builder = InstancesBuilder(labels.categories)
    photos = read_ahead(index, [chosen[name] for name in labels.image_id if name in chosen], job)
    for k in job.progress(range(labels.images), total=labels.images, what="labels that join"):
        name, size = labels.image_id[k], labels.size[k]
        if name not in chosen:
            builder.add(name, size, [], category=())
            continue
        i, photo = next(photos)
        masks, classes, scores, _ = predict_photo(model, photo, size=size, config=config)
        found, tags = categories[classes], index.tags(i)
        keep = np.flatnonzero(joining(masks, found, scores, labels.rles(labels.rows(k)), tags=tags, config=config))
        builder.add(name, size, [masks[n] for n in keep], category=found[keep], score=np.minimum(scores[keep], 1))
    return builder.finish()


def joining(masks, categories, scores, labels, *, tags, config):
    """(n,) bool: which predictions of a photo become labels.

    masks, labels : lists of RLE dicts. categories, scores : (n,). Those of a tag, with a score of at least
    config.round_score, whose mask overlaps that of no label, nor of a better one that joins, by an IoU above
    config.round_iou.
    """
    wanted = np.isin(categories, tags) & (np.asarray(scores) >= config.round_score)
    wanted &= (rle.iou(masks, labels) <= config.round_iou).all(axis=1)
    rows = np.flatnonzero(wanted)
    sure = [masks[n] for n in rows]
    wanted[rows] = best_first(np.asarray(scores)[rows], rle.iou(sure, sure) > config.round_iou)
    return wanted
