"""COCO JSON, masks as compressed run lengths: exact, for pycocotools, detectron2, FiftyOne, datumaro."""

import json
from pathlib import Path
from typing import Any

from tag2mask.data.coco import to_coco
from tag2mask.data.formats import Export


def write(export: Export, out: Path) -> None:
    """The file `out`."""
    out.write_text(json.dumps(content(export)))


def content(export: Export) -> dict[str, Any]:
    """The COCO dict; every annotation has a `score`, which COCO's readers skip."""
    return to_coco(export.table, file_names=dict(zip(export.table.image_id, export.files)))
