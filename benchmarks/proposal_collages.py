"""The choice of the proposals' constants on collages of training photos: no mask of any photo is read.

    python -m benchmarks.proposal_collages --root photos20 --number 40

A collage is a training photo with 3 to 8 blobs pasted onto it, each of one to three parts cut out of another photo,
with areas spread evenly over the logarithm, colours drawn towards the ground and soft edges; the blobs are its
objects. Prints mask ABO / recall at 0.5 at 20, 100 and 500 masks for each setting.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from stages.proposals import leads
from stages.proposals.config import Config
from stages.proposals.hierarchy import propose
from tag2mask.data.photo import read_photo

COUNTS = (20, 100, 500)
SETTINGS = [
    {"contour_sigmas": sigmas, "contour_power": power}
    for sigmas in ((1.0,), (1.0, 2.0, 4.0), (1.0, 2.0, 4.0, 8.0))
    for power in (0.0, 1.0, 2.0, 3.0)
] + [{"nms_iou": iou} for iou in (0.6, 0.8, 0.9)]
LED = {"edges": True, "upstream": {"edges": {"side": 320}, "saliency": {"source": "u2netp"}}}
SETTINGS += [
    LED | {"trees": ("edges", "edges+colour", *beside)}
    for beside in (
        (),
        ("lab+histogram", "lab+texture+place"),
        ("lab+histogram", "lab+texture+place", "lab+place"),
        ("histogram", "chroma+texture", "lab+texture+place"),
        ("lab", "histogram", "texture"),
        Config().trees,
    )
]
SETTINGS += [
    LED | {"trees": ("edges", "edges+colour", "lab", "histogram", "texture"), "salient": True, "salient_lead": lead}
    for lead in (0.0, 1.0, 3.0)
]
SETTINGS += [
    SETTINGS[-2] | {"upstream": LED["upstream"] | {"edges": {"side": side, "int8": int8}}}
    for side, int8 in ((320, False), (256, True), (320, True), (384, True), (448, True))
]


def blob(rng, shape, *, centre, radius):
    """(H, W) bool: a star-shaped blob about `centre` (y, x), stretched, turned and with a wavy outline."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    y, x, stretch, turn = y - centre[0], x - centre[1], np.exp(0.15 * rng.normal()), rng.uniform(0, np.pi)
    u, v = (x * np.cos(turn) + y * np.sin(turn)) / stretch, (y * np.cos(turn) - x * np.sin(turn)) * stretch
    angle, outline = np.arctan2(v, u), 1.0
    for k in range(2, 6):
        outline = outline + 0.25 * rng.normal() / k * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(u, v) < radius * np.maximum(outline, 0.3)


def paste(rng, ground, part, source):
    """`ground` (H, W, 3) float32 with a random crop of `source` under the mask `part`, changed in place."""
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    scale = max(1, 1.02 * height / source.shape[0], 1.02 * width / source.shape[1])
    if scale > 1:
        source = cv2.resize(source, None, fx=scale, fy=scale)
    top, left = rng.integers(source.shape[0] - height + 1), rng.integers(source.shape[1] - width + 1)
    crop = source[top : top + height, left : left + width]
    inside = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    mean = crop[inside].mean(0)
    shift = (ground[part].mean(0) - mean) * rng.uniform(0, 0.8)
    fill = np.broadcast_to(mean + shift, ground.shape).copy()
    fill[part] = crop[inside] + shift
    alpha = cv2.GaussianBlur(part.astype(np.float32), (0, 0), rng.uniform(0.5, 1.2))[..., None]
    ground += alpha * (fill - ground)


def collage(files, *, seed):
    """(photo (H, W, 3) uint8, masks (n, H, W) bool of what is visible of the pasted objects, 100 pixels or more)."""
    rng = np.random.default_rng(seed)

    def draw():
        return read_photo(files[rng.integers(len(files))]).astype(np.float32)

    ground, masks = draw(), []
    shape = ground.shape[:2]
    for _ in range(rng.integers(3, 9)):
        source, parts = draw(), rng.integers(1, 4)
        radius = np.sqrt(np.exp(rng.uniform(np.log(300), np.log(0.25 * shape[0] * shape[1]))) / np.pi / parts)
        centre, turn, whole = rng.uniform(0, shape), rng.uniform(0, np.pi), np.zeros(shape, bool)
        for _ in range(parts):
            size = radius * np.exp(0.3 * rng.normal())
            part = blob(rng, shape, centre=centre, radius=size)
            centre = centre + 1.4 * size * np.array([np.sin(turn), np.cos(turn)])
            if part.any():
                paste(rng, ground, part, source)
                whole |= part
        masks = [mask & ~whole for mask in masks] + [whole]
    photo = np.clip(ground, 0, 255).astype(np.uint8)
    photo = cv2.imdecode(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 88])[1], cv2.IMREAD_COLOR)
    return photo, np.array([mask for mask in masks if mask.sum() >= 100]).reshape(-1, *shape)


def best_overlaps(photo, masks, *, config):
    """(3, n): the best IoU of each mask among the first 20, 100 and 500 proposals."""
    membership, labels, _ = propose(photo, config=config, **leads.alone(photo, config))
    superpixels = membership.shape[1]
    inside = np.stack([np.bincount(labels[mask], minlength=superpixels) for mask in masks], 1)
    area = membership @ np.bincount(labels.ravel(), minlength=superpixels)
    inner = membership.astype(np.float64) @ inside
    iou = inner / (area[:, None] + masks.sum((1, 2))[None] - inner)
    return np.stack([iou[:count].max(0) for count in COUNTS])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--number", type=int, default=40)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    names = (args.root / "ImageSets" / "Main" / "train.txt").read_text().split()
    files = [args.root / "JPEGImages" / f"{name}.jpg" for name in names]
    made = [collage(files, seed=seed) for seed in range(args.number)]
    for setting in SETTINGS:
        config = Config(**setting)
        found = [best_overlaps(photo, masks, config=config) for photo, masks in made if len(masks)]
        iou = np.concatenate(found, 1)
        shown = "  ".join(f"{100 * row.mean():.1f} / {100 * (row >= 0.5).mean():.0f}" for row in iou)
        print(f"{shown}  {iou.shape[1]} objects  {setting}", flush=True)


if __name__ == "__main__":
    main()
