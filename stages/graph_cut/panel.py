"""What the manifests of the graph cuts tell, side by side: solution, label shares, component sizes."""

import math

from tag2mask.store.manifest import read_json
from tag2mask.view.text import share

MANY, ONE = 0.1, 0.5  # share of the nodes in the largest component: up to MANY "small", from ONE "holds most"


def build(paths, rows, recipes, colours):
    """The panel of the report: {"rows", "labels", "key", "graphs"} of the recipes that a graph cut labelled, or None.

    paths : the cuts' manifests, .../graph_cut/<variant>/labels.json. rows : of `table.rows`, with "tone". recipes :
    of the configuration, the same order. colours : {class name: css colour}.
    """
    found = {path.parent.name: read_json(path) for path in paths}
    cuts = []
    for row, recipe in zip(rows, recipes):
        manifest = found.get(recipe["variant"]) if recipe["stage"] == "graph_cut" else None
        if manifest and "nodes" in manifest.get("counts", {}):
            config = manifest.get("section", {}).get("config", {})
            cuts.append({"name": row["name"], "tone": row["tone"], "counts": manifest["counts"], "config": config})
    if not cuts:
        return None
    order = in_order([cut["counts"].get("label_share", {}) for cut in cuts])
    labels = [{**stack(cut, order, colours), "name": cut["name"], "tone": cut["tone"]} for cut in cuts]
    return {
        "rows": [solution(cut) for cut in cuts], "labels": labels, "graphs": graphs(cuts),
        "key": [(name, colours.get(name)) for name in order],
    }  # fmt: skip


def solution(cut):
    """One row of the table: texts of what was solved and how well; a recipe without a graph has less to tell."""
    counts, solver = cut["counts"], cut["config"].get("solver", "")
    status, edges = str(counts.get("status", "")).replace("_", " "), solver != "argmax"
    background = counts.get("label_share", {}).get("background", 0.0)
    known = counts if edges else {}
    return {
        "name": cut["name"], "tone": cut["tone"], "solver": solver, "nodes": f"{counts['nodes']:,}",
        "classed": share(1 - background) if counts["nodes"] else None,
        "changed": share(known.get("changed_by_cut")), "components": number(known.get("components"), ","),
        "largest": number(known.get("largest_component"), ","),
        "status": status if edges else None, "proven": status == "optimal" or not edges,
        "gap": number(known.get("gap"), ".1g"), "energy": number(known.get("energy"), ",.1f"),
        "bound": number(known.get("bound"), ",.1f"),
    }  # fmt: skip


def number(value, form):
    """A number as text; None for one that is not known."""
    return None if value is None else format(value, form)


def in_order(label_shares):
    """Names of all labels, background first, then by their sum over `label_shares` (dicts), the same for all bars."""
    total = {}
    for shares in label_shares:
        for name, value in shares.items():
            total[name] = total.get(name, 0.0) + value
    return sorted(total, key=lambda name: (name != "background", -total[name], name))


def stack(cut, order, colours):
    """{"shares", "most"}: the share of every label in `order`; `most` a sentence where one takes nearly all."""
    found = cut["counts"].get("label_share", {})
    shares = [
        {"name": name, "wide": round(100 * found[name], 3), "text": f"{share(found[name])} %",
         "colour": colours.get(name)}
        for name in order if found.get(name)
    ]  # fmt: skip
    name, value = max(found.items(), key=lambda item: item[1], default=("", 0.0))
    nearly_all = value > cut["config"].get("warn_share", 0.9)
    return {"shares": shares, "most": f"{name} takes {share(value)} % of the proposals" if nearly_all else None}


def graphs(cuts):
    """One dict a graph, recipes with the same components together: names, histogram, sentence, giant.

    A recipe without edges has none to show.
    """
    found = {}
    for cut in cuts:
        sizes = cut["counts"].get("component_sizes", [])
        if cut["config"].get("solver") != "argmax" and sizes:
            key = (cut["counts"]["nodes"], tuple(map(tuple, sizes)))
            found.setdefault(key, []).append(cut)
    return [
        {
            "names": [cut["name"] for cut in own], "tone": own[0]["tone"],
            "histogram": histogram(own[0]["counts"]["component_sizes"]), **components(own[0]["counts"]),
        }
        for own in found.values()
    ]  # fmt: skip


def histogram(sizes):
    """Bars of [[from, to, components]]; the square root keeps one large component visible beside thousands."""
    most = max(count for _, _, count in sizes)
    return [
        {"label": short(low) if low == high else f"{short(low)}–{short(high)}", "number": f"{count:,}",
         "high": round(100 * math.sqrt(count / most), 1)}
        for low, high, count in sizes
    ]  # fmt: skip


def short(value):
    """A size for the axis: 900, 16k."""
    return f"{value / 1024:.0f}k" if value >= 4096 else str(value)


def components(counts):
    """{"sentence", "giant"}: how many components, the largest, and whether they are the small ones LIID counts on."""
    largest = counts.get("largest_component", 0)
    part = largest / max(counts["nodes"], 1)
    text = f"{counts.get('components', 0):,} components, the largest with {largest:,} proposals ({share(part)}\u00a0%)"
    if part >= ONE:
        return {"sentence": f"{text}: one holds most of them, not the many small ones of LIID, Sec. 5.3", "giant": True}
    if part <= MANY:
        return {"sentence": f"{text}: many small ones, as LIID, Sec. 5.3, has it", "giant": False}
    return {"sentence": f"{text}: smaller ones beside a large one", "giant": False}
