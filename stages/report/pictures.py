"""The galleries: which photos, which pictures of each, in which order. Loads one store at a time."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from tag2mask.data.instances import Instances
from tag2mask.data.maps import Maps
from tag2mask.data.tables import Table
from tag2mask.view import draw

SIDE = 400  # pixels along the longer side: twice what a picture has on the page, for zooming and fine screens
TOP = 20  # proposals drawn
SURE = 0.5  # predictions drawn: with at least this score, or the best FEW where none has
FEW = 3


@dataclass
class Picture:
    """title, note : what stands below it. group : "photo", "made", "labels", "predictions" or "truth"."""

    title: str
    note: str
    group: str
    pixels: np.ndarray

    @property
    def src(self):
        """The picture as a data URI (WebP)."""
        data = io.BytesIO()
        Image.fromarray(self.pixels).save(data, "webp", quality=80, method=4)
        return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode()


@dataclass
class Photo:
    """One photo of a gallery with its pictures. number : its place in the index."""

    number: int
    name: str
    tags: tuple
    size: tuple
    pixels: np.ndarray
    pictures: list = field(default_factory=list)

    def add(self, title, note, group, pixels):
        self.pictures.append(Picture(title, note, group, pixels))


def chosen(numbers, count):
    """At most `count` of `numbers`, evenly spread, first and last among them."""
    if not len(numbers) or count < 1:
        return []
    return [int(numbers[k]) for k in np.unique(np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round())
            .astype(int)]  # fmt: skip


def opened(index, numbers, *, side=SIDE):
    """The photos `numbers` of the index as Photo objects that hold their first picture, the photo itself."""
    photos = []
    for i in numbers:
        pixels = draw.fitted(index.photo(i), side)
        photo = Photo(i, index.image_id[i], index.tags(i), tuple(int(n) for n in index.size[i]), pixels)
        photo.add("photo", "", "photo", pixels)
        photos.append(photo)
    return photos


def training_rows(inputs, index, recipes, palette, *, shown, count, ids=(), truth=None, side=SIDE):
    """The photos of the training gallery with every step's picture: made from tags, pseudo labels, truth.

    shown : [{"kind", "title"}] of the steps, whose stores are the inputs picture_<k> and picture_<k>_peaks. count : of
    photos, spread over the split, where `ids` names none.
    """
    split = "with_masks" if truth is not None and index.with_masks.any() else "train"
    numbers = [index.image_id.index(name) for name in ids] or chosen(index.where(split), count)
    photos = opened(index, numbers, side=side)
    add = {"proposals": add_proposals, "heat": add_heat, "labels": add_label_maps}
    for k, one in enumerate(shown):
        stores, peaks = given(inputs, f"picture_{k}"), given(inputs, f"picture_{k}_peaks")
        add[one["kind"]](photos, index, stores, palette, title=one["title"], peaks=peaks)
    for recipe, path in zip(recipes, given(inputs, "labels")):
        add_instances(photos, Instances.open(path), palette, title=recipe["name"], group="labels")
    for recipe, path in zip([one for one in recipes if one["trains"]], given(inputs, "added")):
        add_instances(photos, Instances.open(path), palette, title=f"{recipe['name']}, added", group="labels")
    if truth is not None:
        add_instances(photos, truth, palette, title="truth", group="truth")
    return photos


def validation_rows(inputs, index, recipes, palette, *, count, truth=None, side=SIDE):
    """The photos of the validation gallery with what the trained networks of every recipe predict, and the truth."""
    paths = given(inputs, "predictions")
    trained = paths or given(inputs, "segmentation")
    photos = opened(index, chosen(index.where("val"), count), side=side) if trained else []
    for recipe, path in zip([one for one in recipes if one["trains"]], paths):
        add_instances(photos, Instances.open(path), palette, title=recipe["name"], group="predictions")
    for path in given(inputs, "segmentation"):
        add_labels(photos, path, palette, title=f"{path.parent.name}, DeepLab", group="predictions")
    if truth is not None:
        add_instances(photos, truth, palette, title="truth", group="truth")
    return photos


def given(inputs, name):
    """The input `name` as a list of paths, [] where the run has none."""
    value = getattr(inputs, name, None)
    return [] if not value else list(value) if isinstance(value, list | tuple) else [value]


def by_shard(photos, index, paths):
    """(path, photos of that shard) of the shards that hold any of `photos`."""
    for shard, path in enumerate(paths):
        own = [photo for photo in photos if index.shard[photo.number] == shard]
        if own:
            yield path, own


def add_proposals(photos, index, paths, palette, *, title, peaks=()):
    """The best proposals of each photo, in rank order."""
    for path, own in by_shard(photos, index, paths):
        table = Instances.open(path)
        place = {name: i for i, name in enumerate(table.image_id)}
        for photo in own:
            rows = table.numbers(place[photo.name]) if photo.name in place else np.zeros(0, int)
            masks = scaled(table, rows[:TOP], photo)
            note = f"best {len(masks)} of {len(rows):,}" if len(rows) > TOP else str(len(rows))
            photo.add(title, note, "made", draw.proposals(photo.pixels, masks))


def add_heat(photos, index, paths, palette, *, title, peaks=()):
    """Class maps, and the peaks over them where `peaks` gives their stores; without a title maps name themselves."""
    tables = dict(zip(paths, peaks))
    for path, own in by_shard(photos, index, paths):
        maps = Maps.open(path)
        place = {name: i for i, name in enumerate(maps.image_id)}
        table = Table.load(tables[path], "peaks/1") if path in tables else None
        for photo in own:
            categories, values = maps.of(place[photo.name]) if photo.name in place else ([], [])
            picture, note = draw.heat(photo.pixels, categories, values, palette), ""
            if table is not None:
                yx, kinds = peaks_of(table, photo)
                picture, note = draw.peaks(picture, yx, kinds, palette), plural(len(yx), "peak")
            named = title or maps.meta.get("title", "CAM") + " with peaks" * bool(peaks)
            photo.add(named, note, "made", picture)


def peaks_of(table, photo):
    """(yx (P, 2) in pixels of the small photo, categories (P,)) of a photo's peaks."""
    where = np.flatnonzero(np.asarray(table["image_id"]) == photo.name)
    if not len(where):
        return np.zeros((0, 2)), []
    rows = slice(int(table["first"][where[0]]), int(table["first"][where[0] + 1]))
    scale = np.array(photo.pixels.shape[:2]) / np.array(photo.size)
    return (table["yx"][rows] + 0.5) * scale - 0.5, table["category"][rows]


def add_label_maps(photos, index, paths, palette, *, title, peaks=()):
    """The label map of each photo."""
    for path, own in by_shard(photos, index, paths):
        add_labels(own, path, palette, title=title, group="made")


def add_labels(photos, path, palette, *, title, group):
    """The label map in the store `path` of each photo that it holds."""
    maps = Maps.open(path)
    place = {name: i for i, name in enumerate(maps.image_id)}
    for photo in photos:
        values = maps.of(place[photo.name])[1] if photo.name in place else []
        if len(values):
            unsure = float((values[0] == 255).mean())
            note = f"{100 * unsure:.0f} % unsure" if unsure >= 0.005 else ""
            photo.add(title, note, group, draw.label_map(photo.pixels, values[0], palette))


def add_instances(photos, table, palette, *, title, group):
    """Instances in the colours of their classes, the surest on top; a photo that the table lacks gets none."""
    place = {name: i for i, name in enumerate(table.image_id)}
    for photo in photos:
        if photo.name not in place:
            continue
        rows = table.numbers(place[photo.name])
        rows = rows[np.argsort(-table.score[rows], kind="stable")]
        shown, note = rows, plural(len(rows), "mask")
        if group == "predictions":
            shown = rows[table.score[rows] >= SURE]
            note = plural(len(shown), "mask")
            if not len(shown) and len(rows):
                shown = rows[:FEW]
                note = f"best {len(shown)}, ≤ {table.score[shown[0]]:.2f}"
        colours = draw.shades(table.category[shown], palette)
        masks = scaled(table, shown, photo)
        photo.add(
            title, note, group, draw.instances(photo.pixels, masks, colours, hollow=table.ignore[shown] > 0)
        )  # fmt: skip


def scaled(table, rows, photo):
    """(n, h, w) bool: the masks of `rows` at the size of the small photo."""
    size = photo.pixels.shape[:2]
    masks = [draw.scaled_masks(table.mask(int(row))[None], size)[0] for row in rows]
    return np.stack(masks) if masks else np.zeros((0, *size), bool)


def plural(number, word):
    return f"{number:,} {word}" + ("" if number == 1 else "s")
