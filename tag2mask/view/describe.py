"""What a store holds, as lines of text: helpers, then of every schema that stages share one function for the whole
store and one for an image of it. Stores of a single stage are described in its `look.py`."""

import numpy as np

ROWS = 40  # rows that are listed, the rest is counted


def grid(heads, rows):
    """Lines of a table: numbers to the right, text to the left."""
    cells = [[str(one) for one in heads]] + [[value(one) for one in row] for row in rows]
    numeric = [all(not isinstance(row[k], str) for row in rows) for k in range(len(heads))]
    width = [max(len(row[k]) for row in cells) for k in range(len(heads))]
    return [
        "  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, width, numeric)).rstrip() for row in cells
    ]


def value(one):
    """A cell: floats with three places, everything else as it prints."""
    return f"{one:.3f}" if isinstance(one, float | np.floating) else str(one)


def amount(size):
    """A number of bytes for people: 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000


def head(path, schema, arrays, *, size):
    """Lines that every kind of store has: schema, size on disk, its arrays."""
    rows = [
        (name, "x".join(map(str, a.shape)) or "()", "str" if a.dtype.kind == "U" else str(a.dtype), amount(a.nbytes))
        for name, a in arrays.items()
    ]
    return [f"{path}: {schema}, {amount(size)} on disk", "", *grid(("array", "shape", "dtype", "in memory"), rows)]


def named(names, category):
    return names.get(int(category), "background" if int(category) == 0 else f"class {int(category)}")


def classless(store, category):
    """What a map without a class is called, "" for a map of one."""
    named = "label map" if store.data.dtype == np.uint8 else store.meta.get("title", "map")
    return "" if category else named


def rest(number):
    return [f"... and {number - ROWS} more"] if number > ROWS else []


# ---- the whole store


def instances(table, names):
    """Per class the number of instances and images; instances per image."""
    image = table.image_of_row
    rows = []
    for c in np.unique(table.category):
        own = table.category == c
        score = table.score[own]
        rows.append((
            int(c), "proposal" if c == 0 else named(names, c), int(own.sum()), len(np.unique(image[own])),
            float(np.median(table.area[own])), float(score.min()), float(np.median(score)), float(score.max()),
        ))  # fmt: skip
    number = np.diff(table.first)
    spread = f", {number.min()} to {number.max()} an image, {number.mean():.1f} on average" if len(number) else ""
    crowd, difficult = int((table.ignore == 1).sum()), int((table.ignore == 2).sum())
    void = int((np.diff(table.void_first) > 0).sum())
    extra = [f"{crowd} crowds, {difficult} difficult, {void} images with void pixels"]
    heads = ("category", "name", "instances", "images", "median area", "score: least", "median", "most")
    return [f"{table.images} images, {len(table)} instances{spread}", *extra, "", *grid(heads, rows)]


def maps(store, names):
    shown = ", ".join(f"{key} {one}" for key, one in store.meta.items())
    rows = [
        (int(c), classless(store, c) or named(names, c), int((store.category == c).sum()))
        for c in np.unique(store.category)
    ]
    lines = [f"{store.images} images, {len(store)} maps of {store.data.dtype}" + (f" ({shown})" if shown else ""), ""]
    return lines + grid(("category", "name", "maps"), rows)


def index(store, names):
    counts = store.counts()
    lines = [
        f"{store.images} photos in {store.root}: {counts['train']} for training, {counts['with_masks']} with "
        f"masks to measure labels by, {counts['val']} for validation; {store.shards} shards"
    ]
    if store.skipped:
        lines += [f"skipped: {name}: {why}" for name, why in store.skipped[:ROWS]] + rest(len(store.skipped))
    owner = np.repeat(np.arange(store.images), np.diff(store.tag_first))
    rows = []
    for c, name in sorted(names.items()):
        tagged = owner[store.tag == c]
        rows.append((c, name, *(int(getattr(store, split)[tagged].sum()) for split in ("train", "val"))))
    return [*lines, "", *grid(("category", "name", "training photos", "validation photos"), rows)]


def peaks(table, names):
    rows = []
    for c in np.unique(table["category"]):
        score = table["score"][table["category"] == c]
        rows.append((int(c), named(names, c), len(score), float(score.mean())))
    return [f"{len(table['image_id'])} images, {len(table['score'])} peaks", "",
            *grid(("category", "name", "peaks", "mean score"), rows)]  # fmt: skip


# ---- one image of it


def instances_of(table, i, names):
    rows = table.numbers(i)
    kind = {0: "", 1: "crowd", 2: "difficult"}
    cells = [
        (
            int(table.id[n]), "proposal" if table.category[n] == 0 else named(names, table.category[n]),
            float(table.score[n]), round(table.area[n]), " ".join(f"{v:.0f}" for v in table.bbox[n]),
            kind[int(table.ignore[n])],
        )
        for n in rows[:ROWS]
    ]  # fmt: skip
    height, width = table.size[i]
    void = int(table.void_mask(i).sum())
    lines = [
        f"{table.image_id[i]}: {height} x {width} pixels (height x width), {len(rows)} instances, {void} void pixels"
    ]
    return [*lines, "", *grid(("id", "name", "score", "area", "x y width height", ""), cells), *rest(len(rows))]


def maps_of(store, i, names):
    categories, found = store.of(i)
    rows = []
    for c, m in zip(categories, found):
        shape = "x".join(map(str, m.shape))
        rows.append((classless(store, c) or named(names, c), shape, float(m.min()), float(m.mean()), float(m.max())))
    lines = [f"{store.image_id[i]}: {len(found)} maps", "", *grid(("name", "shape", "least", "mean", "most"), rows)]
    if store.data.dtype == np.uint8:
        for m in found:
            values, counts = np.unique(m, return_counts=True)
            shares = 100 * counts / m.size
            rows = [("ignore" if v == 255 else named(names, v), share) for v, share in zip(values, shares)]
            lines += ["", *grid(("label", "per cent of pixels"), rows)]
    return lines


def index_of(store, i, names):
    splits = [name for name in ("train", "with_masks", "val") if getattr(store, name)[i]]
    height, width = store.size[i]
    return [
        f"{store.image_id[i]}: {store.file(i)}, {height} x {width} pixels (height x width)",
        f"tags: {', '.join(named(names, c) for c in store.tags(i)) or 'none'}",
        f"splits: {', '.join(splits) or 'none'}; shard: {store.shard[i] if store.shard[i] >= 0 else 'none'}",
    ]


def peaks_of(table, i, names):
    part = slice(*table["first"][i : i + 2])
    rows = [
        (named(names, c), int(y), int(x), float(s))
        for c, (y, x), s in zip(table["category"][part], table["yx"][part], table["score"][part])
    ]
    return [f"{table['image_id'][i]}: {len(rows)} peaks", "", *grid(("name", "y", "x", "score"), rows)]
