"""Puts the page together: reads the inputs, has tables, charts and pictures made, fills in the template."""

import importlib
from pathlib import Path

import jinja2
import yaml

from stages.report import charts, curves, pictures, runs, table
from tag2mask.data import class_table
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.store.manifest import read_json
from tag2mask.store.store import manifest_path
from tag2mask.view import draw
from tag2mask.view.text import share

TEMPLATE = "page.html.jinja"
COLUMNS = {
    "labels": table.LABEL_COLUMNS, "network": table.NETWORK_COLUMNS, "predictions": table.PREDICTION_COLUMNS,
    "segmentation": table.SEGMENTATION_COLUMNS,
}  # fmt: skip
METHOD_TONES = 6  # colours that the template's style has for methods


def build(inputs, config, job):
    """See `stages.report.run`."""
    index = Index.load(inputs.index)
    truth_path = getattr(inputs, "truth", None)
    truth = Instances.open(truth_path) if truth_path else None
    run = runs.run_folder(inputs.index)
    names = [name for name in vars(inputs) if name not in ("index", "metrics", "files")]
    stores = [path for name in names for path in pictures.given(inputs, name)]
    metric_paths = pictures.given(inputs, "metrics")
    jobs = runs.jobs(run, runs.reached(run, [inputs.index, *stores]), metric_paths)
    metrics = [read_json(path) for path in metric_paths] or None
    rows = recipe_rows(inputs, config, index=index, metrics=metrics)
    palette = draw.Palette(index.categories)
    colours = {category: palette.css(category) for category in index.categories}
    job.log.info("drawing pictures of up to %d photos of each gallery", config.photos)
    training = pictures.training_rows(
        inputs, index, config.recipes, palette, shown=config.pictures, count=config.photos, truth=truth
    )
    validation = pictures.validation_rows(inputs, index, config.recipes, palette, count=config.photos, truth=truth)
    named = {name: colours[category] for category, name in index.categories.items()}
    photos = {part: measured_photos(rows, part) for part in COLUMNS}
    html = template().render(
        run=run.name,
        index=index,
        splits=index.counts(),
        legend=[(name, colours[category]) for category, name in sorted(index.categories.items())],
        has_truth=truth is not None,
        tagged=class_table.rows(index),
        rows=rows,
        photos=photos,
        label_columns=table.LABEL_COLUMNS,
        network_columns=table.NETWORK_COLUMNS if photos["network"] else (),
        prediction_columns=table.PREDICTION_COLUMNS,
        segmentation_columns=table.SEGMENTATION_COLUMNS if photos["segmentation"] else (),
        best=best_values(rows),
        warnings=runs.warnings(jobs, index.skipped),
        headline=charts.headlines(rows),
        galleries=[
            (
                "How the labels were made",
                "training photos" + (" with masks" if photos["labels"] else ""),
                "striped pixels are unsure.",
                training,
            ),
            (
                "What the trained networks see",
                "validation photos",
                f"masks with a score of at least {pictures.SURE:g}, or the best {pictures.FEW} where there is none.",
                validation,
            ),
        ],
        tags={photo.name: [(index.categories[c], colours[c]) for c in photo.tags] for photo in training + validation},
        classes=[
            ("Pseudo labels", "photos with masks", charts.per_class(rows, "labels", colours)),
            ("Mask R-CNN", "validation photos", charts.per_class(rows, "predictions", colours)),
        ],
        curves=curves.true_positives(rows),
        panels=[
            panel(one["module"], pictures.given(inputs, f"panel_{k}"), rows, config.recipes, named)
            for k, one in enumerate(config.panels)
        ],
        proposals=next((one["proposals"] for one in metrics or [] if one.get("proposals")), None),
        costs=charts.costs(runs.costs(jobs), runs.busy(jobs)),
        sections=[
            {**one, "text": yaml.safe_dump(one["config"], sort_keys=True, allow_unicode=True)}
            for one in runs.sections(jobs)
        ],
        versions=runs.versions(jobs),
    )
    job.count(photos=len(training), validation_photos=len(validation))
    return {"report": html, "table": table.markdown(rows, photos=photos)}


def recipe_rows(inputs, config, *, index, metrics):
    """The rows of `table.rows` with the number of labels per class and the colour of each recipe's bars."""
    label_paths = pictures.given(inputs, "labels")
    counts = [label_counts(path) for path in label_paths]
    trained, beyond = {}, {}
    weights_of = {
        path.parent.name: read_json(path.parent / "weights.json") for path in pictures.given(inputs, "predictions")
    }
    unmasked = bool((index.train & ~index.with_masks).any()) and bool(index.with_masks.any())
    for recipe in config.recipes:
        weights = weights_of.get(recipe["name"], {})
        if weights:
            trained[recipe["name"]] = weights["counts"].get("photos")
            images = weights["section"]["config"].get("images", "all")
            beyond[recipe["name"]] = unmasked and images == "all"
    rows = table.rows(
        config.recipes, metrics=metrics, instances=[one["instances"] for one in counts], trained=trained, beyond=beyond
    )
    methods = 0
    for row, one in zip(rows, counts):
        row["all_labels"] = one
        row["tone"] = row["kind"]
        if row["kind"] == "method":
            row["tone"] = f"method{methods % METHOD_TONES}"
            methods += 1
    return rows


def label_counts(path):
    """{"instances", "images", "without"} of a label store, from its manifest or, without one, from the store."""
    counts = read_json(manifest_path(path)).get("counts", {})
    own = counts.get(Path(path).name)
    if own is None:
        own = Instances.open(path).counts()
    return {**own, "without": counts.get("photos_without")}


def measured_photos(rows, part):
    """Number of photos that labels, predictions or semantic maps were measured on, None where they were not."""
    return next((row[part]["photos"] for row in rows if row[part]), None)


def best_values(rows):
    """{(part, column): the highest value among the methods}, where there are two methods or more to compare."""
    methods = [row for row in rows if row["kind"] == "method"]
    best = {}
    for part, columns in COLUMNS.items():
        for column in columns:
            values = [row[part][column] for row in methods if row[part] and row[part].get(column) is not None]
            if len(values) > 1 and max(values) > min(values):
                best[part, column] = max(values)
    return best


def panel(module, manifests, rows, recipes, colours):
    """(template, what it shows) of the part of the page that a stage has of its own."""
    folder = module.split(".")[-2]
    found = importlib.import_module(module).build(manifests, rows, recipes, colours)
    return f"{folder}/{module.split('.')[-1]}.html.jinja", found


def template():
    """The page's template; everything that is filled in is escaped."""
    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([here, here.parent]), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["share"] = share
    return environment.get_template(TEMPLATE)
