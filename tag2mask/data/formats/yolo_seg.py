"""A folder for Ultralytics' YOLO: data.yaml, labels/<split>/*.txt and images/<split>/, links to the photos.

One line an instance: the class counted from 0, then one ring x y x y ... in shares of the photo's width and height;
holes and further parts hang on it by corridors without width. YOLO has no scores and no crowds; crowds and difficult
objects are left out.
"""

from pathlib import Path, PurePosixPath

import yaml

from tag2mask.data.formats import Export
from tag2mask.data.outlines import chained, one_ring, polygons


def write(export: Export, out: Path) -> None:
    """The folder `out`. Without a root the images' folders stay empty: the photos are to be put there."""
    table = export.table
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (out / kind / split).mkdir(parents=True)
    place = {category: k for k, category in enumerate(sorted(table.categories))}
    for i, (file, stem) in enumerate(zip(export.files, export.stems())):
        split = "val" if export.held_out[i] else "train"
        label = out / "labels" / split / f"{stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        rows = table.numbers(i)
        height, width = table.size[i].tolist()
        lines = [
            f"{place[int(table.category[n])]} {line(export, n, width=width, height=height)}\n"
            for n in rows
            if not table.ignore[n]
        ]
        label.write_text("".join(lines))
        if export.root is not None:
            link = out / "images" / split / (stem + PurePosixPath(file).suffix)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((export.root / file).resolve())
    names = {k: table.categories[category] for category, k in place.items()}
    # no `path`: the splits are then looked for beside this file, wherever the folder is moved
    content = {"train": "images/train", "val": "images/val", "names": names}
    (out / "data.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def line(export: Export, n: int, *, width: int, height: int) -> str:
    """The ring of instance n as text."""
    ring = chained([one_ring(outer, holes) for outer, holes in polygons(export.table.mask(n))])
    return " ".join(f"{share:.6g}" for share in (ring / (width, height)).ravel().tolist())
