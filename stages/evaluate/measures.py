"""All measures of one table against the ground truth, as one JSON-able dict; the same dict as lines of text."""

import math

import numpy as np

from stages.evaluate import abo, coco, semantic, voc
from stages.evaluate.overlaps import align, overlaps, realign
from tag2mask.data.labelmaps import VOID
from tag2mask.errors import UserError

FOUND = 0.5  # mask IoU from which an instance is a true positive
HEADS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def map_name(threshold):
    """The name of a mAP: mAP25 for 0.25."""
    return f"mAP{100 * threshold:g}"


def subset(table, names, *, where):
    """The images `names` of `table`, in that order; UserError where one is missing."""
    number = {name: i for i, name in enumerate(table.image_id)}
    missing = [name for name in names if name not in number]
    if missing:
        raise UserError(
            f"{where} has no photo {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; evaluate on photos that both sides hold."
        )
    return table.images_subset([number[name] for name in names])


def instance_metrics(truth, predictions, config, *, progress=None):
    """Metrics of pseudo labels or predictions on the photos of `truth`; numbers in [0, 1], None where undefined.

    truth, predictions : Instances; photos of `predictions` that `truth` does not hold are left out, photos it lacks
    have no predictions. progress : f(iterable, what) that shows it. Returns {"photos", "photos_without_predictions",
    "objects", "instances", "true_positives", "mAP25", ..., "ABO", "mIoU", "AP", "AP50", "AP75", "APs", "APm", "APl",
    "background_IoU", "classes"}. `classes` is a list, one dict per class with an object that counts, in id order:
    category, name, objects, instances and, under the name of each mean, the class's own term of it. mAP*, ABO and mIoU
    leave void pixels out; AP* is COCO's and has all pixels. true_positives: hits at FOUND (BESTIE, Fig. 6).
    """
    show = progress or (lambda items, what: items)
    held = set(predictions.image_id)
    given = align(truth, predictions)
    found = overlaps(truth, given, top=config.abo_top, progress=lambda items: show(items, "mask overlaps"))
    categories = sorted(c for c in truth.categories if c > 0)
    precision = voc.per_class(found, categories, config.thresholds)
    best = abo.per_class(found, categories)
    counts = semantic.confusion(
        truth, given, categories, floor=config.merge_floor, progress=lambda items: show(items, "semantic maps")
    )
    iou = semantic.class_iou(counts)
    official, by_class = coco.measure(truth, given)
    objects = [int(np.sum(found.truth_counted & (found.truth_category == c))) for c in categories]
    names = [map_name(t) for t in config.thresholds]
    classes = [
        {
            "category": c, "name": truth.categories[c], "objects": objects[k],
            "instances": int(np.sum(given.category == c)), **dict(zip(names, precision[k])),
            "ABO": best[k], "mIoU": iou[k + 1], **by_class[c],
        }
        for k, c in enumerate(categories)
        if objects[k] or not np.isnan(iou[k + 1])
    ]  # fmt: skip
    return plain({
        "photos": truth.images,
        "photos_without_predictions": sum(name not in held for name in truth.image_id),
        "objects": int(found.truth_counted.sum()),
        "instances": len(given),
        "true_positives": int(voc.hits(found, FOUND)[0].sum()),
        **{name: mean(precision[:, t]) for t, name in enumerate(names)},
        "ABO": mean(best), "mIoU": mean(iou), **official, "background_IoU": iou[0], "classes": classes,
    })  # fmt: skip


def proposal_metrics(truth, shards, config, *, progress=None):
    """Metrics of class-agnostic masks on the photos of `truth`: {"photos", "objects", "masks", "counts": [...]}.

    shards : iterable of Instances, one after another, so that one lies in memory at a time; each photo of `truth` is
    in at most one of them, photos in none count as photos without proposals. `counts` is a list of dicts: count,
    objects, ABO and recall (means over objects), by_size (the same for small, medium, large).
    """
    show = progress or (lambda items, what: items)
    wanted = set(truth.image_id)
    best = np.zeros((len(config.proposal_counts), 0))
    counted, area, masks, seen = np.zeros(0, bool), np.zeros(0), 0, set()
    for table in show(shards, "proposals"):
        names = [name for name in table.image_id if name in wanted]
        part = subset(truth, names, where="the ground truth")
        proposals = realign(part, table)
        some, ok = abo.best_by_count(part, proposals, config.proposal_counts)
        best = np.concatenate([best, some], axis=1)
        counted, area = np.concatenate([counted, ok]), np.concatenate([area, part.area])
        masks, seen = masks + len(proposals), seen | set(names)
    rest = subset(truth, [name for name in truth.image_id if name not in seen], where="the ground truth")
    none, ok = abo.best_by_count(rest, realign(rest, rest.select(np.zeros(len(rest), bool))), config.proposal_counts)
    best = np.concatenate([best, none], axis=1)
    counted, area = np.concatenate([counted, ok]), np.concatenate([area, rest.area])
    rows = [
        {"count": count, **abo.summary(best[k], counted, area, config.recall_at)}
        for k, count in enumerate(config.proposal_counts)
    ]
    return plain({
        "photos": truth.images, "photos_without_proposals": rest.images, "objects": int(counted.sum()),
        "masks": masks, "counts": rows,
    })  # fmt: skip


def segmentation_metrics(truth, maps, *, progress=None):
    """Metrics of semantic label maps on the photos of `truth`; numbers in [0, 1], None where undefined.

    maps : Maps, uint8, category ids, 0 background, 255 undecided; photos that it lacks count as undecided throughout.
    Returns {"photos", "photos_without_predictions", "mIoU", "pixel_accuracy", "background_IoU", "classes"}; `classes`
    as in `instance_metrics`: category, name, mIoU (the class's own). The mean is over the background and the classes
    with a pixel in the truth, of counts over the whole dataset; void pixels are not counted. Source: VOC.
    """
    show = progress or (lambda items, what: items)
    check_maps(truth, maps)
    categories = sorted(c for c in truth.categories if c > 0)
    counts = semantic.confusion_of_maps(truth, maps, categories, progress=lambda items: show(items, "semantic maps"))
    iou, held = semantic.class_iou(counts), set(maps.image_id)
    classes = [
        {"category": c, "name": truth.categories[c], "mIoU": iou[k + 1]}
        for k, c in enumerate(categories)
        if not np.isnan(iou[k + 1])
    ]
    return plain({
        "photos": truth.images,
        "photos_without_predictions": sum(name not in held for name in truth.image_id),
        "mIoU": mean(iou), "pixel_accuracy": semantic.pixel_accuracy(counts), "background_IoU": iou[0],
        "classes": classes,
    })  # fmt: skip


def check_maps(truth, maps):
    """UserError where `maps` are no label maps of the photos and classes of `truth`."""
    if maps.data.dtype != np.uint8 or np.any(np.diff(maps.first) != 1):
        raise UserError("the maps are no label maps (one a photo, a byte a pixel); give those of `segment`.")
    names = {int(c): name for c, name in maps.meta.get("categories", {}).items()}
    for c, name in names.items():
        if truth.categories.get(c) != name:
            raise UserError(
                f"category {c} is {name!r} in the maps and {truth.categories.get(c, 'unknown')!r} in the ground truth; "
                "evaluate against the ground truth of the same dataset."
            )
    place = {name: k for k, name in enumerate(maps.image_id)}
    known = [0, VOID, *truth.categories]
    for i, name in enumerate(truth.image_id):
        if name not in place:
            continue
        label = maps.of(place[name])[1][0]
        if label.shape != tuple(truth.size[i]):
            raise UserError(
                f"the map of photo {name} is {label.shape} pixels (height, width), the ground truth is "
                f"{tuple(truth.size[i].tolist())}; make the maps at the photos' own size."
            )
        unknown = np.setdiff1d(np.flatnonzero(np.bincount(label.ravel())), known)
        if len(unknown):
            raise UserError(f"the map of photo {name} holds {unknown[0]}, which is no category of the ground truth.")


def mean(values):
    """Mean over what is defined; nan where nothing is."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def plain(value):
    """`value` with Python's own numbers, nan as None: what JSON can hold."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    return value


def cell(value, width):
    """A share in per cent with one decimal, a count as it is, a dash for None; right-aligned."""
    text = "-" if value is None else str(value) if isinstance(value, int) else f"{100 * value:.1f}"
    return text.rjust(width)


def instance_lines(metrics):
    """The dict of `instance_metrics` as lines of text: all classes together, then one line a class; per cent."""
    names = [key for key in metrics if key.startswith("mAP")] + ["ABO", "mIoU", *HEADS]
    width = max([12, *(len(one["name"]) for one in metrics["classes"])])
    head = "".ljust(width) + "".join(name.rjust(8) for name in ("objects", "masks", *names))
    lines = [head]
    rows = [{**metrics, "name": "all classes"}, *metrics["classes"]]
    for row in rows:
        cells = [row["objects"], row["instances"], *(row.get(name) for name in names)]
        lines.append(row["name"].ljust(width) + "".join(cell(value, 8) for value in cells).rstrip())
    missing = metrics["photos_without_predictions"]
    note = f", {missing} of them not in the predictions" if missing else ""
    return [
        f"{metrics['photos']} photos{note}; per cent. mAP: VOC, void left out; AP: COCO.",
        "",
        *lines,
    ]


def segmentation_lines(metrics):
    """The dict of `segmentation_metrics` as lines of text; per cent."""
    missing = metrics["photos_without_predictions"]
    note = f", {missing} of them without a map" if missing else ""
    rows = [
        ("mIoU", metrics["mIoU"]), ("pixel accuracy", metrics["pixel_accuracy"]),
        ("background", metrics["background_IoU"]), *((one["name"], one["mIoU"]) for one in metrics["classes"]),
    ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(width)}{cell(value, 8)}" for name, value in rows]
    return [f"{metrics['photos']} photos{note}; per cent. IoU: VOC, void left out.", "", *lines]


def proposal_lines(metrics):
    """The dict of `proposal_metrics` as lines of text; per cent."""
    names = [key for key in metrics["counts"][0] if key not in ("count", "by_size", "objects")]
    sizes = list(metrics["counts"][0]["by_size"])
    head = "masks a photo".ljust(14) + "".join(name.rjust(12) for name in (*names, *(f"ABO {s}" for s in sizes)))
    lines = [f"{metrics['photos']} photos, {metrics['objects']} objects, {metrics['masks']} masks; per cent.", "", head]
    for row in metrics["counts"]:
        values = [row[name] for name in names] + [row["by_size"][size]["ABO"] for size in sizes]
        lines.append(str(row["count"]).ljust(14) + "".join(cell(value, 12) for value in values))
    return lines
