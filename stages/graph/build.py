"""Reads the shards' features, finds the neighbours, makes the edge table."""

import tempfile

import numpy as np

from stages.graph.edges import edges_of
from stages.graph.exact import cosines
from stages.graph.neighbours import nearest
from tag2mask.data.index import Index
from tag2mask.data.tables import Table
from tag2mask.errors import UserError


def build(inputs, config, job):
    """See `stages.graph.run`."""
    index = Index.load(inputs.index)
    number = {name: i for i, name in enumerate(index.image_id)}
    with tempfile.TemporaryFile() as scratch:
        # The features lie in a file that the kernel pages in and out: only tiles of them are in use at a time.
        photos, width = [], None
        for path in inputs.mil:
            table = Table.load(path, "mil/1")
            f = table["f"]
            if not np.isfinite(f).all():
                raise UserError(f"{path} holds features that are not finite: build the stage mil again.")
            if width not in (None, f.shape[1]):
                raise UserError(f"{path} has features of width {f.shape[1]}, the shards before it {width}.")
            width = f.shape[1]
            scratch.write(np.ascontiguousarray(f, np.float16).tobytes())
            of_image = np.array([number[str(name)] for name in table["image_id"]], np.int64)
            photos.append(np.repeat(of_image, np.diff(table["first"])))
        scratch.flush()
        photo = np.concatenate(photos) if photos else np.zeros(0, np.int64)
        shape = (len(photo), width or 1)
        features = np.memmap(scratch, np.float16, "r", shape=shape) if len(photo) else np.zeros(shape, np.float16)
        groups = [np.arange(len(photo))]
        if config.pairs == "tags":
            groups = nodes_by_tag(photo, [index.tags(i) for i in range(len(index.image_id))])
        found = nearest(
            features,
            groups,
            k=config.k,
            signed=config.similarity == "signed",
            tile=config.tile,
            device=job.device,
            progress=lambda tiles: job.progress(tiles, unit="pairs of tiles", what="neighbours"),
        )
        edges = edges_of(found, mutual=config.neighbours == "mutual")
        cosine = cosines(features, edges).astype(np.float32)
    degree = np.bincount(edges.ravel(), minlength=len(photo))
    job.count(nodes=len(photo), edges=len(edges), isolated=int((degree == 0).sum()))
    return {"edges": Table("graph/1", {"edge": edges, "cosine": cosine}, {"nodes": len(photo)})}


def nodes_by_tag(photo, tags):
    """A list of sorted node arrays, one per tag in rising order.

    photo : (N,) int, the photo of every node. tags : per photo a tuple of category ids.
    """
    count = np.array([len(own) for own in tags], np.int64)
    flat = np.array([tag for own in tags for tag in own], np.int64)
    first = np.concatenate([[0], np.cumsum(count)])
    times = count[photo]
    node = np.repeat(np.arange(len(photo)), times)
    step = np.arange(len(node)) - np.repeat(np.cumsum(times) - times, times)
    tag = flat[first[photo][node] + step] if len(node) else np.zeros(0, np.int64)
    order = np.argsort(tag, kind="stable")
    splits = np.flatnonzero(np.diff(tag[order])) + 1
    return [group.astype(np.int64) for group in np.split(node[order], splits)] if len(node) else []
