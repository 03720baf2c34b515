"""Point supervision: a file of points, one inside every object, becomes a table of cues (schema peaks/1).

Two forms. A folder of text files <image id>.txt with lines `x y class score` (the form of BESTIE's released code; an
image id with a slash lies in a subfolder), or one CSV whose first line is `image_id,x,y,class`, with or without
`,score`. x, y: pixels from the upper left, whole numbers at the pixels' middles. class: name, or category id (VOC's
count from 1; in BESTIE's own files from 0, see `from_zero`).
"""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tag2mask.data.names import Names, spelling
from tag2mask.data.sheets import read_sheet, read_text
from tag2mask.errors import UserError

if TYPE_CHECKING:
    from tag2mask.data.index import Index
    from tag2mask.data.tables import Table

# numpy and the stores are imported where they are needed: Snakemake asks for the list of files.

COLUMNS = ("image_id", "x", "y", "class")


@dataclass
class Point:
    """A point as it is written. where : file and line, for messages. category : its id. score : float in [0, 1]."""

    where: str
    image_id: str
    x: float
    y: float
    category: int
    score: float


def resolve(path: str | Path, root: str | Path | None) -> Path:
    """Path of `dataset.points`: relative to the dataset's `root`, or as given where it is absolute or root is None."""
    path = Path(path).expanduser()
    return path if root is None else Path(root).expanduser() / path


def files_of(path: str | Path) -> list[Path]:
    """The files of points at `path` (a CSV, or a folder of text files), sorted; [] where there is nothing."""
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.rglob("*.txt") if file.is_file())
    return [path] if path.is_file() else []


def given_files(path: str | Path) -> list[Path]:
    """`files_of`; UserError where there is nothing."""
    if not (files := files_of(path)):
        raise UserError(f"dataset.points: {path} is no CSV and no folder of text files <image id>.txt; check its name.")
    return files


def read(path: str | Path, categories: Mapping[int, str], *, from_zero: bool = False) -> list[Point]:
    """All Points of the file or folder `path`, file by file, line by line.

    categories : {id: name}. A name with spaces is one class in a text file too; what is both a class's name and
    another's id is the name. from_zero : whether numbers are places in `categories` from 0, as in BESTIE's own files.
    Raises UserError, one sentence with file and line, for a missing or empty file, a line of another form, a value that
    is no number, a score outside [0, 1] and an unknown class.
    """
    path = Path(path)
    files = given_files(path)
    number = enumerate(categories) if from_zero else ((key, key) for key in categories)
    known = {str(written): key for written, key in number} | {spelling(name): key for key, name in categories.items()}
    if not path.is_dir():
        return of_table(read_text(path, "dataset.points"), path, known)
    found = []
    for file in files:
        name = file.relative_to(path).as_posix().removesuffix(".txt")
        lines = enumerate(read_text(file, "dataset.points").lstrip("\ufeff").splitlines(), 1)
        found += [of_line(line, f"{file}, line {k}", name, known) for k, line in lines if line.strip()]
    return found


def of_line(line: str, where: str, image_id: str, known: Mapping[str, int]) -> Point:
    """The Point of a line `x y class score`, the score optional."""
    parts = line.split()
    if len(parts) < 3:
        raise UserError(f"{where}: `x y class score` is needed (the score may be left out), not {line.strip()!r}.")
    x, y, name, score = *parts[:2], " ".join(parts[2:]), "1"
    if spelling(name) not in known and len(parts) > 3:  # the last word is the score, unless the class is mistyped
        shorter, last = " ".join(parts[2:-1]), parts[-1]
        if spelling(shorter) in known or not last[-1].isalpha():
            name, score = shorter, last
    return point(where, image_id, x, y, name, score, known)


def of_table(text: str, path: Path, known: Mapping[str, int]) -> list[Point]:
    """The Points of a CSV."""
    sheet = read_sheet(text, path)
    if tuple(sheet.head) not in (COLUMNS, (*COLUMNS, "score")):
        head = sheet.separator.join(sheet.head)
        raise UserError(f"{path}, line 1: image_id,x,y,class or image_id,x,y,class,score is needed, not {head[:60]!r}.")
    found = []
    for number, row in sheet.rows:
        where = f"{path}, line {number}"
        if len(row) != len(sheet.head):
            line = sheet.separator.join(row)
            raise UserError(f"{where}: {len(sheet.head)} columns are needed, not {line[:60]!r}.")
        image_id, x, y, name, score = row if len(row) > len(COLUMNS) else [*row, "1"]
        found.append(point(where, image_id, x, y, name, score or "1", known))
    return found


def point(where: str, image_id: str, x: str, y: str, name: str, score: str, known: Mapping[str, int]) -> Point:
    """The Point of a line's words, every one checked."""
    category = known.get(spelling(name))
    if category is None:
        names = list(known)
        shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
        hint = "; where numbers count from 0, as in BESTIE's own files, set dataset.point_classes: from_zero"
        raise UserError(
            f"{where}: {name!r} is neither a class nor a category id ({shown}){hint if name == '0' else ''}; mend it."
        )
    across, down, value = number(x, "x", where), number(y, "y", where), number(score, "the score", where)
    if not 0 <= value <= 1:
        raise UserError(f"{where}: the score {value:g} is not between 0 and 1; mend it or leave it out.")
    return Point(where, image_id, across, down, category, value)


def number(text: str, what: str, where: str) -> float:
    """A finite float."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {what} is {text!r}, not a number; mend it.")
    return value


def photos_of(points: Iterable[Point], known: Iterable[str]) -> list[str]:
    """The id of every Point's photo, one of the ids `known`; UserError with file and line for one that is none."""
    names, found = Names(known), []
    for one in points:
        name = names.find(one.image_id)
        if name is None:
            raise UserError(
                f"{one.where}: the dataset has no photo {one.image_id!r} (an id is the file's name without suffix); "
                "mend it or drop the line."
            )
        found.append(name)
    return found


def check_tag(one: Point, tags: Container[int], categories: Mapping[int, str]) -> None:
    """UserError with file and line where a point's class is not among the tags of its photo, a training photo."""
    if one.category not in tags:
        raise UserError(
            f"{one.where}: {categories[one.category]} is not among the tags of {one.image_id}; add the tag, drop the "
            "point, or, where classes are numbers from 0, set dataset.point_classes: from_zero."
        )


def table(points: Sequence[Point], index: "Index", *, job: Any) -> "Table":
    """The Points of the training photos as Table "peaks/1", the arrays as `cam`'s peaks: photos in index order.

    image_id (I,), first (I + 1,) int64, category (P,) int16, yx (P, 2) int32 photo pixels, score (P,) float32; within a
    photo by category, the strongest first, ties as in the file. A point lies in the pixel whose middle is nearest.
    Photos without a point are fine and counted, points of photos that are not for training are checked, counted and
    left out. Warns of tags without a point in a photo that has points. Raises UserError, one sentence with file and
    line, for an unknown photo, a point outside its photo, and a class that is not among a training photo's tags.
    """
    import numpy as np

    from tag2mask.data.ragged import starts
    from tag2mask.data.tables import Table

    place = {name: i for i, name in enumerate(index.image_id)}
    of_photo: dict[int, list[tuple[int, float, int, int]]] = {i: [] for i in index.of_shard(None).tolist()}
    unused = 0
    for one, name in zip(points, photos_of(points, [*place, *(name for name, _ in index.skipped)])):
        i = place.get(name)
        if i is None:
            unused += 1
            continue
        y, x = math.floor(one.y + 0.5), math.floor(one.x + 0.5)
        height, width = index.size[i].tolist()
        if not (0 <= y < height and 0 <= x < width):
            raise UserError(
                f"{one.where}: the point x {one.x:g}, y {one.y:g} lies outside its photo of {width}x{height} pixels; "
                "mend it."
            )
        if i not in of_photo:
            unused += 1
            continue
        check_tag(one, index.tags(i), index.categories)
        of_photo[i].append((one.category, -one.score, y, x))
    bare, first_bare = 0, None
    for i, found in of_photo.items():
        found.sort(key=lambda one: one[:2])
        missing = set(index.tags(i)) - {one[0] for one in found} if found else ()
        bare += len(missing)
        if missing and first_bare is None:
            first_bare = f"{index.image_id[i]}, {index.categories[min(missing)]}"
    counts = [len(found) for found in of_photo.values()]
    if bare:
        job.warn(f"{bare} tags of photos with points have no point, the first is {first_bare}.")
    job.count(points=sum(counts), photos_without_points=counts.count(0), tags_without_points=bare, unused_points=unused)
    rows = [one for found in of_photo.values() for one in found]
    values = {
        "image_id": np.array([index.image_id[i] for i in of_photo], dtype=str),
        "first": starts(counts),
        "category": np.array([one[0] for one in rows], np.int16),
        "yx": np.array([one[2:] for one in rows], np.int32).reshape(-1, 2),
        "score": np.array([-one[1] for one in rows], np.float32),
    }
    return Table("peaks/1", values)
