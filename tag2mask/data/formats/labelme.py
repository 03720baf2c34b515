"""A folder of labelme's JSON files, one a photo; X-AnyLabeling reads them too.

Every part of a mask is a polygon, holes cut in; the parts of one instance have one `group_id`. Scores stand under
`score`, X-AnyLabeling's name for them.
"""

import json
import os
from pathlib import Path

from tag2mask.data.formats import Export
from tag2mask.data.outlines import one_ring, polygons


def write(export: Export, out: Path) -> None:
    """The folder `out`. `imagePath` leads from each file to its photo; without a root it is the photo's name."""
    for i, (file, stem) in enumerate(zip(export.files, export.stems())):
        target = out / f"{stem}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        final = (export.out / stem).parent
        path = file if export.root is None else Path(os.path.relpath(export.root / file, final)).as_posix()
        height, width = export.table.size[i].tolist()
        content = {
            "version": "5.5.0", "flags": {}, "shapes": shapes(export, i), "imagePath": path, "imageData": None,
            "imageHeight": height, "imageWidth": width,
        }  # fmt: skip
        target.write_text(json.dumps(content, indent=1))


def shapes(export: Export, i: int) -> list[dict]:
    """The polygons of photo i."""
    found = []
    for k, (mask, name, score) in enumerate(zip(export.table.masks(i), export.names(i), export.scores(i)), 1):
        for outer, holes in polygons(mask):
            found.append({
                "label": name, "points": one_ring(outer, holes).tolist(), "group_id": k, "description": "",
                "shape_type": "polygon", "flags": {}, "score": score,
            })  # fmt: skip
    return found
