"""The section "cut" of docs/benchmarks.md from the results of `benchmarks.cut`."""

from statistics import median

GAP = 1e-6  # relative: what counts as exact


def table(head, rows):
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in [head, ["---"] * len(head), *rows])


def seconds(values):
    """The median, with the number of runs where there were not five."""
    middle = median(values)
    shown = f"{middle:.3f}" if middle < 0.1 else f"{middle:.2f}" if middle < 10 else f"{middle:.0f}"
    return shown if len(values) == 5 else f"{shown} ({len(values)})"


def ratio(found):
    """(text, number) of peer over own; "at least" where the peer met its time limit."""
    value = median(found["peer_seconds"]) / median(found["seconds"])
    return ("" if found["peer_done"] else "> ") + (f"{value:.0f}" if value >= 10 else f"{value:.1f}"), value


def pc(share):
    return "-" if share is None else f"{100 * share:.1f}"


def text(results, *, command):
    """Markdown. results : {Case: dict from `cut.measure`}."""
    voc = {case: found for case, found in results.items() if case.shape == "voc"}
    largest = max((case.nodes for case in voc), default=0)
    parts = ["## The multi-way cut", f"`{command}`", INTRO]
    whole = {case: found for case, found in voc.items() if case.nodes == largest and not case.peer}
    if whole:
        parts += [f"{largest:,} nodes of VOC's shape:", overview(whole), labels(whole)]
    coco = {case: found for case, found in results.items() if case.shape == "coco"}
    if coco:
        nodes = max(case.nodes for case in coco)
        limit = max(case.limit for case in coco)
        parts += [
            f"COCO's shape: {nodes:,} nodes, 81 labels, own tags, time limit {limit:.0f} s:",
            overview(coco),
            labels(coco),
        ]
    for peer, title in PEERS.items():
        chosen = {case: found for case, found in voc.items() if case.peer == peer}
        if chosen:
            parts += [title, peers(chosen)]
    grown = growth(voc)
    if grown:
        parts += ["Growth, seconds:", grown]
    verdicts = bar(results)
    if verdicts:
        parts += ["The bar:", verdicts]
    return "\n\n".join(parts) + "\n"


INTRO = (
    "Generated problems (`benchmarks/cut_problems.py`), one seed; seconds are medians of five solves, in brackets the "
    "number of solves where time allowed fewer; each case in a process of its own; MB is that process's peak, in "
    "brackets before the first solve."
)
SIZES = {"pulp": 2_000, "lp": 20_000}  # nodes at which the bar names each peer
NAMES = {"pulp": "plain PuLP", "lp": "the unreduced program"}
PEERS = {
    "pulp": "Against plain PuLP (an integer program per component, only allowed labels, one-sided rows, HiGHS):",
    "lp": "Against one unreduced linear program handed to HiGHS as a matrix:",
}


def overview(chosen):
    rows = [
        [
            case.regime, case.neighbours, case.labels, f"{found['edges']:,}", seconds(found["seconds"]),
            f"{found['peak_mb']:,.0f} ({found['before_mb']:,.0f})", f"{found['energy']:.4f}", f"{found['bound']:.4f}",
            f"{found['gap']:.1e}", found["status"],
        ]
        for case, found in chosen.items()
    ]  # fmt: skip
    head = ["regime", "neighbours", "labels", "edges", "s", "MB", "energy", "bound", "gap", "status"]
    return table(head, rows)


def labels(chosen):
    rows = [
        [
            case.regime, case.neighbours, case.labels, f"{found['components']:,}", f"{found['largest']:,}",
            pc(found["fixed"]), pc(found["changed"]), f"{found['label']}: {pc(found['share'])}",
            f"{pc(found['right_before'])} / {pc(found['right'])}",
        ]
        for case, found in chosen.items()
    ]  # fmt: skip
    head = ["regime", "neighbours", "labels", "components", "largest", "fixed before the LP, %"]
    return table([*head, "changed by the cut, %", "most frequent label: %", "right before / after, %"], rows)


def peers(chosen):
    rows = []
    for case, found in chosen.items():
        differ = "-"
        if found["peer_done"]:
            differ = f"{(found['own_energy'] - found['peer_energy']) / max(abs(found['peer_energy']), 1e-9):.0e}"
        rows.append(
            [f"{case.nodes:,}", case.regime, case.neighbours, case.labels, seconds(found["seconds"]),
             seconds(found["peer_seconds"]), ratio(found)[0], differ]
        )  # fmt: skip
    head = ["nodes", "regime", "neighbours", "labels", "s", "peer s", "peer / own", "energy, relative difference"]
    return table(head, rows)


def growth(voc):
    sizes = sorted({case.nodes for case in voc})
    lines = {}
    for case, found in voc.items():
        lines.setdefault((case.regime, case.neighbours, case.labels), {})[case.nodes] = seconds(found["seconds"])
    rows = [[*key, *(found.get(size, "-") for size in sizes)] for key, found in lines.items() if len(found) > 1]
    return table(["regime", "neighbours", "labels", *(f"{size:,}" for size in sizes)], rows) if rows else ""


def bar(results):
    """A line for each part of the bar that these results speak of: what is wanted, what was found."""
    full = [(case, found) for case, found in results.items() if not case.peer]
    voc = [(case, found) for case, found in full if case.shape == "voc" and case.nodes >= 200_000]
    needed = [found for case, found in voc if (case.regime, case.labels) != ("noisy", "all")]
    lines = []
    if needed:
        gap, proven = max(found["gap"] for found in needed), all(found["status"] == "optimal" for found in needed)
        lines.append(
            verdict(f"gap <= {GAP:.0e} at 200,000 nodes (noisy, all aside)", f"{gap:.1e}", proven and gap <= GAP)
        )
    for neighbours, most, memory in (("mutual", 1, 500), ("union", 10, 1500)):
        own = [
            f for case, f in voc if (case.neighbours, case.labels) == (neighbours, "tags") and case.regime != "noisy"
        ]
        if own:
            slowest, peak = max(median(f["seconds"]) for f in own), max(f["peak_mb"] for f in own)
            found = f"{slowest:.2f} s, {peak:,.0f} MB"
            wanted = f"own tags, {neighbours} (noisy aside): <= {most} s and {memory:,} MB"
            lines.append(verdict(wanted, found, slowest <= most and peak <= memory))
    for peer, labels, least in (("pulp", "all", 100), ("lp", "all", 20), ("pulp", "tags", 20), ("lp", "tags", 10)):
        chosen = {c: f for c, f in results.items() if c.peer == peer and c.nodes >= SIZES[peer] and c.regime != "noisy"}
        own = [ratio(found) for case, found in chosen.items() if case.labels == labels]
        if own:
            text, value = min(own, key=lambda one: one[1])
            wanted = f"{labels} labels, {SIZES[peer]:,} nodes (noisy aside): >= {least} times as fast as {NAMES[peer]}"
            lines.append(verdict(wanted, f"least {text}", value >= least))
    coco = [found for case, found in full if case.shape == "coco" and case.nodes >= 600_000]
    if coco:
        slowest, peak = max(max(f["seconds"]) for f in coco), max(f["peak_mb"] for f in coco)
        found = f"{slowest:.0f} s, {peak:,.0f} MB, gap {max(f['gap'] for f in coco):.1e}"
        lines.append(verdict("COCO's shape: a gap within 600 s and 6,000 MB", found, slowest <= 615 and peak <= 6000))
    return "\n".join(lines)


def verdict(wanted, found, reached):
    return f"- {wanted}: {found}, {'reached' if reached else '**not reached**'}"
