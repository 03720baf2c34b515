"""LIID's ablation tables beside ours, and whether each difference that the paper states has its sign on our scenes.

    python -m benchmarks.ablate_liid results/ablate-liid-0 [results/ablate-liid-1 ...]

Several folders are seeds of one configuration (benchmarks/config/ablate_liid.yaml). Rows whose recipes are not built
yet are left out, so a run that was stopped can be read. Tables and the paper's numbers: benchmarks/liid_tables.yaml.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from benchmarks import sections
from stages.report.runs import busy, read_json

TABLES = Path(__file__).with_name("liid_tables.yaml")
MEASURES = ("AP50", "AP75", "ABO")  # LIID, Sec. 6.1: COCO's AP, "see in [37]"
SIMILAR = 0.5  # points; what the paper calls similar in its Table 6 differs by at most 0.4
ROUNDS = 0.05  # points; less is no difference at the paper's precision
GRAPH = ": graph over none"  # how a comparison of a row with itself ends
SIDES = {"without": "no graph", "with": "graph"}


@dataclass
class Claim:
    """One comparison of the paper. better, worse : recipes. paper : its difference per measure in points, or None."""

    text: str
    better: str
    worse: str
    paper: list | None
    similar: bool = False


def claims(table):
    """All comparisons of one table: graph against none, the best row against the others, the pairs of the text."""
    rows = {row["name"]: row for row in table["rows"]}
    best = rows[table["best"]]
    found = []
    for row in table["rows"]:
        if "with" in row and "without" in row:
            found.append(claim(f"{row['label']}{GRAPH}", (row, "with"), (row, "without")))
    for side, said in SIDES.items():
        for row in table["rows"]:
            if row is not best and side in row and side in best:
                similar = row["name"] in table.get("similar", ())
                text = f"{best['label']} {'like' if similar else 'over'} {row['label']}"
                both = sum(name in best and name in row for name in SIDES) == 2
                found.append(claim(f"{text}, {said}" if both else text, (best, side), (row, side), similar=similar))
    for pair in table.get("pairs", ()):
        (better, one), (worse, other) = pair["better"], pair["worse"]
        found.append(claim(pair["label"], (rows[better], one), (rows[worse], other)))
    return found


def claim(text, better, worse, *, similar=False):
    """better, worse : (row, "with" or "without")."""
    (row, side), (other, its) = better, worse
    paper = [round(a - b, 1) for a, b in zip(row["paper"][side], other["paper"][its])]
    return Claim(text, row[side], other[its], paper, similar)


def read(run):
    """recipe -> metrics of `evaluate`, with "cut": the counts of its graph cut's manifest, {} where it has none."""
    found = {}
    for path in sorted(run.glob("evaluate/*/metrics.json")):
        recipe = path.parent.name
        made = read_json(run / "pseudo_labels" / recipe / "labels.json").get("inputs", {})
        cut = next((name for name in made if name.startswith("graph_cut/")), None)
        counts = read_json(run / cut).get("counts", {}) if cut else {}
        found[recipe] = {**json.loads(path.read_text()), "cut": counts}
    if not found:
        raise SystemExit(f"{run}/evaluate holds no metrics; build benchmarks/config/ablate_liid.yaml first.")
    return found


def values(runs, recipe, part):
    """(seeds, 3) float64 in per cent: AP50, AP75, ABO of a recipe in each run that has it."""
    held = [run[recipe][part] for run in runs if run.get(recipe, {}).get(part)]
    return np.array([[100 * one[key] for key in MEASURES] for one in held]).reshape(-1, len(MEASURES))


def differences(runs, claim, part):
    """(seeds, 3) float64 in points: better minus worse, paired within the runs that have both."""
    both = [run for run in runs if all(run.get(name, {}).get(part) for name in (claim.better, claim.worse))]
    return values(both, claim.better, part) - values(both, claim.worse, part)


def noise(found):
    """(3,) standard deviation of a difference between seeds, pooled over `found` ((seeds, 3) each); nan without any."""
    freedom = sum(len(one) - 1 for one in found if len(one) > 1)
    if not freedom:
        return np.full(len(MEASURES), np.nan)
    return np.sqrt(sum(((one - one.mean(0)) ** 2).sum(0) for one in found if len(one) > 1) / freedom)


def verdict(values, sign, deviation, *, similar=False):
    """ "yes", "no" or "tie" of one measure.

    values : (seeds,) differences. sign : the paper's, 1 or -1. deviation : of one difference between seeds, or nan.
    A mean within two standard errors of 0, or one that rounds to 0, is a tie. Rows that the paper calls similar agree
    where the mean is within SIMILAR.
    """
    mean = float(np.mean(values))
    if similar:
        return "yes" if abs(mean) <= SIMILAR else "no"
    error = 0.0 if np.isnan(deviation) else deviation / np.sqrt(len(values))
    if abs(mean) < max(2 * error, ROUNDS):
        return "tie"
    return "yes" if np.sign(mean) == sign else "no"


def judged(runs, claims, part, *, deviation):
    """[(claim, (seeds, 3) differences, [verdict per measure])] of the claims whose recipes are built.

    deviation : (3,) of `noise`.
    """
    result = []
    for one in claims:
        found = differences(runs, one, part)
        if len(found):
            signs = np.sign(one.paper) if one.paper else np.ones(len(MEASURES))
            marks = [verdict(found[:, k], signs[k], deviation[k], similar=one.similar) for k in range(len(MEASURES))]
            result.append((one, found, marks))
    return result


def grid(head, rows):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])


def mean_text(found):
    """Means of (seeds, 3) as texts, dashes where no run has the row."""
    return [f"{value:.1f}" for value in found.mean(0)] if len(found) else ["-"] * len(MEASURES)


def rows_table(runs, table):
    """Our w1/w2 beside the paper's, and what the cut did."""
    head = ["row", *MEASURES, *(f"paper {name}" for name in MEASURES), "cut changed", "background", "largest component"]
    body = []
    for row in table["rows"]:
        sides = [side for side in SIDES if side in row]
        ours = [mean_text(values(runs, row[side], table["part"])) for side in sides]
        paper = [[f"{value:.1f}" for value in row["paper"][side]] for side in sides]
        cells = [" / ".join(one) for one in (*zip(*ours), *zip(*paper))]
        body.append([row["label"], *cells, *cut_cells(runs, row.get("with"))])
    return grid(head, body)


def cut_cells(runs, recipe):
    """Share changed by the cut, share of the background, largest component; of the first run."""
    counts = runs[0].get(recipe, {}).get("cut") or {}
    if "nodes" not in counts:
        return ["-"] * 3
    nodes = max(counts["nodes"], 1)
    unproven = "" if counts.get("status") == "optimal" else f" ({counts.get('status')}, gap {counts.get('gap', 0):.1g})"
    return [
        f"{100 * counts['changed_by_cut']:.1f} %{unproven}",
        f"{100 * counts.get('label_share', {}).get('background', 0):.1f} %",
        f"{100 * counts['largest_component'] / nodes:.1f} %",
    ]


def claims_table(found):
    """One row a comparison: our difference, the paper's in brackets, the verdict."""
    body = []
    for one, values, marks in found:
        cells = []
        for k, mark in enumerate(marks):
            paper = f" ({one.paper[k]:+.1f})" if one.paper else ""
            cells.append(f"{values[:, k].mean():+.1f}{paper} {mark}")
        body.append([one.text, *cells, str(len(values))])
    return grid(["comparison", *MEASURES, "seeds"], body)


def tally(found):
    """ "n of m agree, t ties, o opposite"."""
    marks = [mark for _, _, own in found for mark in own]
    return (
        f"{marks.count('yes')} of {len(marks)} agree, {marks.count('tie')} ties, {marks.count('no')} opposite"
        if marks
        else "nothing built yet"
    )


def at_ap50(found):
    return [(one, values, marks[:1]) for one, values, marks in found]


def graph_helps(found):
    """One sentence on the comparisons of a table with its graph and without, at AP50; "" where it has none."""
    graph = [(values[:, 0], marks[0]) for one, values, marks in found if one.text.endswith(GRAPH)]
    if not graph:
        return ""
    means = [values.mean() for values, _ in graph]
    marks = [mark for _, mark in graph]
    moved = f"{means[0]:+.1f}" if len(means) == 1 else f"{min(means):+.1f} to {max(means):+.1f}"
    better, worse, rows = marks.count("yes"), marks.count("no"), f"{len(graph)} row{'s' * (len(graph) > 1)}"
    return f" The graph moves AP50 by {moved}: better in {better}, worse in {worse} of {rows}, else a tie."


def sweep(runs, table, *, deviation):
    """A table without numbers of the paper: what its pairs say."""
    body = []
    for row in table["rows"]:
        held = [run[row["recipe"]] for run in runs if row["recipe"] in run]
        if held:
            counts = held[0]["cut"]
            body.append([
                row["label"], f"{100 * np.mean([one['labels']['mAP25'] for one in held]):.1f}",
                *mean_text(values(runs, row["recipe"], "labels")),
                f"{np.mean([one['labels']['instances'] for one in held]):,.0f}",
                f"{100 * counts.get('changed_by_cut', 0):.1f} %", str(counts.get("status", "-")),
                f"{counts.get('gap') or 0:.1g}",
            ])  # fmt: skip
    recipe = {row["name"]: row["recipe"] for row in table["rows"]}
    pairs = [Claim(pair["label"], recipe[pair["better"]], recipe[pair["worse"]], None) for pair in table["pairs"]]
    found = judged(runs, pairs, "labels", deviation=deviation)
    head = ["row", "mAP25", *MEASURES, "instances", "changed against p alone", "status", "gap"]
    lead = f"Per cent. {table['said']}: {tally(found)}."
    return f"### {table['title']}\n\n{lead}\n\n{grid(head, body)}\n\n{claims_table(found)}"


def distinct(tables):
    """[(table, its claims)]; a comparison that several tables hold (LIID's default row) counts in the first alone."""
    seen, found = set(), []
    for table in tables:
        own = [one for one in claims(table) if (table["part"], one.better, one.worse) not in seen]
        seen |= {(table["part"], one.better, one.worse) for one in own}
        found.append((table, own))
    return found


def section(runs, tables, *, command, minutes=None):
    """The Markdown text of all tables. runs : list of what `read` gives, one a seed."""
    compared = distinct(tables["tables"])
    spread = {
        part: noise([differences(runs, one, part) for table, own in compared if table["part"] == part for one in own])
        for part in ("labels", "predictions")
    }
    parts, everything = [], []
    for table, own in compared:
        found = judged(runs, own, table["part"], deviation=spread[table["part"]])
        everything += found
        held = max(len(values(runs, row.get("with") or row["without"], table["part"])) for row in table["rows"])
        seeds = f"mean of {held} seeds" if held > 1 else "one seed, so the noise is not known and the sign alone counts"
        lead = f"Per cent, {seeds}; w1 / w2 is without / with the graph. Directions: {tally(found)}."
        parts.append(
            f"### {table['title']}\n\n{lead}{graph_helps(found)}\n\n{rows_table(runs, table)}\n\n{claims_table(found)}"
        )
    labels = next((run["liid"]["labels"] for run in runs if run.get("liid", {}).get("labels")), None)
    facts = [
        f"**{tally(everything)}** over all comparisons at AP50, AP75, ABO; AP50 alone: {tally(at_ap50(everything))}.",
        f"Labels: {labels['photos']} photos that nothing is learned from, {labels['objects']} objects."
        if labels
        else "",
        f"All jobs: {minutes:.0f} minutes on two cores." if minutes else "",
        "A mean difference within two standard errors (the deviation between seeds, pooled over all comparisons), or "
        "one that rounds to 0, is a tie;",
        f"rows that the paper calls similar agree within {SIMILAR} points.",
        "In brackets the paper's difference on VOC 2012. A comparison that several tables hold counts in the first.",
    ]
    body = "\n\n".join([*parts, *(sweep(runs, table, deviation=spread["labels"]) for table in tables["sweeps"])])
    title = "## LIID's ablations on generated scenes"
    return f"{title}\n\n`{command}`\n\n{' '.join(filter(None, facts))}\n\n{body}"


def minutes_of(folders):
    """Minutes in which at least one job of these runs ran, or None where a run file does not say when it began."""
    spent = [busy([{"run": read_json(path)} for path in folder.rglob("*.run.json")]) for folder in folders]
    return None if any(seconds is None for seconds in spent) else sum(spent) / 60


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="results folders of ablate_liid.yaml, one a seed")
    parser.add_argument("--out", type=Path, default=sections.PAGE, help="the page whose section is written")
    given = parser.parse_args(argv)
    tables = yaml.safe_load(TABLES.read_text())
    runs = [read(folder) for folder in given.runs]
    text = section(runs, tables, command="make ablate-liid", minutes=minutes_of(given.runs))
    sections.write("ablate-liid", text, given.out)
    print(text)


if __name__ == "__main__":
    main()
