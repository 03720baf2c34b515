"""Proposals against OpenCV's selective search and against random order of the same set, on photos with masks.

    python -m benchmarks.proposals --root ../shared/data/photos20

root : a dataset in the VOC layout; the objects are those of SegmentationObject, the list is
ImageSets/Segmentation/<split>.txt.
Writes the section "Proposals" of docs/benchmarks.md. Masks are read here, to measure, and nowhere in the stage.
"""

import argparse
import resource
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks import sections
from stages.proposals import proposed
from stages.proposals.config import Config
from tag2mask.data import rle
from tag2mask.data.photo import read_photo

COUNTS = (20, 100, 500)
SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, np.inf))  # COCO's, pixels
VOID = 255


def selective_search(photo):
    """Boxes of OpenCV's selective search, fast mode, in its order, as RLE dicts of filled rectangles."""
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(photo[..., ::-1]))
    search.switchToSelectiveSearchFast()
    height, width = photo.shape[:2]
    return [rectangle(box, height, width) for box in search.process()[: max(COUNTS)]]


def rectangle(box, height, width):
    """The RLE dict of a filled box (x, y, w, h)."""
    x, y, w, h = (int(value) for value in box)
    runs = np.tile([height - h, h], w)
    runs[0] = x * height + y
    runs = np.append(runs, height * width - runs.sum())
    return rle.from_counts(runs, (height, width))


def objects(path):
    """RLE dicts of the objects of a VOC object map; void pixels belong to none."""
    labels = np.asarray(Image.open(path))
    values = [value for value in np.unique(labels) if value not in (0, VOID)]
    return [rle.encode((labels == value)[None])[0] for value in values]


def measure(root, *, split, config, seed, limit):
    """(best, seconds, area): (method, count) -> best IoU of every object (G,), method -> CPU seconds a photo, (G,)."""
    names = (root / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()[:limit]
    rng = np.random.default_rng(seed)
    best, seconds, areas = {}, {}, []
    photo = read_photo(root / "JPEGImages" / f"{names[0]}.jpg")
    proposed(photo, config=config)  # imports are not counted
    for name in names:
        photo = read_photo(root / "JPEGImages" / f"{name}.jpg")
        truth = objects(root / "SegmentationObject" / f"{name}.png")
        areas.append(rle.area(truth))
        sets = {}
        for method, make in (
            ("proposals", lambda p: proposed(p, config=config)[0]),
            ("selective search, fast", selective_search),
        ):
            start = time.process_time()
            sets[method] = make(photo)
            seconds.setdefault(method, []).append(time.process_time() - start)
        ours = sets["proposals"]
        sets["the same set in random order"] = [ours[k] for k in rng.permutation(len(ours))]
        for method, rles in sets.items():
            iou = rle.iou(rles, truth)
            for count in COUNTS:
                found = iou[:count].max(0) if len(truth) else np.zeros(0)
                best.setdefault((method, count), []).append(found)
    return {key: np.concatenate(value) for key, value in best.items()}, seconds, np.concatenate(areas)


def table(best, seconds, area, *, photos, command):
    """The section of docs/benchmarks.md as text."""
    inside = {name: (area >= low) & (area < high) for name, low, high in SIZES}
    spread = np.random.default_rng(0).choice(best["proposals", 500], (1000, len(area))).mean(1).std()
    shares = ", ".join(f"{int(flags.sum())} {name}" for name, flags in inside.items())
    lines = [
        "## Proposals",
        "",
        f"`{command}`",
        "",
        f"{photos} photos, {len(area)} objects ({shares}; COCO's sizes), one thread. Per count: mask ABO (mean over "
        "the objects of the best IoU), recall at IoU 0.5 and at 0.7, per cent. Bootstrap error of an ABO: "
        f"{100 * spread:.1f}. Selective search gives boxes: filled rectangles.",
        "",
        "| method | " + " | ".join(f"{count} masks" for count in COUNTS) + " | CPU s a photo |",
        "|---|" + "---|" * (len(COUNTS) + 1),
    ]
    methods = list(dict.fromkeys(method for method, _ in best))
    for method in methods:
        cells = []
        for count in COUNTS:
            value = best[method, count]
            cells.append(f"{pc(value.mean())} / {pc((value >= 0.5).mean())} / {pc((value >= 0.7).mean())}")
        times = seconds.get(method)
        cells.append(f"{np.mean(times):.2f} (most {np.max(times):.2f})" if times else "-")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines += ["", "ABO by object size:", ""]
    lines += ["| method | size | " + " | ".join(f"{count} masks" for count in COUNTS) + " |", "|---|---|" + "---|" * 3]
    for method in methods:
        for name, flags in inside.items():
            cells = [pc(best[method, count][flags].mean()) if flags.any() else "-" for count in COUNTS]
            lines.append(f"| {method} | {name} | " + " | ".join(cells) + " |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines += ["", f"Peak memory of the whole run {peak:.0f} MB."]
    return "\n".join(lines) + "\n"


def pc(share):
    return f"{100 * share:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, default=None, help="only the first that many photos")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    best, seconds, area = measure(args.root, split=args.split, config=Config(), seed=0, limit=args.limit)
    command = f"python -m benchmarks.proposals --root {args.root}"
    command += f" --split {args.split}" * (args.split != "val") + f" --limit {args.limit}" * (args.limit is not None)
    text = table(best, seconds, area, photos=len(seconds["proposals"]), command=command)
    sections.write("proposals", text, args.output)
    print(text)


if __name__ == "__main__":
    main()
