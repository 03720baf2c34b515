"""What CIM costs: a training step and its memory, and mining beside the way its released code does it, in one run.

    python -m benchmarks.cim_step                          # 448 px, batch 4, one thread; about 8 minutes
    python -m benchmarks.cim_step --device cuda --widths 4096 4096
    python -m benchmarks.cim_step --repeats 1 --print      # prints, writes no page

Photos are generated scenes with proposals of our own, up to 500 and 2,000 a photo. A step is the loss of
`stages.cim.learn`, its gradient and the optimiser's update.
"Released way": IoU and containment of all pairs by two Python loops over painted masks, as the offline scripts make
them, then Algorithm 1 and the labels by loops over seeds and proposals; written anew from the paper. Of
its pairs only some rows are run, and the time is scaled to all. Ours starts at run lengths and does all of it. Writes
the section "cim-step" of docs/benchmarks.md.
"""

import argparse
import math
import os
import time
from statistics import median

COUNTS = (500, 2000)
CLASSES = 20


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=448, help="side of the photos, pixels")
    parser.add_argument("--widths", type=int, nargs=2, default=(256, 256), help="of the fully connected layers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=20, help="rows of pairs that the released way is timed on")
    parser.add_argument("--print", action="store_true", help="print, and leave the page as it is")
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))

    from benchmarks import sections

    found = {count: measured(count, given) for count in COUNTS}
    text = page(found, given)
    print(text)
    if not given.print:
        sections.write("cim-step" + ("-cuda" if given.device.startswith("cuda") else ""), text)


def measured(count, given):
    """Medians in seconds: {"step", "prepare", "ours", "released"} and "memory" in MB, for so many proposals a photo."""
    import numpy as np
    import torch

    from benchmarks.bestie_step import most_memory, now
    from stages.cim.config import Config
    from stages.cim.learn import drawn, optimiser_of, photo_losses, total
    from stages.cim.network import build
    from tag2mask.learn.loop import start
    from tag2mask.run.job import Job

    config = Config(sides=(given.size,), longest=given.size, widths=given.widths, branches=3)
    start(Job(device=given.device, threads=given.threads))
    photos = scenes(count, config, given)
    model = build(config, CLASSES, weights="imagenet").to(given.device).train()
    model.backbone.freeze(config.freeze)
    optimiser, device = optimiser_of(model, config), torch.device(given.device)
    times = {name: [] for name in ("step", "ours", "released")}
    for repeat in range(given.repeats + 1):
        rng = np.random.default_rng(repeat)
        begin = now(device)
        batch = [drawn(photos, position, rng, config=config) for position in range(given.batch)]
        scores = model(*zip(*(shown for _, shown, _ in batch)))
        parts = [
            photo_losses(one, photos.samples[p], photos.overlaps(p), draws, config=config)
            for (p, _, draws), one in zip(batch, scores)
        ]
        optimiser.zero_grad(set_to_none=True)
        torch.stack([total(one, config) for one in parts]).mean().backward()
        optimiser.step()
        if repeat:
            times["step"].append(now(device) - begin)
    memory = most_memory(given.device)
    for _ in range(given.repeats):
        one = [scores[0].log_y.detach(), scores[0].t.detach()]
        times["ours"].append(ours(photos, one, config=config))
        times["released"].append(released(photos, one, rows=given.rows, config=config))
    return {name: median(values) for name, values in times.items()} | {
        "memory": memory,
        "number": len(photos.samples[0].sets),
    }


def scenes(count, config, given):
    """`Photos` of scenes with `count` proposals each; painted masks of the first are kept as `masks`."""
    from types import SimpleNamespace

    import numpy as np

    from stages.cim.photos import Photos
    from stages.images.scenes import CLASSES as SHAPES
    from stages.images.scenes import make_scene
    from stages.proposals import proposed
    from stages.proposals.config import Config as Proposals
    from tag2mask.data.instances import InstancesBuilder
    from tag2mask.run.job import Job

    table, pictures, cues = InstancesBuilder({}), [], {}
    for k in range(given.batch):
        scene = make_scene(0, k, size=given.size)
        rles, score = proposed(
            scene.photo, config=Proposals(count=count, nms_iou=0.7 if count <= 500 else 0.95, min_area=20)
        )
        table.add(f"{k}", scene.photo.shape[:2], rles, category=0, score=score)
        pictures.append(scene.photo)
        middle = [np.argwhere(mask).mean(0).astype(int) for mask in scene.masks]
        cues[f"{k}"] = np.asarray(scene.category), np.array(middle).reshape(-1, 2)
    index = SimpleNamespace(
        image_id=[f"{k}" for k in range(given.batch)], categories=dict(enumerate(range(CLASSES), start=1)),
        tags=lambda i: sorted({int(c) for c in cues[f"{i}"][0]}), photo=lambda i: pictures[i],
    )  # fmt: skip
    assert len(SHAPES) <= CLASSES
    photos = Photos(index, [table.finish()], cues, config=config, job=Job(device=given.device))
    photos.store = table.finish()
    return photos


def ours(photos, scores, *, config):
    """CPU seconds, of one photo, from run lengths to the labels of all branches."""
    import torch

    from stages.cim.network import Scores
    from stages.cim.photos import chosen, overlaps_of, runs_of
    from stages.cim.sets import sets_of
    from stages.cim.targets import pseudo_labels

    begin = time.process_time()
    store = photos.store
    sets, _ = sets_of(*runs_of(store, chosen(store, 0, None)), store.size[0])
    overlaps = overlaps_of(sets, config=config, device="cpu")
    tags = torch.from_numpy(photos.samples[0].tags)
    given = Scores(*(one.cpu() for one in scores))
    for k in range(1, config.branches + 1):
        pseudo_labels(given, k, overlaps, tags, torch.rand(len(sets), dtype=torch.float64), config=config)
    return time.process_time() - begin


def released(photos, scores, *, rows, config):
    """CPU seconds of the same by Python loops; the pairs of `rows` proposals, scaled to all."""
    import numpy as np

    masks, count = photos.store.masks(0), len(photos.samples[0].sets)
    iou, inside = np.zeros((count, count)), np.zeros((count, count))
    begin = time.process_time()
    for i in range(min(rows, count)):
        for j in range(count):
            inner = np.logical_and(masks[i], masks[j]).sum()
            area_i, area_j = masks[i].sum(), masks[j].sum()
            iou[i, j] = inner / (area_i + area_j - inner)
            inside[i, j] = inner / area_j
    pairs = (time.process_time() - begin) * count / min(rows, count)
    begin = time.process_time()
    log_y, t = (one.cpu().numpy() for one in scores)
    big = [bool((inside[i] > config.contain).sum() >= config.big * count) for i in range(count)]
    for k in range(1, config.branches + 1):
        found = {}
        for c in photos.samples[0].tags:
            kept = []
            for i in np.argsort(-log_y[k - 1, :, c])[: math.ceil(config.seed_share * count)]:
                if all(iou[i, j] < config.class_iou for j in kept):
                    kept.append(i)
            for seed in kept:
                able = [i for i in range(count) if inside[i, seed] > config.contain and not big[i]]
                if able:
                    best = max(able, key=lambda i: t[k - 1, i, c])
                    found[best] = (c, float(np.exp(log_y[k - 1, best, c]) * t[k - 1, best, c]))
        for i in range(count):
            best = max(found, key=lambda j: iou[i, j], default=None)
            _ = best is not None and iou[i, best] > config.class_iou
    return pairs + time.process_time() - begin


def page(found, given):
    """The section's text."""
    import torch

    from benchmarks.cut_tables import table

    where = torch.cuda.get_device_name() if given.device.startswith("cuda") else f"{given.threads} thread(s), CPU time"
    rows = [
        [
            f"{one['number']:,}", f"{one['step']:.2f}", f"{one['memory']:,.0f}", f"{one['ours']:.3f}",
            f"{one['released']:.1f}", f"{one['released'] / one['ours']:,.0f}",
        ]
        for one in found.values()
    ]  # fmt: skip
    head = [
        "proposals a photo", "s a training step", "most memory so far, MB", "s to mine a photo, ours",
        "s, the released way", "times faster",
    ]  # fmt: skip
    repeats = "" if given.repeats == 5 else f" --repeats {given.repeats}"
    options = "" if given.device == "cpu" else f" --device {given.device} --widths {given.widths[0]} {given.widths[1]}"
    return "\n\n".join([
        "## A training step of CIM, and its mining beside the released way",
        f"`python -m benchmarks.cim_step{options}{repeats}`",
        f"{given.size} x {given.size} pixels, batch {given.batch}, {where}, packaged backbone, {CLASSES} classes, "
        f"fully connected layers of {given.widths[0]} and {given.widths[1]}, medians of {given.repeats}. Mining: "
        f"overlaps of all pairs and the labels of three branches, once. The released way's pairs are timed on "
        f"{given.rows} rows and scaled. Asked: at least 50 times faster a photo.",
        table(head, rows),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
