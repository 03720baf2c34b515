"""Generated scenes: photos with tags and exact masks, a function of a seed. No file is read or written here.

Classes differ by shape and parts only (`stages.images.shapes`). Colours and textures of objects, of clutter and of
the ground come from one distribution, and all classes have the same distribution of area, so that a histogram of
colours says nothing about a photo's tags. Everything in this file is ours.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from stages.images.colours import GROUND_CONTRAST, colour, rgb, slope, texture
from stages.images.shapes import CLASSES, SHAPES

__all__ = ["CLASSES", "MEASURED_FIRST", "VAL_FIRST", "Scene", "make_scene", "scene_numbers"]

VAL_FIRST = 1_000_000  # number of the first validation scene, whatever the number of training scenes
MEASURED_FIRST = 2_000_000  # and of the first of those that only labels are measured on

OBJECTS = (0.16, 0.26, 0.26, 0.19, 0.13)  # share of scenes with 1, 2, ... 5 objects
TWO_CLASSES = 0.45  # of the scenes with at least two objects; the others hold one class
SIDE = (23.0, 62.0)  # square root of an object's area in a scene of 160 pixels
COVER = 0.42  # of the photo, at most, under objects
OBJECT_CONTRAST = 16.0  # the same, to other objects; but a share SAME_COLOUR of touching objects repeats the colour
SAME_COLOUR = 0.12
VISIBLE = 0.5  # least visible share of an object, after occlusion and the photo's border
LEAST_PIXELS = 90  # least visible area of an object in a scene of 160 pixels
SUPERSAMPLE = 4


@dataclass(frozen=True)
class Scene:
    """One photo and its truth.

    photo : (H, W, 3) uint8 RGB. masks : (n, H, W) bool, the visible part of each object, disjoint. category : (n,)
    int64, keys of `CLASSES`. A pixel is an object's where the object covers at least half of it.
    """

    photo: np.ndarray
    masks: np.ndarray
    category: np.ndarray

    @property
    def tags(self):
        """Category ids present, sorted."""
        return tuple(sorted(set(self.category.tolist())))


@dataclass
class _Sprite:
    """An object in its own patch: alpha, tone (h, w) float32, mask (h, w) bool; `at` = (y, x) in the photo."""

    alpha: np.ndarray
    tone: np.ndarray
    mask: np.ndarray
    outline: np.ndarray
    area: int
    category: int
    at: tuple = (0, 0)
    partner: int = -1


def scene_numbers(n_train, n_val, n_measured=0):
    """{split: list of `i` for `make_scene`} of a dataset; a longer list begins with the shorter one."""
    count = {"train": (0, n_train), "val": (VAL_FIRST, n_val), "measured": (MEASURED_FIRST, n_measured)}
    return {split: list(range(first, first + number)) for split, (first, number) in count.items()}


def make_scene(seed, i, *, size=160, touch=0.3):
    """Scene number i of the dataset with this seed: 1 to 5 objects of one or two classes. Returns a `Scene`.

    size : height and width in pixels, at least 64. touch : probability that an object with an earlier one of its own
    class is laid against it, in [0, 1]; the default makes about four objects in ten touch one of their own class.
    """
    if size < 64:
        raise ValueError(f"size is {size}, at least 64 is needed to draw objects with parts")
    rng = np.random.default_rng((seed, i))
    sprites, owner = _lay_out(rng, size, touch)
    photo = _paint(rng, sprites, owner, size)
    masks = np.stack([owner == k for k in range(len(sprites))])
    return Scene(photo, masks, np.array([s.category for s in sprites], np.int64))


# ------------------------------------------------------------------------------------------------- where objects lie


def _lay_out(rng, size, touch):
    """Objects with places, and the map of who is on top: (size, size) int32, -1 = ground. Later objects lie on top."""
    scale = size / 160
    count = 1 + rng.choice(len(OBJECTS), p=OBJECTS)
    classes = rng.permutation(list(CLASSES))[: 2 if count > 1 and rng.random() < TWO_CLASSES else 1]
    wanted = np.concatenate([classes, rng.choice(classes, count - len(classes))])
    # one log-uniform size for the scene, spread a little within it: near and far views, and near and far objects
    view = np.exp(rng.uniform(*np.log(SIDE)))
    sides = np.clip(view * np.exp(rng.uniform(-0.35, 0.35, count)), *SIDE) * scale
    sides *= min(1.0, np.sqrt(COVER * size * size / np.sum(sides**2)))
    sides = np.maximum(sides, SIDE[0] * scale)

    sprites, owner = [], np.full((size, size), -1, np.int32)
    for category, side in zip(wanted.tolist(), sides):
        kin = [k for k, s in enumerate(sprites) if s.category == category]
        against = bool(kin) and rng.random() < touch
        for trial in range(24):
            if trial % 6 == 0:  # a new turn and shape, smaller each time that six places did not do
                sprite = _draw(rng, category, max(side * 0.85 ** (trial // 6), SIDE[0] * scale))
            if against:
                sprite.partner = int(rng.choice(kin))
                sprite.at = _beside(rng, sprites[sprite.partner], sprite)
            else:
                inner = rng.uniform(0.12, 0.88, 2) * size
                sprite.at = tuple(round(c - n / 2) for c, n in zip(inner, sprite.mask.shape))
            laid = _lay(sprite, len(sprites), owner)
            crowded = not against and np.any((laid != owner) & (owner >= 0)) and rng.random() < 0.75
            if not crowded and _all_seen(laid, [*sprites, sprite], scale):
                sprites.append(sprite)
                owner = laid
                break
        # an object that finds no place is left out; the first one always finds one
    if not sprites:
        sprite = _draw(rng, int(wanted[0]), SIDE[0] * scale)
        sprite.at = tuple((size - n) // 2 for n in sprite.mask.shape)
        sprites, owner = [sprite], _lay(sprite, 0, owner)
    return sprites, owner


def _draw(rng, category, side):
    """An object of the class with a random shape, mirror and turn, and an area of side^2 pixels before occlusion."""
    parts = SHAPES[category](rng)
    turn = np.deg2rad(rng.uniform(-50, 50))
    flip = rng.choice([-1.0, 1.0])
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([(flip * cos, flip * sin), (-sin, cos)])  # row vectors: mirror x, then turn
    outlines = [[o @ matrix for o in p.outlines] for p in parts]
    points = np.concatenate([o for p in outlines for o in p])
    low, high = points.min(0), points.max(0)

    def fill(image, k, value, zoom, offset):
        fixed = [np.round(((o - low) * zoom + offset) * 16).astype(np.int32) for o in outlines[k]]
        cv2.fillPoly(image, fixed, value, shift=4)

    solid = [k for k, p in enumerate(parts) if not p.detail]
    trial_zoom = 64 / (high - low).max()
    trial = np.zeros((68, 68), np.uint8)
    for k in solid:
        fill(trial, k, 1, trial_zoom, 1.0)
    zoom = side * trial_zoom / np.sqrt(np.count_nonzero(trial))

    width, height = (int(np.ceil(n)) + 4 for n in (high - low) * zoom)
    fine = np.zeros((height * SUPERSAMPLE, width * SUPERSAMPLE), np.float32)
    tone = np.ones_like(fine)
    detail_tone = rng.choice([rng.uniform(0.58, 0.76), rng.uniform(1.22, 1.4)])
    for k, part in enumerate(parts):
        where = (k, detail_tone if part.detail else rng.uniform(0.9, 1.1), zoom * SUPERSAMPLE, 2.0 * SUPERSAMPLE)
        fill(tone, *where)
        if not part.detail:
            fill(fine, k, 1.0, *where[2:])
    alpha = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    tone = cv2.resize(tone * fine, (width, height), interpolation=cv2.INTER_AREA) / np.maximum(alpha, 1e-3)
    mask = alpha >= 0.5
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = np.concatenate(contours)[:, 0, ::-1]  # (n, 2) rows (y, x)
    return _Sprite(alpha, tone, mask, outline, int(np.count_nonzero(mask)), category)


def _beside(rng, partner, sprite):
    """(y, x) for the sprite so that it touches its partner, or overlaps it a little, from a random side."""
    angle = rng.uniform(0, 2 * np.pi)
    along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
    fixed = partner.outline + partner.at
    moved = sprite.outline - sprite.outline.mean(0) + fixed.mean(0)
    moved = moved + across * rng.uniform(-0.3, 0.3) * np.sqrt(partner.area)
    # rays two pixels wide along the direction: the sprite goes out until no ray finds it in its partner
    ray = [np.floor(p @ across / 2).astype(int) for p in (fixed, moved)]
    first = min(r.min() for r in ray)
    reach = np.full(max(r.max() for r in ray) - first + 1, -np.inf)
    start = np.full(len(reach), np.inf)
    np.maximum.at(reach, ray[0] - first, fixed @ along)
    np.minimum.at(start, ray[1] - first, moved @ along)
    gap = reach - start
    out = gap[np.isfinite(gap)].max() if np.isfinite(gap).any() else 0.0
    overlap = 1.0 if rng.random() < 0.5 else rng.uniform(0.04, 0.3) * np.sqrt(sprite.area)
    place = (moved - sprite.outline)[0] + along * (out - overlap)
    return tuple(round(v) for v in place)


def _windows(at, shape, size):
    """Slices of the photo and of a patch of this shape lying at (y, x), cut at the border; None when outside."""
    photo, patch = [], []
    for start, n in zip(at, shape):
        low, high = max(start, 0), min(start + n, size)
        if low >= high:
            return None
        photo.append(slice(low, high))
        patch.append(slice(low - start, high - start))
    return tuple(photo), tuple(patch)


def _lay(sprite, k, owner):
    """A copy of the owner map with the sprite on top as number k."""
    laid = owner.copy()
    windows = _windows(sprite.at, sprite.mask.shape, len(owner))
    if windows:
        laid[windows[0]][sprite.mask[windows[1]]] = k
    return laid


def _all_seen(owner, sprites, scale):
    """Whether every object still shows enough of itself."""
    seen = np.bincount(owner.ravel() + 1, minlength=len(sprites) + 1)[1:]
    return all(n >= max(VISIBLE * s.area, LEAST_PIXELS * scale**2) for n, s in zip(seen, sprites))


# ---------------------------------------------------------------------------------------------------- how things look


def _paint(rng, sprites, owner, size):
    """The photo: ground, clutter, objects from the bottom to the top, light from one side, noise."""
    scale = size / 160
    ground = colour(rng)
    photo = rgb(ground) * texture(rng, size, size, scale)[..., None]
    for _ in range(rng.integers(0, 5)):
        _clutter(rng, photo, ground, scale)
    light = rng.uniform(0, 2 * np.pi)
    towards = np.array([np.sin(light), np.cos(light)], np.float32)
    colours = []
    for sprite in sprites:
        if sprite.partner >= 0 and rng.random() < SAME_COLOUR:
            shade = colours[sprite.partner]
        else:
            shade = colour(rng, away=[(ground, GROUND_CONTRAST), *((c, OBJECT_CONTRAST) for c in colours)])
        colours.append(shade)
        _shadow(photo, sprite, towards, rng.uniform(0.1, 0.3), scale)
        windows = _windows(sprite.at, sprite.mask.shape, size)
        (ys, xs), patch = windows
        look = texture(rng, *sprite.mask.shape, scale) * _relief(sprite, towards, scale) * sprite.tone
        paint = rgb(shade) * look[patch][..., None]
        cover = sprite.alpha[patch][..., None]
        photo[ys, xs] = photo[ys, xs] * (1 - cover) + paint * cover
    photo *= (1 - rng.uniform(0, 0.12) * slope(towards, size, size))[..., None]
    photo += rng.uniform(1.5, 5.0) * rng.standard_normal(photo.shape, np.float32)
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)


def _relief(sprite, towards, scale):
    """Light and rim of an object, (h, w) float32: brighter towards the light, a darker edge a pixel or two wide."""
    height, width = sprite.mask.shape
    depth = cv2.distanceTransform(np.pad(sprite.mask, 1).view(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    rim = 1 - 0.24 * np.exp(np.minimum(1 - depth, 0) / (0.9 * scale))
    return (1 - 0.08 * slope(towards, height, width)) * rim


def _shadow(photo, sprite, towards, strength, scale):
    """Darken, in place, what lies around and under the object on the side away from the light; soft and faint."""
    pad = round(5 * scale)
    shade = cv2.GaussianBlur(np.pad(sprite.alpha, pad), (0, 0), 1.8 * scale)
    at = tuple(round(a - pad + 1.6 * scale * t) for a, t in zip(sprite.at, towards))
    windows = _windows(at, shade.shape, len(photo))
    if windows:
        photo[windows[0]] *= (1 - strength * shade[windows[1]])[..., None]


def _clutter(rng, photo, ground, scale):
    """Paint, in place, one small pebble-like thing of no class, in a colour half way to the ground's."""
    corners = rng.integers(3, 9)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(4, 10, corners) * scale
    stretch = rng.uniform(0.4, 1.0)
    points = np.stack([radius * np.cos(angle), stretch * radius * np.sin(angle)], 1) + rng.uniform(0, len(photo), 2)
    layer = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(layer, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    x, y, width, height = cv2.boundingRect(layer)
    if width == 0:
        return
    where = (slice(y, y + height), slice(x, x + width))
    shade = rgb((colour(rng) + ground) / 2)
    cover = layer[where][..., None].astype(np.float32) / 255
    paint = shade * texture(rng, height, width, scale)[..., None]
    photo[where] = photo[where] * (1 - cover) + paint * cover
