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
from tag2mask.view import draw

WIDTH, LARGEST = 1200, 400_000  # pixels, bytes
GAP, MARGIN, HEAD, CORNER = 6, 14, 30, 6  # pixels
PAPER, INK = (255, 255, 255), (38, 41, 48)
METHODS = ("transfer", "graph_cut", "bestie", "cim", "icn")


def write(run, out, *, photos=4, recipes=None):
    """Write the grid of the run at `run` to the picture file `out`; returns its size in bytes."""
    run = Path(run)
    index_path = run / "images/default/index.zarr.zip"
    if not index_path.is_file():
        raise UserError(f"{run} is no results folder of a run: it has no images/default/index.zarr.zip.")
    index = Index.load(index_path)
    truth_path = run / "images/default/truth.zarr.zip"
    truth = Instances.load(truth_path) if truth_path.is_file() else None
    inputs, shown = found(run, recipes, truth is not None)
    rows = pictures.training_rows(inputs, index, shown, draw.Palette(index.categories), count=photos, truth=truth)
    out = Path(out)
    data = encoded(drawn([[(one.title, one.pixels) for one in photo.pictures] for photo in rows]), out.suffix)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(data)
    return len(data)


def found(run, recipes, has_truth):
    """(inputs as the rule `report` gives them, recipes): the stores that the recipes' labels were made from."""
    made = {path.parent.name: path for path in sorted(run.glob("pseudo_labels/*/labels.json"))}
    for name in recipes or []:
        if name not in made:
            raise UserError(f"{run} has no pseudo labels of {name}; it has: {', '.join(made) or 'none'}.")
    origin = {name: sources(run, path) for name, path in made.items()}
    if recipes is None:  # methods before references
        ranked = sorted(made, key=lambda name: (rank(origin[name]), name))
        recipes = [name for name in ranked if rank(origin[name]) < len(METHODS)][:2] or ranked[:1]
    if not recipes:
        raise UserError(f"{run} has no pseudo labels yet; build the run first.")
    inputs = SimpleNamespace(labels=[run / f"pseudo_labels/{name}/labels.zarr" for name in recipes])
    for name in [*recipes, *(name for name in made if name not in recipes)]:
        for key, stores in origin[name].items():
            if not hasattr(inputs, key):
                setattr(inputs, key, stores)
    return inputs, [{"name": name, "trains": False} for name in recipes]


def rank(origin):
    return METHODS.index(origin["method"]) if origin["method"] in METHODS else len(METHODS)


def sources(run, labels):
    """One recipe: {"method": stage of its labels; "proposals", "semantic", "cam", "pam", "peaks": lists of stores}."""
    manifests = runs.reached(run, [labels])
    direct = [name for name in runs.read_json(labels).get("inputs", {}) if not name.startswith("images/")]
    origin = {"method": direct[0].split("/")[0] if direct else ""}
    for stage in ("proposals", "semantic"):
        names = [name for name in manifests if name.startswith(f"{stage}/")]
        if names:
            origin[stage] = [run / name.replace(".json", ".zarr.zip") for name in names]
    for reader, key in (("semantic", "cam"), ("mil", "cam"), ("transfer", "pam")):
        names = sorted({
            name
            for reading, content in manifests.items()
            if reading.startswith(f"{reader}/")
            for name in content.get("inputs", {})
            if name.startswith("cam/")
        })  # fmt: skip
        if names and key not in origin:
            origin[key] = [run / name.replace(".json", ".cam.zarr.zip") for name in names]
            if key == "pam":
                origin["peaks"] = [run / name.replace(".json", ".peaks.zarr.zip") for name in names]
    return origin


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
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for k, title in enumerate(titles):
        pen.text((MARGIN + k * (side + GAP) + side / 2, HEAD / 2), title, INK, font, anchor="mm")
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
