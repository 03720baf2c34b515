"""Label Studio's tasks with predictions: one JSON file to import, masks as brush strokes.

The photos are served by Label Studio itself: start it with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and
LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT set to the root that the file names are relative to. The project's labelling
interface needs `<Image name="image" value="$image"/>` and `<BrushLabels name="label" toName="image">` with a <Label> a
class.
"""

import json
from pathlib import Path
from urllib.parse import quote

import numpy as np

from tag2mask.data.formats import Export

LONGEST = 1 << 16  # values of one run: 16 bits say its length


def write(export: Export, out: Path) -> None:
    """The file `out`; a task with a prediction for every photo."""
    tasks = []
    for i, file in enumerate(export.files):
        scores = export.scores(i)
        prediction = {"model_version": "tag2mask", "score": min(scores, default=0.0), "result": strokes(export, i)}
        tasks.append({"data": {"image": f"/data/local-files/?d={quote(file)}"}, "predictions": [prediction]})
    out.write_text(json.dumps(tasks))


def strokes(export: Export, i: int) -> list[dict]:
    """The instances of photo i as results of a prediction."""
    height, width = export.table.size[i].tolist()
    return [
        {
            "id": f"{i}-{k}", "type": "brushlabels", "from_name": "label", "to_name": "image", "score": score,
            "original_width": width, "original_height": height, "image_rotation": 0,
            "value": {"format": "rle", "rle": packed(mask), "brushlabels": [name]},
        }
        for k, (mask, name, score) in enumerate(zip(export.table.masks(i), export.names(i), export.scores(i)))
    ]  # fmt: skip


def packed(mask: np.ndarray) -> list[int]:
    """A mask (H, W) bool as Label Studio's run lengths: the bytes of a bit stream over four equal channels of 0 or 255.

    32 bits: number of values; 5: bits a value less one; four times 4: bits of a run's length less one, of which we use
    the last. Then, a run: 1 bit (1: equal values), 2: which of the four lengths, 16: its length less one, 8: the value.
    Source: thi.ng/rle-pack, which Label Studio uses.
    """
    flat = np.repeat(mask.ravel(), 4)
    start = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    length = np.diff(np.concatenate([start, [flat.size]]))
    pieces = -(-length // LONGEST)
    values = np.repeat(flat[start], pieces) * 255
    last = np.cumsum(pieces) - 1
    sizes = np.full(len(values), LONGEST)
    sizes[last] = length - (pieces - 1) * LONGEST
    head = np.concatenate([bits(np.array([flat.size]), 32)[0], bits(np.array([7]), 5)[0]])
    words = np.tile(bits(np.array([15]), 4)[0], 4)
    ones = np.ones((len(values), 3), np.uint8)
    runs = np.concatenate([ones, bits(sizes - 1, 16), bits(values, 8)], 1)
    return np.packbits(np.concatenate([head, words, runs.ravel()])).tolist()


def bits(numbers: np.ndarray, width: int) -> np.ndarray:
    """(n, width) uint8 of 0 and 1: the numbers (n,), highest bit first."""
    return ((numbers[:, None].astype(np.int64) >> np.arange(width)[::-1]) & 1).astype(np.uint8)
