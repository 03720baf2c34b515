"""What the self-refinement of BESTIE costs: a training step with it and the same step without it, in one run.

    python -m benchmarks.bestie_step                                # 416 px, batch 4, one thread; about 4 minutes
    python -m benchmarks.bestie_step --device cuda --batch 32
    python -m benchmarks.bestie_step --repeats 1 --print            # prints, writes no page

A step is the loss of `stages.bestie.learn`, its gradient and Adam's update, with the default configuration, the
packaged backbone and 20 classes. The refinement of an untrained network would have nothing to do: it is given drawn
maps instead of the network's own, in two forms. `objects`: 8 objects of three classes a photo, every second one of
which the centre map misses, with uneven offsets. `scattered`: about 150 blots a photo, each with a centre.
The steps of all forms take turns; seconds are medians. Writes the section "bestie-step" of docs/benchmarks.md.
"""

import argparse
import os
import time
from statistics import median

KINDS = ("objects", "scattered")
CLASSES = 20


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=416, help="side of the crop, pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--print", action="store_true", help="print, and leave the page as it is")
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))

    from benchmarks import sections

    text = page(measured(given), given)
    print(text)
    if not given.print:
        sections.write("bestie-step" + ("-cuda" if given.device.startswith("cuda") else ""), text)


def measured(given):
    """{"without" or a form: seconds of each step; (form, "labels"): seconds of making and drawing the labels;
    "instances": refined instances by form; "memory": most MB by "without" and "with"}."""
    from stages.bestie import network
    from stages.bestie.config import Config
    from stages.bestie.learn import optimiser_of
    from tag2mask.learn.loop import start
    from tag2mask.run.job import Job

    config = Config(batch=given.batch, size=given.size)
    start(Job(device=given.device, threads=given.threads))
    model, mean, std = network.build(config, CLASSES, seed=0)
    model.to(given.device).train()
    optimiser = optimiser_of(model, config)
    scenes = {kind: scene(kind, given, seed=k) for k, kind in enumerate(KINDS)}
    found = {"instances": {}, "memory": {}, "without": []}
    for kind in KINDS:
        found[kind], found[kind, "labels"] = [], []

    def run(kind):
        seconds, labels, instances = step(model, optimiser, scenes[kind or KINDS[0]], kind, mean, std, config=config)
        if kind:
            found["instances"][kind] = instances
        return seconds, labels

    for _ in range(2):  # what comes first warms up, and its memory stands alone
        run(None)
    found["memory"]["without"] = most_memory(given.device)
    for kind in KINDS:
        run(kind)
    found["memory"]["with"] = most_memory(given.device)
    for _ in range(given.repeats):
        found["without"].append(run(None)[0])
        for kind in KINDS:
            seconds, labels = run(kind)
            found[kind].append(seconds)
            found[kind, "labels"].append(labels)
    return found


def step(model, optimiser, scene, kind, mean, std, *, config):
    """(seconds of one training step, seconds of its refined labels and maps, number of refined instances)."""
    import torch

    from stages.bestie import losses
    from stages.bestie.labels import drawn
    from stages.bestie.learn import refined_labels
    from tag2mask.learn.backbone import normalise

    batch, tags, answer = scene
    device = tags.device
    begin = now(device)
    optimiser.zero_grad(set_to_none=True)
    x = normalise(batch.crops, mean, std, device=device).contiguous(memory_format=torch.channels_last)
    output = model(x)
    pseudo, refined, labels, took = drawn(batch.labels, CLASSES, sigma=config.sigma), None, (), 0.0
    if kind:
        first = now(device)
        labels = refined_labels(answer, tags, batch, config=config)
        refined = drawn(labels, CLASSES, sigma=config.sigma)
        took = now(device) - first
    losses.total(output, pseudo, refined, batch.target, config=config).backward()
    optimiser.step()
    return now(device) - begin, took, len(labels.photo) if labels else 0


def scene(kind, given, *, seed):
    """(Batch, tags (B, 20) bool, network.Output that shows its objects), on the device. Objects are discs."""
    import numpy as np
    import torch

    from stages.bestie.data import Sample, collate
    from stages.bestie.labels import drawn
    from stages.bestie.network import Output

    rng = np.random.default_rng(seed)
    side, many = given.size, 8 if kind == "objects" else 150
    y, x = np.mgrid[:side, :side]
    photos = []
    for _ in range(given.batch):
        classes = rng.choice(CLASSES, 3, replace=False)
        number, column = np.zeros((side, side), np.int32), rng.choice(classes, many)
        for n in range(many):
            middle, radius = rng.uniform(0, side, 2), rng.uniform(0.3, 1) * side / many**0.5 / 1.5
            number[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2] = n + 1
        seen = np.unique(number[number > 0], return_inverse=True)  # later discs may hide earlier ones whole
        number[number > 0] = 1 + seen[1].astype(np.int32)
        column = column[seen[0] - 1]
        center = np.stack([np.argwhere(number == n + 1).mean(0) for n in range(len(column))])
        target = np.where(number > 0, column[number - 1] + 1, 0).astype(np.uint8)
        crop = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
        photos.append(Sample(crop, target, number, np.ones((side, side), bool), column, center, None))
    batch = collate(photos).to(given.device)
    shown = drawn(batch.labels, CLASSES, sigma=6.0, everywhere=True)
    maps = (one.view(given.batch, side, side, -1).permute(0, 3, 1, 2) for one in (shown.center, shown.offset))
    centers, offsets = maps
    noise = torch.Generator(given.device).manual_seed(seed)

    def random(*shape):
        coarse = torch.randn(given.batch, *shape, side // 8, side // 8, generator=noise, device=given.device)
        return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")

    semantic = 3 * torch.nn.functional.one_hot(batch.target, CLASSES + 1).permute(0, 3, 1, 2) + random(CLASSES + 1)
    strength = torch.ones(len(batch.labels.photo), device=given.device)
    if kind == "objects":
        strength[::2] = 0.2  # below the threshold of a centre, above that of a cluster
    weight = torch.nn.functional.pad(strength, (1, 0))[batch.labels.number]
    center = (centers * weight[:, None] + 0.05 * random(CLASSES)).contiguous()
    tags = torch.zeros(given.batch, CLASSES, dtype=torch.bool, device=given.device)
    tags[batch.labels.photo, batch.labels.column] = True
    return batch, tags, Output(semantic, center, offsets + random(2))


def now(device):
    """Seconds: on the processor those of its own work, which a busy machine does not change; on a GPU by the clock,
    after all that it was asked for."""
    import torch

    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def most_memory(device):
    """MB: most that was held so far, by the process, or on a GPU by its tensors."""
    import torch

    from benchmarks.cut import peak_mb

    return torch.cuda.max_memory_allocated() / 2**20 if device.startswith("cuda") else peak_mb()


def page(found, given):
    """The section's text."""
    import torch

    from benchmarks.cut_tables import table

    where = torch.cuda.get_device_name() if given.device.startswith("cuda") else f"{given.threads} thread(s), CPU time"
    without, rows = median(found["without"]), []
    for kind in KINDS:
        whole, labels = median(found[kind]), median(found[kind, "labels"])
        more = median(b / a - 1 for a, b in zip(found["without"], found[kind]))
        instances = found["instances"][kind] / given.batch
        rows.append(
            [
                f"`{kind}`", f"{instances:.0f}", f"{without:.3f}", f"{whole:.3f}", f"{100 * more:.1f}",
                f"{labels:.3f}", f"{100 * labels / whole:.1f}",
            ]
        )  # fmt: skip
    head = [
        "maps", "refined instances a photo", "s a step without", "s a step with", "% longer (median of the pairs)",
        "s of labels and their maps", "% of the step",
    ]  # fmt: skip
    memory = found["memory"]
    options = "" if given.device == "cpu" else f" --device {given.device} --batch {given.batch}"
    return "\n\n".join([
        "## A training step of BESTIE with and without self-refinement",
        f"`python -m benchmarks.bestie_step{options}`",
        f"{given.size} x {given.size} pixels, batch {given.batch}, {where}, packaged backbone, {CLASSES} classes, "
        f"default configuration, {len(found['without'])} steps of each kind in turns. Asked: at most 20 % of a step.",
        table(head, rows),
        f"Most memory: {memory['without']:.0f} MB without, {memory['with']:.0f} MB with the refinement.",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
