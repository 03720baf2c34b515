"""Peak response maps a second: by one backward pass a peak as in PRM's code and as here, and together, in one run.

    python -m benchmarks.prm_maps                              # 448 px, 16 peaks, one thread; about 2 minutes
    python -m benchmarks.prm_maps --device cuda --threads 8
    python -m benchmarks.prm_maps --repeats 1 --print          # prints, writes no page

A classifier of 20 classes on the packaged backbone at stride 16, with random class weights; the peaks are the highest
responses of a random photo, of any class. `together` is `stages.prm.backpropagation.responses`, which hands back as
many peaks at once as --at-once says; `one by one` asks torch for one gradient a peak, by the same rule. `PRM's way` is
the rule as its code has it, in hooks before and behind every convolution, whose backward pass is torch's own; one
backward pass a peak. The forward passes are timed by themselves. All take turns; seconds are medians. Most memory is
that of all until then, in the order of the table. Writes the section "prm-maps" of docs/benchmarks.md.
"""

import argparse
import os
from statistics import median

CLASSES, WAYS = 20, ("PRM's way", "one by one", "together")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="another one than the packaged is random")
    parser.add_argument("--size", type=int, default=448, help="side of the photo, pixels")
    parser.add_argument("--peaks", type=int, default=16)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--print", action="store_true", help="print, and leave the page as it is")
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))

    from benchmarks import sections

    text = page(measured(given), given)
    print(text)
    if not given.print:
        sections.write("prm-maps" + ("-cuda" if given.device.startswith("cuda") else ""), text)


def measured(given):
    """{"forward" or a way: seconds of each repeat; ("memory", a way): MB; "apart": greatest difference of the maps,
    in parts of their greatest value}."""
    from benchmarks.bestie_step import most_memory, now
    from tag2mask.learn.loop import start
    from tag2mask.run.job import Job

    start(Job(device=given.device, threads=given.threads))
    network, x = scene(given)
    found = {(what, way): [] for what in ("forward", "back") for way in WAYS}
    for repeat in range(given.repeats + 1):
        made = {}
        for way in WAYS:
            begin = now(x.device)
            begun, maps, starts = forward(network, x, peaks=given.peaks, hooks=way == WAYS[0])
            middle = now(x.device)
            made[way] = back(begun, maps, starts, at_once=given.at_once if way == "together" else None)
            if repeat:  # what comes first warms up
                found["forward", way].append(middle - begin)
                found["back", way].append(now(x.device) - middle)
            else:
                found["memory", way] = most_memory(given.device)
            del begun, maps
    first, *others = (made[way] for way in WAYS)
    found["apart"] = max(float((one - first).abs().max() / first.max()) for one in others)
    return found


def scene(given):
    """(network x -> class maps, x (1, 3, size, size)), on the device."""
    import torch

    from tag2mask.learn import backbone, pretrained

    weights = "imagenet" if given.backbone in pretrained.PACKAGED else "none"
    net = backbone.create(given.backbone, weights, output_stride=16, head=True)
    score = torch.nn.Conv2d(net.channels[-1], CLASSES, 1, bias=False)
    for module in (net, score):
        module.to(given.device).eval().requires_grad_(False)
    x = torch.randn(1, 3, given.size, given.size, generator=torch.Generator().manual_seed(0))
    return lambda x: score(net(x)[-1]), x.to(given.device)


def hooked(input, weight, bias=None, *how):
    """A convolution with PRM's rule in hooks: what arrives is divided, what leaves is multiplied."""
    import torch
    import torch.nn.functional as F

    shifted = (input - input.min()).detach()
    entering = input.view_as(input)
    entering.register_hook(lambda gradient: gradient * shifted)
    total = F.conv2d(entering - input.min().detach(), weight.clamp(min=0), None, *how)
    small = (total < 1e-10).detach()
    leaving = total.view_as(total)
    leaving.register_hook(lambda gradient: torch.where(small, 0, gradient / total.detach()))
    return F.conv2d(input.detach(), weight, bias, *how) + (leaving - leaving.detach())


def forward(network, x, *, peaks, hooks):
    """(x, maps, starts (P, K, h, w)): the traced pass, PRM's way where `hooks`, and its highest responses."""
    from contextlib import nullcontext
    from unittest import mock

    import torch
    import torch.nn.functional as F

    from stages.prm import backpropagation

    own = {"walked": hooked, "normed": F.batch_norm, "POINTWISE": ()} if hooks else {}
    with mock.patch.multiple(backpropagation, **own) if own else nullcontext():
        x, maps = backpropagation.traced(network, x)
    start = torch.zeros(peaks, maps[0].numel(), device=x.device)
    start[torch.arange(peaks), maps.detach().flatten().topk(peaks).indices] = 1
    return x, maps, start.view(peaks, *maps.shape[1:])


def back(x, maps, starts, *, at_once):
    """(P, H, W): the maps, at_once by `responses`, or by one gradient a peak where it is None."""
    import torch

    from stages.prm.backpropagation import responses, shares

    if at_once:
        return responses(x, maps, starts, at_once=at_once)
    return torch.cat([shares(torch.autograd.grad(maps, x, one[None], retain_graph=True)[0].sum(1)) for one in starts])


def page(found, given):
    """The section's text."""
    import torch

    from benchmarks.cut_tables import table

    where = torch.cuda.get_device_name() if given.device.startswith("cuda") else f"{given.threads} thread(s), CPU time"
    slow, rows = median(found["back", WAYS[0]]), []
    for way in WAYS:
        seconds = median(found["back", way])
        rows.append(
            [way, f"{median(found['forward', way]):.3f}", f"{seconds:.3f}", f"{given.peaks / seconds:.1f}",
             f"{slow / seconds:.2f}", f"{found['memory', way]:.0f}"]
        )  # fmt: skip
    options = "" if given.device == "cpu" else f" --device {given.device}"
    return "\n\n".join([
        "## Peak response maps a second",
        f"`python -m benchmarks.prm_maps{options}`",
        f"{given.peaks} peaks of a photo of {given.size} x {given.size} pixels, {given.at_once} at once, "
        f"{given.backbone}, {where}, {given.repeats} repeats in turns. Asked: 5 times as many.",
        table(["peaks", "s forward", "s back", "maps a second", "times", "most memory, MB"], rows),
        f"Maps a second count the way back alone. They differ by at most {found['apart']:.1g} of the greatest value.",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
