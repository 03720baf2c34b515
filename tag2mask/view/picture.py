"""What a store holds as a picture: tiles with captions, or bars where there is no photo to draw on. No I/O."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tag2mask.data.scale import LARGEST
from tag2mask.view import draw
from tag2mask.view.describe import classless

GROUND, INK, FAINT = (24, 25, 29), (236, 236, 238), (150, 152, 160)
SIDE, SMALL = 760, 300  # longer side of one photo's tile, and of one of many
MASKS = 40  # masks of one photo that are drawn
GAP = 14


def font(size):
    return ImageFont.load_default(size=size)


def shortened(text, width, type_):
    """`text`, cut with an ellipsis where it is wider than `width` pixels."""
    while text and type_.getlength(text) > width:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    return text


def sheet(tiles, *, title, columns=None):
    """One picture of tiles [(picture (h, w, 3) uint8, caption)], in rows, under a title. (H, W, 3) uint8 RGB."""
    columns = columns or min(len(tiles), 4 if len(tiles) > 3 else max(1, len(tiles)))
    cell = max(p.shape[1] for p, _ in tiles)
    rows = [tiles[k : k + columns] for k in range(0, len(tiles), columns)]
    line, top = 26, 50
    heights = [max(p.shape[0] for p, _ in row) + line + GAP for row in rows]
    width, height = columns * (cell + GAP) + GAP, top + sum(heights) + GAP // 2
    page = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, 14), shortened(title, width - 2 * GAP, font(18)), INK, font(18))
    y = top
    for row, tall in zip(rows, heights):
        for k, (picture, caption) in enumerate(row):
            x = GAP + k * (cell + GAP)
            page.paste(Image.fromarray(picture), (x, y))
            draw.text((x, y + picture.shape[0] + 5), shortened(caption, cell, font(14)), FAINT, font(14))
        y += tall
    return np.asarray(page)


def plates(picture, masks, texts, colours):
    """Class names on plates at the masks' tops; plates that would cover one another move down or are left out."""
    page = Image.fromarray(picture)
    draw, type_, taken = ImageDraw.Draw(page), font(14), []
    for mask, text, colour in zip(masks, texts, colours):
        y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(y):
            continue
        wide, tall = int(type_.getlength(text)) + 10, 20
        left = int(np.clip(x.mean() - wide / 2, 0, max(0, picture.shape[1] - wide)))
        for above in range(max(0, int(y[0]) - tall // 2), max(1, int(y[-1])), 8):
            up = min(above, picture.shape[0] - tall)
            box = (left, up, left + wide, up + tall)
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                taken.append(box)
                draw.rounded_rectangle(box, 4, fill=tuple((0.35 * colour).astype(int).tolist()))
                draw.text((left + 5, up + 2), text, (255, 255, 255), type_)
                break
    return np.asarray(page)


def instances(photo, table, i, *, names, side):
    """Image i of an instance table over its photo: colour = class, shade = instance; crowds and difficult ones hollow,
    void pixels striped. Of many masks the best-scored are drawn."""
    photo = draw.fitted(photo, side)
    rows = table.numbers(i)
    rows = rows[np.argsort(-table.score[rows], kind="stable")][:MASKS]
    masks = draw.scaled_masks(table.masks(i, rows, within=LARGEST), photo.shape[:2])
    category = table.category[rows]
    if len(rows) and not category.any():
        return draw.proposals(photo, masks)
    colours = draw.shades(category, draw.Palette([c for c in names if c > 0]))
    void = draw.scaled_masks(table.void_mask(i, within=LARGEST)[None], photo.shape[:2])[0]
    stripes = (np.add.outer(*map(np.arange, photo.shape[:2])) // 4) % 2 == 0
    picture = draw.instances(photo, masks, colours, hollow=table.ignore[rows] != 0)
    picture[void & stripes] = (0.6 * picture[void & stripes] + 0.4 * 235).astype(np.uint8)
    if side < SIDE:
        return picture
    texts = [
        names.get(int(c), str(c)) + (f" {s:.2f}" if s < 1 else "") + ("", " (crowd)", " (difficult)")[int(g)]
        for c, s, g in zip(category, table.score[rows], table.ignore[rows])
    ]
    return plates(picture, masks, texts, colours)


def maps(photo, store, i, *, names, side):
    """Tiles [(picture, caption)] of image i: a heat map a class, or the label map with its classes."""
    photo, palette = draw.fitted(photo, side), draw.Palette([c for c in names if c > 0])
    categories, found = store.of(i)
    if store.data.dtype == np.uint8:
        return [
            (
                draw.label_map(photo, m, palette),
                ", ".join(names.get(c, str(c)) for c in np.unique(m).tolist() if c not in (0, 255))
                or "background only",
            )
            for m in found
        ]
    return [
        (draw.heat(photo, [c], [m], palette), f"{classless(store, c) or names.get(int(c), int(c))}, most {m.max():.2f}")
        for c, m in zip(categories, found)
    ]


def peaks(photo, table, i, *, names, side):
    """Rings at the peaks of image i over its photo, dimmed."""
    scale = side / max(photo.shape[:2])
    photo = draw.dimmed(draw.fitted(photo, side), keep=0.4, light=0.75)
    part = slice(*table["first"][i : i + 2])
    return draw.peaks(
        photo, table["yx"][part] * scale, table["category"][part], draw.Palette([c for c in names if c > 0])
    )


def bars(rows, *, title, unit):
    """Horizontal bars [(name, number, colour or None)] under a title. (H, W, 3) uint8 RGB."""
    line, left, width = 26, 170, 820
    page = Image.new("RGB", (width, 60 + line * max(1, len(rows)) + GAP), GROUND)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, 14), shortened(title, width - 2 * GAP, font(18)), INK, font(18))
    most = max([one for _, one, _ in rows], default=0) or 1
    for k, (name, number, colour) in enumerate(rows):
        y, long = 54 + k * line, number / most * (width - left - 130)
        text = shortened(name, left - 2 * GAP, font(14))
        draw.text((left - GAP - font(14).getlength(text), y + 2), text, INK, font(14))
        fill = (110, 150, 210) if colour is None else tuple(np.asarray(colour).tolist())
        draw.rounded_rectangle((left, y + 2, left + 2 + long, y + 18), 3, fill=fill)
        shown = f"{number:.3f}" if isinstance(number, float) else str(number)
        draw.text((left + 12 + long, y + 2), f"{shown} {unit}".rstrip(), FAINT, font(14))
    return np.asarray(page)
