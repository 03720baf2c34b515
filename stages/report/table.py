"""The table of recipes: rows for the page, and the same as Markdown that reads well in a terminal."""

from tag2mask.view.text import share

LABEL_COLUMNS = ("mAP25", "mAP50", "mAP70", "mAP75", "ABO", "mIoU")
SEGMENTATION_COLUMNS = ("mIoU",)
NETWORK_COLUMNS = ("mAP25", "mAP50", "mAP70", "mAP75")
PREDICTION_COLUMNS = ("mAP25", "mAP50", "mAP75", "AP")
HEADLINE = "mAP50"
WIDTH = 110  # characters of a terminal line
# AP50 of `full` from which a ratio to it is shown. 67 % of 2.9 is noise: both networks have learnt next to nothing, the
# recipe is one point behind, and seeds alone move either by more.
LEAST = 0.10


def rows(recipes, *, metrics, instances, trained, beyond):
    """One dict a recipe: name, supervision, extras, own_keys, trains, kind, labels, network, predictions, segmentation,
    snapshots, instances, trained_on, ratio, note.

    recipes : list of dicts (see tag2mask.run.recipes.table).
    metrics : one dict of `evaluate` a recipe, or None. instances : number of pseudo labels a recipe. trained :
    {recipe: photos its Mask R-CNN was trained on}. beyond : {recipe: whether photos without masks were among those it
    could train on}. Shares in [0, 1] or None.
    The ratio is AP50 on the validation photos over that of the recipe trained on the true masks. A recipe that had
    photos `full` cannot have carries none: like is compared with like. Nor does any where `full` is below LEAST.
    """
    found = []
    for k, recipe in enumerate(recipes):
        measured = (metrics[k] if metrics else None) or {}
        labels, predictions = measured.get("labels"), measured.get("predictions") if recipe["trains"] else None
        found.append({
            "name": recipe["name"], "supervision": recipe["supervision"], "extras": list(recipe.get("extras", [])),
            "own_keys": list(recipe.get("own_keys", [])),
            "trains": recipe["trains"], "kind": recipe["kind"],
            "labels": labels, "network": measured.get("network"), "predictions": predictions,
            "segmentation": measured.get("segmentation"), "snapshots": measured.get("snapshots"),
            "instances": labels["instances"] if labels else instances[k],
            "trained_on": trained.get(recipe["name"]), "ratio": None, "note": None,
        })  # fmt: skip
    full = next((row for row in found if row["kind"] == "full" and not row["own_keys"]), None)
    best = headline(full)
    for row in found:
        if row is not full and row["trains"] and beyond.get(row["name"]):
            row["note"] = other_photos(row, full)
        elif headline(row) is not None and best is not None:
            row["ratio"] = ratio(headline(row), best)
            if row["ratio"] is None and row is not full:
                row["note"] = weak_full(full)
    return found


def ratio(value, full):
    """AP50 over that of `full`, both in [0, 1], or None where one is missing or `full` is below LEAST."""
    return None if value is None or full is None or full < LEAST else value / full


def headline(row):
    """AP50 of the row's Mask R-CNN on the validation photos, or None."""
    return (row["predictions"] or {}).get(HEADLINE) if row else None


def other_photos(row, full):
    """The sentence on a row whose photos are not those of `full`."""
    mine, its = row["trained_on"], full and full["trained_on"]
    if mine is None or its is None:
        return "trained on photos without masks too, so it carries no ratio"
    word = "more" if mine > its else "other"
    return f"trained on {word} photos than {full['name']} ({mine:,} to {its:,}), so it carries no ratio"


def weak_full(full):
    """The sentence on a row whose ratio would rest on next to nothing."""
    best = share(headline(full))
    return f"compared with {full['name']} at AP50 {best}, below {share(LEAST, 0)}, so it carries no ratio"


def markdown(found, *, photos):
    """The rows as a Markdown table with aligned columns, at most 110 characters wide.

    photos : {"labels", "network", "predictions", "segmentation": number of photos measured on, or None}.
    """
    segmented = any(row["segmentation"] for row in found)
    answered = any(row["network"] for row in found)
    head = ["recipe", "supervision", "label mAP50", "ABO", "mIoU", "instances"]
    head += ["own AP50"] * answered + ["val AP50", "ratio"] + ["val mIoU"] * segmented
    body = []
    for row in found:
        labels = row["labels"] or {}
        ratio = f"{share(row['ratio'], 0)} %" if row["ratio"] is not None else "-"
        body.append([
            row["name"], row["supervision"] + " *" * bool(row["extras"]),
            *(share(labels.get(name)) for name in ("mAP50", "ABO", "mIoU")),
            f"{row['instances']:,}", *[share((row["network"] or {}).get(HEADLINE))] * answered,
            share(headline(row)), ratio,
            *[share((row["segmentation"] or {}).get("mIoU"))] * segmented,
        ])  # fmt: skip
    widths = [max(len(line[k]) for line in [head, *body]) for k in range(len(head))]
    room = WIDTH - sum(widths[1:]) - 3 * len(head) - 1
    if widths[0] > room:
        widths[0] = max(room, 8)
        for line in body:
            line[0] = line[0] if len(line[0]) <= widths[0] else line[0][: widths[0] - 1] + "…"

    def line(cells):
        aligned = [cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in enumerate(zip(cells, widths))]
        return "| " + " | ".join(aligned) + " |"

    rule = "|" + "|".join("-" * (w + 2) if k < 2 else "-" * (w + 1) + ":" for k, w in enumerate(widths)) + "|"
    notes = [f"- {row['name']} was {row['note']}." for row in found if row["note"]]
    notes += [f"- * {row['name']} rests also on: {', '.join(row['extras'])}." for row in found if row["extras"]]
    notes += [f"- {row['name']} has keys of its own: {', '.join(row['own_keys'])}." for row in found if row["own_keys"]]
    text = [line(head), rule, *map(line, body), ""]
    if photos.get("labels"):
        text += [f"Per cent. Labels: {photos['labels']:,} photos with masks."]
        if photos.get("predictions"):
            text[-1] += f" Mask R-CNN: {photos['predictions']:,} validation photos."
        if photos.get("network"):
            text[-1] += f" The recipe's own network (own AP50): {photos['network']:,}."
        if photos.get("segmentation"):
            text[-1] += f" DeepLab (val mIoU): {photos['segmentation']:,}."
    return "\n".join([*text, *notes]).rstrip() + "\n"
