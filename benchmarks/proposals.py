"""Proposals, today's and those led by learned edges and saliency, against OpenCV's selective search and random order.

    python -m benchmarks.proposals --root photos20

root : a dataset in the VOC layout; the objects are those of SegmentationObject, the list is
ImageSets/Segmentation/<split>.txt. Writes the section "Proposals" of docs/benchmarks.md. Masks are read here, to
measure, and nowhere in the stage.
"""

import argparse
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image

from benchmarks import sections
from stages.proposals import proposed
from stages.proposals.config import Config
from tag2mask.data import rle
from tag2mask.data.photo import read_photo
from tag2mask.run.plan import Plan
from tag2mask.run.registry import alone

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


OURS, RANDOM = "proposals", "the same set in random order"
VARIANTS = {OURS: "default", "proposals led by edges and saliency": "edges"}  # method -> of config/recipes.yaml
SEARCH = "selective search, fast"
LEADS = {"boundaries": "edges.edges", "salient": "saliency.salient"}  # keyword of `proposed` -> what makes it


def section_of(variant):
    """The keys of a variant of `proposals` in config/recipes.yaml, with those of the stages that lead it."""
    plan = Plan.load(yaml.safe_load(Path("config/recipes.yaml").read_text()) | {"show": ["full"]})
    return plan.section("proposals", variant)["config"]


def timed(make, files, given=None):
    """(what `make` gives of every photo, CPU seconds of each, peak MB of the process).

    make : function of a photo and of the keywords that `given`, a list, has for it.
    """
    cv2.setNumThreads(1)
    given = given or [{}] * len(files)
    make(read_photo(files[0]), **given[0])  # imports and weights are not counted
    made, seconds = [], []
    for file, keywords in zip(files, given):
        photo = read_photo(file)
        start = time.process_time()
        made.append(make(photo, **keywords))
        seconds.append(time.process_time() - start)
    return made, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def lead(what, section, files):
    """`timed` of an artifact that leads proposals, "<stage>.<artifact>"."""
    make = alone(what)
    made, *rest = timed(lambda photo: make(photo, section), files)
    return [one[0] if isinstance(one, tuple) else one for one in made], *rest


def rles_of(section, files, leads):
    """`timed` of proposals as RLE dicts; leads : keyword of `proposed` -> its value of every photo."""
    config = Config(**section)
    given = [dict(zip(leads, values)) for values in zip(*leads.values())]
    return timed(lambda photo, **keywords: proposed(photo, config=config, **keywords)[0], files, given)


def searched(files):
    """`timed` of selective search."""
    return timed(selective_search, files)


def in_a_process(function, *args):
    """The function's result, from a process of its own: its peak memory is that of this work alone."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def methods(files):
    """method -> (RLE dicts of every photo, CPU seconds of each, peak MB), jobs as in a run one process each."""
    found = {}
    for method, variant in VARIANTS.items():
        section, leads = section_of(variant), {}
        for keyword, what in LEADS.items():
            if what.split(".")[0] in section["upstream"]:
                leads[keyword] = in_a_process(lead, what, section["upstream"][what.split(".")[0]], files)
        parts = [*leads.values(), in_a_process(rles_of, section, files, {key: one[0] for key, one in leads.items()})]
        seconds = np.sum([one[1] for one in parts], 0)
        found[method] = parts[-1][0], seconds, max(one[2] for one in parts)
    return found | {SEARCH: in_a_process(searched, files)}


def overlaps(found, truth):
    """method -> (counts, G) best IoU of every object among the first 20, 100, 500; the random order of OURS too."""
    rng, best = np.random.default_rng(0), {}
    for method, (rles, _, _) in found.items():
        for one, objects in zip(rles, truth):
            iou = np.reshape(rle.iou(one, objects), (len(one), len(objects)))
            orders = {method: iou} | ({RANDOM: iou[rng.permutation(len(iou))]} if method == OURS else {})
            for key, rows in orders.items():
                best.setdefault(key, []).append(np.array([rows[:count].max(0) for count in COUNTS]))
    return {key: np.concatenate(value, 1) for key, value in best.items()}


def table(found, truth, *, command):
    """The section of docs/benchmarks.md as text. found : what `methods` gives. truth : RLE dicts of every photo."""
    best, area = overlaps(found, truth), np.concatenate([rle.area(one) for one in truth])
    inside = {name: (area >= low) & (area < high) for name, low, high in SIZES}
    spread = np.random.default_rng(0).choice(best[OURS][-1], (1000, len(area))).mean(1).std()
    shares = ", ".join(f"{int(flags.sum())} {name}" for name, flags in inside.items())
    lines = [
        "## Proposals",
        "",
        f"`{command}`",
        "",
        f"{len(truth)} photos, {len(area)} objects ({shares}; COCO's sizes), one thread. Per count: mask ABO (mean "
        "over the objects of the best IoU), recall at IoU 0.5 and at 0.7, per cent. Bootstrap error of an ABO: "
        f"{100 * spread:.1f}. Selective search gives boxes: filled rectangles. As in a run every "
        "stage has a process of its own: seconds are the sum over the stages that a method needs, peak memory is that "
        "of the largest.",
        "",
        "| method | " + " | ".join(f"{count} masks" for count in COUNTS) + " | CPU s a photo | peak MB |",
        "|---|" + "---|" * (len(COUNTS) + 2),
    ]
    for method, rows in best.items():
        cells = [f"{pc(row.mean())} / {pc((row >= 0.5).mean())} / {pc((row >= 0.7).mean())}" for row in rows]
        if method in found:
            _, seconds, peak = found[method]
            cells += [f"{np.mean(seconds):.2f} (most {np.max(seconds):.2f})", f"{peak:.0f}"]
        else:
            cells += ["-", "-"]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    lines += ["", "ABO by object size:", ""]
    lines += ["| method | size | " + " | ".join(f"{count} masks" for count in COUNTS) + " |", "|---|---|" + "---|" * 3]
    for method, rows in best.items():
        for name, flags in inside.items():
            cells = [pc(row[flags].mean()) if flags.any() else "-" for row in rows]
            lines.append(f"| {method} | {name} | " + " | ".join(cells) + " |")
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
    names = (args.root / "ImageSets" / "Segmentation" / f"{args.split}.txt").read_text().split()[: args.limit]
    found = methods([args.root / "JPEGImages" / f"{name}.jpg" for name in names])
    truth = [objects(args.root / "SegmentationObject" / f"{name}.png") for name in names]
    command = f"python -m benchmarks.proposals --root {args.root}"
    command += f" --split {args.split}" * (args.split != "val") + f" --limit {args.limit}" * (args.limit is not None)
    text = table(found, truth, command=command)
    sections.write("proposals", text, args.output)
    print(text)


if __name__ == "__main__":
    main()
