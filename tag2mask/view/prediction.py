"""What a network answered of any photos, as files. numpy and torch come late, see `tag2mask.cli.predict`."""

import json


def write_instances(table, files, *, root, out, least):
    """Write predictions.zarr.zip, predictions.json (COCO, with scores) and overlays/<photo>.png into the folder `out`.

    table : Instances of photos of `files` ({id: Path}), which lie in the folder `root`. least : least score that is
    drawn; all are in the files. Beside them index.zarr.zip says which files the photos are.
    """
    import numpy as np

    from tag2mask.data.coco import to_coco
    from tag2mask.data.index import NEAR, Index
    from tag2mask.data.photo import read_photo
    from tag2mask.data.scale import LARGEST
    from tag2mask.store.manifest import write_text
    from tag2mask.view import draw

    out.mkdir(parents=True, exist_ok=True)
    table.save(out / "predictions.zarr.zip")
    paths = [files[name].relative_to(root).as_posix() for name in table.image_id]
    Index.build(
        root.absolute(), table.categories, image_id=table.image_id, path=paths, size=table.size,
        tags=[()] * table.images, train=np.zeros(table.images, bool),
    ).save(out / NEAR)  # fmt: skip
    coco = to_coco(table, file_names=dict(zip(table.image_id, paths)))
    write_text(out / "predictions.json", json.dumps(coco))
    palette = draw.Palette(table.categories)
    for i, name in enumerate(table.image_id):
        rows = table.numbers(i)
        rows = rows[table.score[rows] >= least]
        category, score, masks = table.category[rows], table.score[rows], table.masks(i, rows, within=LARGEST)
        labels = [f"{table.categories[int(c)]} {s:.2f}" for c, s in zip(category, score)]
        colours = draw.shades(category, palette)
        picture = draw.labelled(read_photo(files[name], within=LARGEST), masks, colours, labels)
        write_picture(out / "overlays" / f"{name}.png", picture)


def write_picture(path, picture):
    """Write a PIL image or an array (H, W, 3) uint8 to `path`; its folder is made."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path)
