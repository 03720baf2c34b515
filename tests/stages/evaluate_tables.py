"""Tables of strips, random tables and label maps for the tests of `evaluate`."""

import numpy as np

from stages.evaluate import measures
from stages.evaluate.config import Config
from stages.evaluate.overlaps import align, overlaps
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder

NAMES = {1: "cat", 2: "dog", 3: "owl"}
SIZE = (4, 30)
CROWD, DIFFICULT = 1, 2


def strip(first, last, size=SIZE):
    """A mask of full height over the columns first .. last - 1: shares of strips are easy to work out."""
    mask = np.zeros(size, bool)
    mask[:, first:last] = True
    return mask


def table(*photos, categories=NAMES):
    """Instances of photos, each a list of (mask, category, score or None, ignore) or a dict with void, size, rows."""
    builder = InstancesBuilder(categories)
    for number, photo in enumerate(photos):
        photo = photo if isinstance(photo, dict) else {"rows": photo}
        size, rows = photo.get("size", SIZE), photo["rows"]
        builder.add(
            photo.get("id", f"p{number}"), size, np.array([r[0] for r in rows]).reshape(-1, *size),
            category=[r[1] for r in rows], score=[r[2] if len(r) > 2 and r[2] is not None else 1 for r in rows],
            ignore=[r[3] if len(r) > 3 else 0 for r in rows], void=photo.get("void"),
        )  # fmt: skip
    return builder.finish()


def found(truth, predictions, top=100):
    return overlaps(truth, align(truth, predictions), top=top)


def metrics(truth, predictions, **keys):
    return measures.instance_metrics(truth, predictions, Config(**keys))


def maps_of(*labels, names=("p0", "p1"), dtype=np.uint8, **meta):
    """Label maps of photos, each given as one row of category ids that fills the photo."""
    builder = MapsBuilder(dtype, meta)
    for name, row in zip(names, labels):
        label = np.repeat(np.array(row)[None], SIZE[0], 0)
        builder.add(name, label.shape, [(0, label)])
    return builder.finish()


def random_table(rng, photos, *, truth):
    made = []
    for _ in range(photos):
        rows = []
        for _ in range(rng.integers(0, 6)):
            top, left = rng.integers(0, 5, 2)
            mask = np.zeros((6, 7), bool)
            mask[top : top + rng.integers(0, 5), left : left + rng.integers(1, 6)] = True
            ignore = int(rng.choice([0, 0, 0, 1, 2])) if truth else 0
            rows.append((mask, int(rng.integers(1, 4)), None if truth else float(rng.integers(1, 6)) / 5, ignore))
        void = rng.random((6, 7)) < rng.choice([0, 0, 0.3]) if truth else None
        made.append({"rows": rows, "size": (6, 7), "void": void})
    return table(*made)
