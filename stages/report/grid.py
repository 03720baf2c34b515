"""A compact picture of one run: a row per photo, a column per step. Finds the stores by following the manifests."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stages.report import pictures, runs
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.errors import UserError
from tag2mask.run.registry import dataset, stages
from tag2mask.view import draw
from tag2mask.view.picture import shortened

WIDTH, LARGEST = 1200, 400_000  # pixels, bytes
GAP, MARGIN, HEAD, CORNER = 6, 14, 30, 6  # pixels
PAPER, INK = (255, 255, 255), (38, 41, 48)


def write(run, out, *, photos=4, ids=(), recipes=None):
    """Write the grid of the run at `run` to the picture file `out`; returns its size in bytes.

    photos : how many, spread over those with labels, where `ids` names none.
    """
    run = Path(run)
    data = f"{dataset().word}/default"
    if not (run / data / "index.zarr.zip").is_file():
        raise UserError(f"{run} is no results folder of a run: it has no {data}/index.zarr.zip.")
    index = Index.load(run / data / "index.zarr.zip")
    for name in ids:
        if name not in index.image_id:
            raise UserError(f"{run} has no photo {name}; its ids are as {index.image_id[0]}.")
    truth_path = run / data / "truth.zarr.zip"
    truth = Instances.open(truth_path) if truth_path.is_file() else None
    inputs, recipes, shown = found(run, recipes)
    palette = draw.Palette(index.categories)
    rows = pictures.training_rows(inputs, index, recipes, palette, shown=shown, count=photos, ids=ids, truth=truth)
    out = Path(out)
    data = encoded(drawn([[(one.title, one.pixels) for one in photo.pictures] for photo in rows]), out.suffix)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(data)
    return len(data)


def found(run, recipes):
    """(inputs as the rule `report` gives them, recipes, pictures) of the stores that the labels were made from."""
    store_of_labels = label_store()
    made = {path.parent.name: path for path in sorted(run.glob(f"{store_of_labels}/*/labels.json"))}
    for name in recipes or []:
        if name not in made:
            raise UserError(f"{run} has no pseudo labels of {name}; it has: {', '.join(made) or 'none'}.")
    manifests = {name: runs.reached(run, [path]) for name, path in made.items()}
    if recipes is None:
        sources = {name: source(manifests[name]) for name in made}
        methods = [name for name in made if sources[name] and kind(sources[name]) == "method"]
        order = list(stages())
        recipes = sorted(methods, key=lambda name: order.index(sources[name]["stage"]))[:2] or list(made)[:1]
    if not recipes:
        raise UserError(f"{run} has no pseudo labels yet; build the run first.")
    inputs = SimpleNamespace(labels=[run / store_of_labels / name / "labels.zarr" for name in recipes])
    steps = {}
    for name in [*recipes, *(name for name in made if name not in recipes)]:
        for key, names in read_by(manifests[name]).items():
            steps.setdefault(key, (manifests[name], names))
    shown = []
    for stage, output in [(word, output) for word, one in stages().items() for output in one.pictures]:
        if (stage, output) not in steps:
            continue
        picture, (vouched, names) = stages()[stage].pictures[output], steps[stage, output]
        key = f"picture_{len(shown)}"
        setattr(inputs, key, [run / store(name, vouched[name], stage, picture.maps) for name in names])
        if picture.peaks:
            setattr(inputs, f"{key}_peaks", [run / store(name, vouched[name], stage, picture.peaks) for name in names])
        shown.append({"kind": picture.kind, "title": picture.title})
    return inputs, [{"name": name, "trains": False} for name in recipes], shown


def label_store():
    """The word of the stage whose store holds a recipe's labels."""
    return next(word for word, stage in stages().items() if stage.shared and "labels" in stage.jobs["run"].writes)


def source(manifests):
    """The section of the job whose instances became the labels of the recipe with these manifests, or None."""
    labels = next(one for one in manifests.values() if one["section"]["stage"] == label_store())
    given = [manifests[name] for name in labels["inputs"] if name in manifests]
    return next((one["section"] for one in given if stages()[one["section"]["stage"]].labels), None)


def kind(section):
    """What a recipe with labels of this section is in the table."""
    return stages()[section["stage"]].kind(SimpleNamespace(config=section["config"]))


def read_by(manifests):
    """(stage, output) -> names of the manifests of what was read of it, of the variant nearest to the labels."""
    order, steps = list(stages()), {}
    for content in sorted(manifests.values(), key=lambda one: -order.index(one["section"]["stage"])):
        for what in content["section"].get("schemas", {}):
            stage, _, output = what.partition(".")
            names = {name for name in content["inputs"] if name.startswith(f"{stage}/") and name in manifests}
            if output in stages()[stage].pictures and names:
                variant = next(iter(names)).split("/")[1]
                known = steps.setdefault((stage, output), (variant, set()))
                if known[0] == variant:
                    known[1].update(names)
    return {key: sorted(names) for key, (_, names) in steps.items()}


def store(name, manifest, stage, output):
    """The path below the run of an output of the stage, of those that this manifest vouches for."""
    schema = stages()[stage].writes(output).schema
    return Path(name).with_name(next(file for file, one in manifest["schemas"].items() if one == schema))


def drawn(rows):
    """The grid as an RGB picture of at most WIDTH pixels; rows : lists of (title, pixels), the same titles in each."""
    titles = list(dict.fromkeys(title for row in rows for title, _ in row))
    if not titles:
        raise UserError("The run has no training photos to draw.")
    side = (WIDTH - 2 * MARGIN - GAP * (len(titles) - 1)) // len(titles)
    side = min(side, 220)
    width = 2 * MARGIN + side * len(titles) + GAP * (len(titles) - 1)
    height = HEAD + MARGIN + (side + GAP) * len(rows) - GAP
    picture = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(picture)
    for k, title in enumerate(titles):
        text, font = fitted(title, side)
        pen.text((MARGIN + k * (side + GAP) + side / 2, HEAD / 2), text, INK, font, anchor="mm")
    mask = Image.new("L", (4 * side, 4 * side), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * side - 1, 4 * side - 1), 4 * CORNER, 255)
    mask = mask.resize((side, side), Image.Resampling.LANCZOS)
    for r, row in enumerate(rows):
        for title, pixels in row:
            tile = Image.fromarray(square(pixels)).resize((side, side), Image.Resampling.LANCZOS)
            picture.paste(tile, (MARGIN + titles.index(title) * (side + GAP), HEAD + r * (side + GAP)), mask)
    return picture


def square(pixels):
    """The middle square of a picture."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def encoded(picture, suffix):
    """The file's bytes, below LARGEST: PNG with as many colours, JPEG and WebP with as high a quality as fit."""
    kind = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}.get(suffix.lower())
    if kind is None:
        raise UserError(
            f"{suffix or 'no suffix'} is no picture format of this command; name a .png, .webp or .jpg file."
        )
    for step in (0, 256, 128, 64, 32, 16) if kind == "png" else (92, 85, 75, 60, 45):
        data = io.BytesIO()
        if kind == "png":
            # Pillow dithers only towards a palette that is given
            few = picture.quantize(step, method=Image.Quantize.MAXCOVERAGE) if step else None
            one = picture.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG) if step else picture
            one.save(data, kind, optimize=True)
        else:
            picture.save(data, kind, quality=step)
        if data.tell() < LARGEST:
            break
    return data.getvalue()


def fitted(title, width):
    """(text, font): `title` as large as its column lets it be, from 15 down to 10 points, then shortened."""
    for size in range(15, 9, -1):
        font = ImageFont.load_default(size)
        if font.getlength(title) <= width:
            break
    return shortened(title, width, font), font
