"""What LIID's network learns from: each training photo's proposals with the classes that the CAMs give them (Eq. 3).

The CAMs never change, so Eq. 3 is done once, before the training.
"""

from dataclasses import dataclass

import numpy as np

from stages.mil.features import entering
from stages.mil.losses import pseudo_labels
from stages.mil.scores import box_statistics, mask_statistics, relevance
from stages.mil.select import chosen
from stages.mil.shards import tagged_maps
from tag2mask.errors import UserError
from tag2mask.learn.crops import corners, mirrored


@dataclass
class Sample:
    """A training photo. number : in the index. shares : (n, 4) float32 boxes' corners. pseudo : (n,) int64 classes of
    Eq. 3. present : (K + 1,) bool, its tags and the background."""

    number: int
    shares: np.ndarray
    pseudo: np.ndarray
    present: np.ndarray


def prepare(index, shards, labels, config, job):
    """A `Sample` of every training photo that has proposals.

    shards : (Instances, Maps) of each, read one after another. labels : category id of each column of p, 0 first.
    """
    number = {name: i for i, name in enumerate(index.image_id)}
    column = {category: k for k, category in enumerate(labels)}
    samples = []
    for proposals, cam in shards:
        for i, name in job.progress(enumerate(proposals.image_id), total=proposals.images, what="pseudo labels"):
            if name not in number:
                raise UserError(f"The proposals hold the photo {name}, which the index lacks: build them again.")
            n = number[name]
            rows = chosen(proposals, i, config=config) if index.train[n] else ()
            if not len(rows):
                continue
            tags = index.tags(n)
            present = np.zeros(len(labels), bool)
            present[[0, *(column[c] for c in tags)]] = True
            columns, maps = tagged_maps(cam, i, tags, column)
            response = region_relevance(proposals, i, rows, maps, pooling=config.pooling, terms=config.terms)
            pseudo = pseudo_labels(response, columns, config.eta)
            samples.append(Sample(n, corners(proposals.bbox[rows], proposals.size[i]), pseudo, present))
    if not samples:
        raise UserError("No training photo has a proposal: look at the stage proposals.")
    counts = np.bincount(np.concatenate([sample.pseudo for sample in samples]), minlength=len(labels))
    shares = (counts / counts.sum()).round(4).tolist()
    names = ["background", *(index.categories[c] for c in labels[1:])]
    job.count(proposals=int(counts.sum()), pseudo_background=shares[0], pseudo_share=dict(zip(names, shares)))
    return samples


def region_relevance(proposals, i, rows, maps, *, pooling, terms):
    """(n, T) R of Eq. 3 of the rows of photo i: over their boxes or their masks, by `pooling` and `terms`."""
    if not maps:
        return np.zeros((len(rows), 0))
    if pooling == "mask":
        masks = np.stack([proposals.mask(row) for row in rows])
        return relevance([mask_statistics(one, masks) for one in maps], terms)
    boxes, size = proposals.bbox[rows], proposals.size[i]
    return relevance([box_statistics(one, boxes, size=size) for one in maps], terms)


def shown(index, sample, flip, *, size, stride):
    """(photo (h, w, 3) uint8, corners (n, 4)) as they enter the network, both mirrored if `flip`.

    R of Eq. 3 is of the stored CAM: mirroring photo, map and box alike would not change it.
    """
    photo = entering(index.photo(sample.number), size, stride=stride)
    return (np.ascontiguousarray(photo[:, ::-1]), mirrored(sample.shares)) if flip else (photo, sample.shares)
