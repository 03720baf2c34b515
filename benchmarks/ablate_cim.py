"""CIM's Tables 4 to 6 and Figure 4 beside ours, from the recipes of benchmarks/config/ablate_cim.yaml.

    python -m benchmarks.ablate_cim results/ablate-cim [results/ablate-cim-1 ...]

Several folders are seeds of one configuration. Rows whose recipes are not built are left out, so a run that was stopped
can be read. Writes a section of docs/benchmarks.md. Ground truth is read here alone: the network never sees it.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks import sections
from benchmarks.ablate_bestie import built, text, value
from benchmarks.ablate_liid import grid, minutes_of, read
from tag2mask.data import rle
from tag2mask.data.instances import Instances
from tag2mask.data.tables import Table

# Table 4: (recipe, AGPL, MaskIoU, CIM, cascade, the paper's mAP50 and mAP75)
PARTS = [
    ("mist", 0, 0, 0, 0, 38.1, 17.5),
    ("agpl", 1, 0, 0, 0, 49.2, 20.6),
    ("maskiou", 1, 1, 0, 0, 48.8, 21.4),
    ("no_cascade", 1, 1, 1, 0, 50.1, 23.8),
    ("cim", 1, 1, 1, 1, 51.1, 26.1),
]
# Table 5: (recipe, step, mAP50, mAP75). Table 6: (share of seeds, recipe without sampling, mAP50, recipe with, mAP50)
CASCADE = [
    ("no_cascade", 0.0, 50.1, 23.8), ("cascade_05", 0.05, 51.6, 25.9), ("cim", 0.1, 51.1, 26.1),
    ("cascade_15", 0.15, 50.4, 26.8), ("cascade_20", 0.2, 50.5, 26.4),
]  # fmt: skip
SEEDS = [
    (0.05, "all_05", 50.5, "seeds_05", 51.5), (0.1, "all_10", 49.4, "cim", 51.1),
    (0.15, "all_15", 48.6, "seeds_15", 50.9), (0.2, "all_20", 47.8, "seeds_20", 51.1),
]  # fmt: skip
SIDE = ["cim", "cim_released", "cim_points", "transfer", "cam_cut", "liid", "bestie", "full"]
THRESHOLDS = ("mAP25", "mAP50", "mAP75")
HIT = 0.5  # mask IoU from which a seed or a mined proposal is an object


def spread(runs, recipe, key, part="network"):
    """ "mean (least-most)" of a recipe over the runs that have it, in per cent."""
    held = [value([run], recipe, part, key) for run in runs]
    held = [one for one in held if one is not None]
    if not held:
        return "-"
    return f"{np.mean(held):.1f}" + (f" ({min(held):.1f}-{max(held):.1f})" if len(held) > 1 else "")


def parts_table(runs):
    mark = {0: "", 1: "x"}
    body = [
        [
            f"`{recipe}`", *(mark[one] for one in on[:4]), *(spread(runs, recipe, key) for key in THRESHOLDS),
            f"{on[4]:.1f} / {on[5]:.1f}",
        ]
        for recipe, *on in PARTS
        if built(runs, recipe)
    ]  # fmt: skip
    head = ["recipe", "AGPL", "MaskIoU", "CIM", "cascade", *THRESHOLDS, "paper mAP50 / 75"]
    return compared(head, body)


def claims(runs):
    """One row a step of Table 4 and measure: the differences of every seed beside the paper's, and their sign."""
    found = []
    for (before, *low), (after, *high) in zip(PARTS, PARTS[1:]):
        if not (built(runs, before) and built(runs, after)):
            continue
        for key, theirs in (("mAP50", high[4] - low[4]), ("mAP75", high[5] - low[5])):
            pairs = [(value([run], before, "network", key), value([run], after, "network", key)) for run in runs]
            ours = [b - a for a, b in pairs if a is not None and b is not None]
            agree = sum(one * theirs > 0 for one in ours)
            mean = np.mean(ours)
            word = "agrees" if mean * theirs > 0 else "opposite"
            each = ", ".join(f"{one:+.1f}" for one in ours)
            found.append(
                [f"{after} over {before}", key, f"{mean:+.1f}", each, f"{theirs:+.1f}", word, f"{agree} of {len(ours)}"]
            )
    return grid(["step", "measure", "ours", "by seed", "paper", "sign of the mean", "seeds that agree"], found)


def cascade_table(run):
    body = [
        [
            f"{step:.2f}",
            *(text(value([run], recipe, "network", key)) for key in ("mAP50", "mAP75")),
            f"{a:.1f} / {b:.1f}",
        ]
        for recipe, step, a, b in CASCADE
        if built([run], recipe)
    ]
    return compared(["tau_cas", "mAP50", "mAP75", "paper mAP50 / 75"], body, least=3)  # two are rows of Table 4


def seeds_table(run):
    body = [
        [
            f"{share:.2f}", *(text(value([run], one, "network", "mAP50")) for one in (without, with_)),
            f"{a:.1f} / {b:.1f}",
        ]
        for share, without, a, with_, b in SEEDS
        if built([run], without) or built([run], with_)
    ]  # fmt: skip
    return compared(["p_seed", "mAP50 without sampling", "with", "paper without / with"], body, least=2)


def side_table(runs):
    body = []
    for recipe in SIDE:
        if built(runs, recipe, "labels"):
            body.append([
                f"`{recipe}`", *(spread(runs, recipe, key, "labels") for key in (*THRESHOLDS, "ABO")),
                *(spread(runs, recipe, key) for key in ("mAP50", "mAP75")),
                spread(runs, recipe, "mAP50", "predictions"),
            ])  # fmt: skip
    head = ["recipe", *(f"label {key}" for key in (*THRESHOLDS, "ABO")), "own mAP50", "own mAP75", "Mask R-CNN mAP50"]
    return compared(head, body)


def true_overlaps(folder, table):
    """(rows,) float64: best IoU of each row's proposal with an object of the row's class in its photo."""
    truth = Instances.load(folder / "images/default/truth.zarr.zip")
    place = {name: k for k, name in enumerate(truth.image_id)}
    image = {str(name): k for k, name in enumerate(table["image_id"])}
    found = np.zeros(len(table["image"]))
    for path in sorted((folder / "proposals/default").glob("[0-9]*.zarr.zip")):
        proposals = Instances.load(path)
        for k, name in enumerate(proposals.image_id):
            if name not in image:
                continue
            rows = np.flatnonzero(table["image"] == image[name])
            masks, objects = proposals.rles(proposals.rows(k)), truth.rows(place[name])
            iou = rle.iou(masks, truth.rles(objects))
            for category in np.unique(table["category"][rows]):
                mine = rows[table["category"][rows] == category]
                own = iou[:, truth.category[objects] == category]
                found[mine] = own.max(1, initial=0)[table["proposal"][mine]]
    return found


def snapshot_rows(folder, variant):
    """(by iteration and branch: rows of numbers) of a variant's snapshots, or [] where it has none.

    Each: iteration, branch, mean IoU of seeds and share above HIT, the same of mined ones, Spearman's rank correlation
    of the integrity score and the true IoU of a photo's proposals that touch an object of the class, mean over photos
    and classes.
    """
    path = folder / "cim" / variant / "snapshots.zarr.zip"
    if not path.exists():
        return []
    table = Table.load(path, "mined/1")
    if not len(table["image"]):
        return []
    iou, found = true_overlaps(folder, table), []
    for iteration in np.unique(table["iteration"]):
        for branch in np.unique(table["branch"]):
            part = (table["iteration"] == iteration) & (table["branch"] == branch)
            numbers = []
            for kind in ("seed", "mined"):
                held = iou[part & (table[kind] > 0)]
                numbers += [held.mean(), (held >= HIT).mean()] if len(held) else [np.nan, np.nan]
            found.append((int(iteration), int(branch), *numbers, rank_correlation(table, iou, part)))
    return found


def rank_correlation(table, iou, part):
    """Mean over photos and classes of Spearman's correlation between integrity and true IoU of proposals that touch."""
    rows = np.flatnonzero(part & (iou > 0))
    key = table["image"][rows].astype(np.int64) * 10_000 + table["category"][rows]
    order = np.argsort(key, kind="stable")
    groups = np.split(rows[order], np.flatnonzero(np.diff(key[order])) + 1)
    each = [
        stats.spearmanr(table["integrity"][group], iou[group]).statistic
        for group in groups
        if len(group) > 2 and np.ptp(table["integrity"][group]) > 0 and np.ptp(iou[group]) > 0
    ]
    return float(np.mean(each)) if each else np.nan


def figure_table(folders, recipe):
    """Figure 4 and the integrity scores over the training: means over the folders that have the variant."""
    runs = [rows for rows in (snapshot_rows(folder, recipe) for folder in folders) if rows]
    if not runs:
        return ""
    body = []
    for place, (iteration, branch, *_) in enumerate(runs[0]):
        mean = np.mean([rows[place][2:] for rows in runs], 0)
        body.append([
            f"{iteration:,}", str(branch), *(f"{100 * one:.1f}" for one in mean[:4]),
            f"{mean[4]:+.2f}" if branch else "-",
        ])  # fmt: skip
    head = ["iteration", "branch", "seeds: IoU", "% objects", "mined: IoU", "% objects", "integrity ~ true IoU"]
    return grid(head, body)


def section(runs, folders, *, command, title, minutes=None, only=()):
    """The Markdown text. runs : list of what `ablate_liid.read` gives, one a folder. only : beginnings of the headings
    that are kept; none: all.
    """
    one = next(iter(runs[0].values()))["labels"]
    seeds = f"{len(runs)} seeds: mean (least-most)" if len(runs) > 1 else "one seed"
    facts = f"Per cent, {seeds}. {one['photos']} training photos with {one['objects']} objects."
    facts += f" All jobs: {minutes:.0f} minutes on two cores." if minutes else ""
    lead = f"""## {title}

`{command}`

{facts} CIM's own network on the validation photos, without Mask R-CNN (Sec. 4.4). The paper's numbers are of VOC 2012
and ResNet-50: the direction is comparable, the height is not.
"""
    about = (
        f"Best IoU with an object of the class, and the share of at least {HIT:g}: of seeds and of mined proposals by "
        "each branch's scores (0: the anti-noise branch; what one mines, the next one learns). Last column: "
        "Spearman's rank correlation of integrity score and true IoU among a photo's proposals that touch an object."
    )
    curves = [
        (f"`{recipe}`{what}:", figure_table(folders, variant))
        for recipe, variant, what in (
            ("cim", "default", ""), ("no_cascade", "no_cascade", ", without the cascade"),
            ("maskiou", "maskiou", ", MIST's seeds as truth"),
        )
    ]  # fmt: skip
    drawn = [text for lead, table in curves if table for text in (lead, table)]
    parts = [
        ("Table 4: what each part adds", [parts_table(runs), claims(runs)]),
        ("Table 5: the cascade's step (one seed)", [cascade_table(runs[0])]),
        ("Table 6: share of seeds and sampling (one seed)", [seeds_table(runs[0])]),
        ("Labels and networks side by side", [side_table(runs)]),
        ("Figure 4: seeds, mined proposals and integrity over the training", [about, *drawn] if drawn else [""]),
    ]
    parts = [(head, texts) for head, texts in parts if texts[0] and (not only or head.startswith(tuple(only)))]
    return "\n\n".join([lead.strip(), *("\n\n".join([f"### {head}", *texts]) for head, texts in parts)])


def compared(head, body, *, least=1):
    """The table, or "" where it has fewer rows than `least`, with which there is nothing to compare."""
    return grid(head, body) if len(body) >= least else ""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders of ablate_cim.yaml, one a seed")
    parser.add_argument("--section", default="ablate-cim", help="marker in docs/benchmarks.md")
    parser.add_argument("--title", default="CIM's ablations on generated scenes")
    parser.add_argument("--command", default="make ablate-cim", help="what made the runs, to stand beside the numbers")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of the headings to keep, as 'Table 5'")
    parser.add_argument("--out", type=Path, default=sections.PAGE, help="the page whose section is written")
    given = parser.parse_args(argv)
    runs = [read(folder) for folder in given.runs]
    how = {"command": given.command, "title": given.title, "only": given.only}
    found = section(runs, given.runs, minutes=minutes_of(given.runs), **how)
    sections.write(given.section, found, given.out)
    print(found)


if __name__ == "__main__":
    main()
