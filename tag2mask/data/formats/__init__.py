"""Instance tables in the formats that other tools read: one module a format, each with `write(export, out)`.

Masks, and so all coordinates, are in upright pixels: photos are turned as their EXIF data says before anything looks at
them. supervision and datumaro write some of these formats too; the one drops scores, holes and photos without
instances, the other turns masks with holes into several polygons, so ours are written here and read by theirs in
tests/exports.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from tag2mask.data.instances import Instances
from tag2mask.data.names import bare, photo_ids

FORMATS = {  # name -> (module, ending of the file, "" for a folder)
    "coco-rle": ("coco_rle", ".json"),
    "coco-polygons": ("coco_polygons", ".json"),
    "yolo-seg": ("yolo_seg", ""),
    "cvat": ("cvat", ".xml"),
    "labelme": ("labelme", ""),
    "label-studio": ("label_studio", ".json"),
}


@dataclass
class Export:
    """What is written. table : no empty mask; its photos include those without instances.

    files : the photos' files, "/" between, relative to `root`, which is None where nobody knows it. held_out : (I,)
    bool, the photos of the validation split. out : where all will stand at last.
    """

    table: Instances
    files: list[str]
    root: Path | None
    held_out: np.ndarray
    out: Path

    def names(self, i: int) -> list[str]:
        """Class names of the instances of photo i."""
        return [self.table.categories[int(c)] for c in self.table.category[self.table.rows(i)]]

    def scores(self, i: int) -> list[float]:
        """Scores in [0, 1] of the instances of photo i, to six digits."""
        return [round(float(s), 6) for s in self.table.score[self.table.rows(i)]]

    def stems(self) -> list[str]:
        """Name of each photo without its suffix, which becomes part of it where only that tells two photos apart."""
        found = photo_ids(self.files)
        ending = {file: PurePosixPath(file).suffix.replace(".", "_") for file in self.files}
        return [bare(file) + (ending[file] if found[file] == file else "") for file in self.files]
