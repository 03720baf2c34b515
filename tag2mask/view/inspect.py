"""What a store holds, as lines and as a picture. Schemas of `tag2mask.data` are known here, others are handed in."""

from functools import partial

import numpy as np

from tag2mask.data import index as indexes
from tag2mask.data import instances, maps
from tag2mask.data.photo import SUFFIXES, read_photo
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.store import store
from tag2mask.view import describe

SHARED = {  # schema -> what loads such a store
    instances.SCHEMA: instances.Instances.load,
    maps.SCHEMA: maps.Maps.load,
    indexes.SCHEMA: indexes.Index.load,
    "peaks/1": partial(Table.load, schema="peaks/1"),
}
MANY = 12  # images in a picture of a whole store


def inspect(path, image=None, *, png=None, photos=None, looks, index):
    """All lines to print of the store at `path`, or of its image `image` (its id); writes the picture file `png`.

    photos : folder of photos, or None. looks : schema -> function () -> module with `lines`, `lines_of`, `draw`, as
    `tag2mask.run.registry.Stage` says. index : where an index lies in a run's folder.
    """
    arrays, _, schema = store.read(path)
    check(path, schema, [*SHARED, *looks])
    kind = schema.partition("/")[0]
    look = None if schema in SHARED else looks[schema]()
    held = SHARED[schema](path) if look is None else Table.load(path, schema)
    near = held if kind == "index" else indexes.index_near(path, index)
    names = dict(getattr(held, "categories", None) or (near.categories if near is not None else {}))
    for key in ("category", "label"):  # where no index is near, a class has its number for a name
        names.update({c: f"class {c}" for c in np.unique(arrays.get(key, [])).tolist() if c > 0 and c not in names})
    lines = getattr(describe, kind) if look is None else look.lines
    lines_of = getattr(describe, f"{kind}_of") if look is None else look.lines_of
    i = None if image is None else find_image(path, held, image, lines_of)
    if i is None:
        shown = [*describe.head(path, schema, arrays, size=size_of(path)), "", *lines(held, names)]
    else:
        shown = lines_of(held, i, names)
    if png is not None:
        title = path.name if i is None else f"{ids_of(held)[i]}  ·  {path.name}"
        if look is None:
            picture = draw(kind, held, i, names=names, title=title, photos=Photos(photos, near), path=path)
        else:
            picture = look.draw(held, i, names=names, title=title)
        save(png, picture)
        shown += ["", f"picture: {png}"]
    return shown


def check(path, schema, known):
    """UserError unless the store's schema is one of `known`; another version is told apart from another kind."""
    if schema in known:
        return
    kind = str(schema).partition("/")[0]
    same = next((one for one in known if one.partition("/")[0] == kind), None)
    if same is None:
        raise UserError(f"{path} has schema {schema!r}, which inspect does not know; it knows {', '.join(known)}.")
    raise UserError(
        f"{path} has schema {schema!r}, this version of tag2mask reads {same}; use the version that wrote it."
    )


def ids_of(held):
    return [str(one) for one in (held["image_id"] if isinstance(held, Table) else held.image_id)]


def find_image(path, held, image, lines_of):
    """The number of the image asked for."""
    if lines_of is None:
        raise UserError(f"{path} holds what it has of all images as one; leave out {image}.")
    ids = ids_of(held)
    if image not in ids:
        near = f"for example {', '.join(ids[:3])}" if ids else "it has none"
        raise UserError(f"{path} has no image {image!r} among its {len(ids)} images, {near}.")
    return ids.index(image)


class Photos:
    """Photos by image id: from a folder, else from an index, else a grey canvas."""

    def __init__(self, folder, index):
        if folder is not None and not folder.is_dir():
            raise UserError(f"--photos {folder} is no folder.")
        self.files = {}
        for file in sorted(folder.rglob("*")) if folder is not None else ():
            if file.suffix.lower() in SUFFIXES:  # an id is a name, or a path below the folder, with its ending or not
                below = file.relative_to(folder)
                for one in (file.stem, below.with_suffix("").as_posix(), below.as_posix()):
                    self.files.setdefault(one, file)
        self.index = None if folder is not None else index
        self.number = {} if self.index is None else {name: i for i, name in enumerate(index.image_id)}

    def __call__(self, name, size, *, canvas=None):
        """(H, W, 3) uint8 RGB of `size` (H, W); None where the size is not known, then a canvas is of size `canvas`."""
        if name in self.files:
            photo = read_photo(self.files[name])
        elif name in self.number and self.index.file(self.number[name]).is_file():
            photo = self.index.photo(self.number[name], within=None)
        else:
            photo = np.full((*(canvas if size is None else size), 3), 128, np.uint8)
        if size is not None and photo.shape[:2] != tuple(int(one) for one in size):
            raise UserError(
                f"the photo of {name} is {photo.shape[:2]} pixels (height, width), the store says "
                f"{tuple(int(one) for one in size)}; name the right folder with --photos."
            )
        return photo


def draw(kind, held, i, *, names, title, photos, path):
    """The picture of a store of images, or of its image i: (H, W, 3) uint8."""
    from tag2mask.view import picture

    ids = ids_of(held)
    side = picture.SIDE if i is not None else picture.SMALL
    shown = [i] if i is not None else np.unique(np.linspace(0, len(ids) - 1, MANY).astype(int)) if ids else []
    tiles = [tile for k in shown for tile in tiles_of(kind, held, int(k), names=names, photos=photos, side=side)]
    if not tiles:
        raise UserError(f"there is nothing to draw in {path}.")
    if i is None:
        title += f": {len(shown)} of {len(ids)} images"
    return picture.sheet(tiles, title=title, columns=2 if i is not None and len(tiles) > 1 else None)


def tiles_of(kind, held, i, *, names, photos, side):
    """[(picture, caption)] of one image."""
    from tag2mask.view import draw, picture

    name = ids_of(held)[i]
    if kind == "peaks":
        part = slice(*held["first"][i : i + 2])
        found = sorted({describe.named(names, c) for c in held["category"][part]})
        caption = f"{name}: peaks of {', '.join(found)}" if found else f"{name}: no peaks"
        photo = photos(name, None, canvas=held["yx"][part].max(0, initial=299) + 20)
        return [(picture.peaks(photo, held, i, names=names, side=side), caption)]
    photo = photos(name, held.size[i])
    if kind == "instances":
        total = int(np.diff(held.first)[i])
        caption = f"{name}: {total} mask{'' if total == 1 else 's'}"
        caption += f", the best {picture.MASKS} drawn" if total > picture.MASKS else ""
        return [(picture.instances(photo, held, i, names=names, side=side), caption)]
    if kind == "maps":
        return [(one, f"{name}: {text}") for one, text in picture.maps(photo, held, i, names=names, side=side)]
    tags = ", ".join(describe.named(names, c) for c in held.tags(i))
    return [(draw.fitted(photo, side), f"{name}: {tags or 'no tags'}")]


def save(path, picture):
    from PIL import Image

    try:
        Image.fromarray(picture).save(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write the picture {path}: {getattr(error, 'strerror', None) or error}.") from None


def size_of(path):
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return sum(f.stat().st_size for f in files)
