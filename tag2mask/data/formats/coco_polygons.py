"""COCO JSON, masks as polygons along the pixels' edges: for tools that read no run lengths. Holes are cut in."""

import json
from pathlib import Path

from tag2mask.data.formats import Export, coco_rle
from tag2mask.data.outlines import one_ring, polygons


def write(export: Export, out: Path) -> None:
    """The file `out`; one polygon a part of the mask."""
    document = coco_rle.content(export)
    for n, annotation in enumerate(document["annotations"]):
        found = polygons(export.table.mask(n))
        annotation["segmentation"] = [one_ring(outer, holes).ravel().tolist() for outer, holes in found]
    out.write_text(json.dumps(document))
