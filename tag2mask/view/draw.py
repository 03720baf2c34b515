"""Drawing over photos: colour = class, shade = instance. Arrays in, arrays out, nothing modified.

Colours are made in OKLCH (Ottosson 2020), where equal steps look equally large. The classes' hues are spaced equally
round the circle, neighbours in the list far apart; where there are many, every second one is darker and duller.
"""

import math

import cv2
import numpy as np

from tag2mask.data.scale import resized

GOLDEN = 137.508  # degrees
MANY = 8  # classes that hues alone keep apart
LIGHT = (0.74, 0.54, 0.87, 0.64, 0.45, 0.80)  # lightness of the 1st, 2nd, ... instance of a class in a photo
AMBER = 75  # degrees
TURN = (0, 11, -11, -16, 4, 16)  # and how far its hue turns, in degrees


def oklch(light, chroma, hue):
    """(3,) uint8 sRGB of a colour; what leaves the gamut is clipped."""
    a, b = chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))
    lms = np.array([
        light + 0.3963377774 * a + 0.2158037573 * b,
        light - 0.1055613458 * a - 0.0638541728 * b,
        light - 0.0894841775 * a - 1.2914855480 * b,
    ]) ** 3  # fmt: skip
    matrix = np.array([
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ])  # fmt: skip
    linear = (matrix @ lms).clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * srgb).astype(np.uint8)


class Palette:
    """Colours of the classes: `palette(category)`, or `palette(category, k)` for its k-th instance in a photo."""

    def __init__(self, categories):
        n = max(len(categories), 1)
        step = next(s for s in range(max(1, round(0.382 * n)), n + 2) if math.gcd(s, n) == 1)
        self.place = {category: k * step % n for k, category in enumerate(sorted(categories))}
        self.gap = 360 / n
        self.turn = min(1.0, self.gap / 36)

    def __call__(self, category, k=0):
        """(3,) uint8 RGB; grey for a category that has no class."""
        if int(category) not in self.place:
            return oklch(0.7, 0.0, 0)
        place, k = self.place[int(category)], k % len(LIGHT)
        dull = len(self.place) > MANY and place % 2
        hue = 30 + self.gap * place + self.turn * TURN[k]
        return oklch(LIGHT[k] - (0.09 if dull else 0), 0.115 if dull else 0.16, hue)

    def css(self, category):
        return "#{:02x}{:02x}{:02x}".format(*self(category).tolist())


def fitted(photo, side):
    """The photo with `side` pixels along its longer side."""
    height, width = photo.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def scaled_masks(masks, size):
    """masks : (n, H, W) bool. Returns (n, h, w) bool with smooth edges."""
    if not len(masks):
        return np.zeros((0, *size), bool)
    smaller = size[0] < masks.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.stack([cv2.resize(m.astype(np.float32), size[::-1], interpolation=way) >= 0.5 for m in masks])


def shades(categories, palette):
    """(n, 3) uint8: the colour of each instance of one photo, the k-th of its class in its k-th shade."""
    seen, found = {}, []
    for category in categories:
        k = seen.get(int(category), 0)
        seen[int(category)] = k + 1
        found.append(palette(category, k))
    return np.array(found, np.uint8).reshape(-1, 3)


def instances(photo, masks, colours, *, opacity=0.62, hollow=None):
    """Masks over the photo, the first on top, each with a light outline; `hollow` ones ((n,) bool) outline only."""
    picture = dimmed(photo, keep=0.45, light=0.9).astype(np.float32)
    hollow = np.zeros(len(masks), bool) if hollow is None else hollow
    for k in reversed(range(len(masks))):
        if not hollow[k]:
            picture[masks[k]] += opacity * (colours[k] - picture[masks[k]])
    picture = np.ascontiguousarray(picture.round().astype(np.uint8))
    for k in reversed(range(len(masks))):
        light = (0.35 * colours[k] + 0.65 * 255).astype(int).tolist()
        outline(picture, masks[k], light)
    return picture


def outline(picture, mask, colour, width=1):
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, lines, -1, colour, width, cv2.LINE_AA)


def proposals(photo, masks):
    """Masks without a class, the best first: large ones below, every one in a colour of its own."""
    colours = [oklch(0.74, 0.12, 200 + GOLDEN * k) for k in range(len(masks))]
    order = np.argsort([mask.sum() for mask in masks], kind="stable") if len(masks) else []
    return instances(photo, masks[order], np.array(colours)[order] if len(masks) else [], opacity=0.38)


def dimmed(photo, *, keep, light):
    """The photo with a share `keep` of its colour, at a share `light` of its brightness."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None]
    return np.rint((keep * photo + (1 - keep) * grey.astype(np.float32)) * light).astype(np.uint8)


def heat(photo, categories, maps, palette):
    """Class maps in [0, 1] over a dark grey photo: hue = the strongest class, opacity = its response.

    A map of no class (0: saliency, edges) is amber, for grey would be lost on the photo.
    """
    picture = dimmed(photo, keep=0.0, light=0.55).astype(np.float32)
    if not len(maps):
        return picture.astype(np.uint8)
    size = photo.shape[1::-1]
    large = np.stack([cv2.resize(np.asarray(m, np.float32), size, interpolation=cv2.INTER_CUBIC) for m in maps])
    large = large.clip(0, 1)
    colours = np.array([palette(c) if c else oklch(0.74, 0.16, AMBER) for c in categories], np.float32)
    glow = np.array([palette(c, 2) if c else oklch(0.87, 0.16, AMBER) for c in categories], np.float32)
    best = large.argmax(0)
    value = large.max(0)[..., None]
    colour = colours[best] + (glow[best] - colours[best]) * (value**3)
    picture += 0.95 * value**0.8 * (colour - picture)
    return picture.clip(0, 255).round().astype(np.uint8)


def peaks(picture, yx, categories, palette):
    """Rings at `yx` ((P, 2) pixels of the picture), filled with the colour of their class."""
    picture = picture.copy()
    radius = max(3, round(max(picture.shape[:2]) / 45))
    for (y, x), category in zip(np.rint(yx).astype(int).tolist(), categories):
        cv2.circle(picture, (x, y), radius + 2, (20, 20, 24), -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y), radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y), radius - 2, palette(category).tolist(), -1, cv2.LINE_AA)
    return picture


def label_map(photo, labels, palette, *, ignore=255):
    """A semantic label map over the photo: classes in their colours, background dark, ignored pixels striped.

    labels : (H, W) uint8 category ids, at any size.
    """
    height, width = photo.shape[:2]
    labels = resized(labels, (height, width))
    picture = dimmed(photo, keep=0.0, light=0.5).astype(np.float32)
    present = [int(c) for c in np.unique(labels) if c not in (0, ignore)]
    for category in present:
        area = labels == category
        picture[area] += 0.68 * (palette(category) - picture[area])
    stripes = (np.add.outer(np.arange(height), np.arange(width)) // 4) % 2 == 0
    unsure = labels == ignore
    picture[unsure] = 0.55 * picture[unsure] + 0.45 * np.where(stripes[unsure], 205, 150)[:, None]
    picture = np.ascontiguousarray(picture.round().astype(np.uint8))
    for category in present:
        outline(picture, labels == category, (0.4 * palette(category) + 0.6 * 255).astype(int).tolist())
    return picture


def labelled(photo, masks, colours, labels):
    """Masks over the photo as `instances` paints them, each with its label (n str) on a plate of its colour."""
    picture = instances(photo, masks, colours)
    for k in reversed(range(len(masks))):
        write(picture, labels[k], masks[k], colours[k].tolist())
    return picture


def write(picture, text, mask, colour):
    """`text` on a plate of `colour` at the top of the mask, moved inside the picture; modifies `picture`."""
    height, width = picture.shape[:2]
    y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(y):
        return
    scale = min(0.9, max(0.3, min(height, width) / 800))
    (w, h), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left = int(np.clip(x[0], 0, max(0, width - w - 4)))
    top = int(np.clip(y[0] - h - below - 4, 0, max(0, height - h - below - 4)))
    cv2.rectangle(picture, (left, top), (left + w + 4, top + h + below + 4), colour, -1)
    place = (left + 2, top + h + 2)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)
