"""Tags of photos from a CSV, and class names as category ids.

The CSV's first line says which form it has: a column of files and one of tags (`file,tags`, then `cat.jpg,cat;dog`;
a photo may have several lines), or one column a class (`file,cat,dog`, then `cat.jpg,1,1`).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tag2mask.data.names import Names, spelling, spellings
from tag2mask.data.sheets import Sheet, read_sheet, read_text
from tag2mask.errors import UserError

YES, NO = ("1", "1.0", "true", "yes", "x"), ("0", "0.0", "false", "no", "")
FILE = {
    "file", "files", "filename", "file_name", "filepath", "file_path", "path", "image", "images", "image_id",
    "image_name", "image_path", "img", "photo", "photos",
}  # fmt: skip
TAGS = {
    "tag", "tags", "label", "labels", "class", "classes", "class_name", "category", "categories", "keyword", "keywords",
}  # fmt: skip
Warn = Callable[[str], None]


def silent(sentence: str) -> None:
    """A warning that nobody reads."""


def read_tags(
    text: str, where: str | Path, *, known: Sequence[str] = (), warn: Warn = silent
) -> list[tuple[str, set[str]]]:
    """[(file name, set of tags)] of a CSV, in the order of its lines, every file once.

    where : the file's name, for messages. known : class names, where the classes are chosen; they decide what is one
    tag and how it is spelled. warn : gets what was guessed: separators, spellings, lines of one photo.
    """
    sheet = read_sheet(text, where)
    names = [re.sub(r"[ -]", "_", spelling(name)) for name in sheet.head]
    place = next((k for k, name in enumerate(names) if name in FILE), None)
    if place is None or len(names) < 2:
        raise UserError(
            f"{where} must begin with the line `file,tags` or `file,<class>,<class>,...`, not "
            f"{sheet.separator.join(sheet.head)[:40]!r}."
        )
    for number, row in sheet.rows:
        if len(row) <= place or not row[place].strip("./"):
            raise UserError(
                f"{where} has the line {sheet.separator.join(row)!r} without a file name (line {number}); "
                "add it or drop the line."
            )
    column = next((k for k, name in enumerate(names) if name in TAGS and k != place), None)
    if column is None:
        return ticked(sheet, place, where)
    return listed(sheet, place, column, where, known=known, warn=warn)


def ticked(sheet: Sheet, place: int, where: str | Path) -> list[tuple[str, set[str]]]:
    """The rows of a table with a column a class: the classes whose cell says yes."""
    columns = [name for k, name in enumerate(sheet.head) if k != place]
    if not all(columns) or len({spelling(name) for name in columns}) != len(columns):
        raise UserError(f"{where}: the first line needs different class names after `file`, not {columns}.")
    found: dict[str, set[str]] = {}
    for number, row in sheet.rows:
        cells = [cell.lower() for k, cell in enumerate(row) if k != place]
        if len(cells) != len(columns) or any(cell not in YES + NO for cell in cells):
            raise UserError(
                f"{where}: the line of {row[place]!r} needs {len(columns)} cells of 1, 0 or nothing (True and False "
                f"too), not {cells}."
            )
        tags = {name for name, cell in zip(columns, cells) if cell in YES}
        if found.setdefault(row[place], tags) != tags:
            raise UserError(f"{where} lists {row[place]} twice with other tags (line {number}); remove one of the two.")
    return list(found.items())


def listed(
    sheet: Sheet, place: int, column: int, where: str | Path, *, known: Sequence[str], warn: Warn
) -> list[tuple[str, set[str]]]:
    """The rows of a table with a column of tags; where it is the last one, further cells of a line are tags too."""
    last = column == len(sheet.head) - 1
    cells = [row[column:] if last else row[column : column + 1] for _, row in sheet.rows]
    lines = parted([[cell for cell in one if cell] for one in cells], where, known=known, warn=warn)
    times = Counter(tag for tags in lines for tag in tags)
    spelled = spellings(times, known)
    unlike = {own: sorted(name for name in times if spelled[name] == own) for own in set(spelled.values())}
    if not known:
        for own, names in sorted(unlike.items()):
            if len(names) > 1:
                warn(f"{where} writes one class as {', '.join(map(repr, names))}; all are read as {own!r}.")
    found: dict[str, set[str]] = {}
    for (_, row), tags in zip(sheet.rows, lines):
        found.setdefault(row[place], set()).update(spelled[tag] for tag in tags)
    return list(found.items())


def parted(lines: list[list[str]], where: str | Path, *, known: Sequence[str], warn: Warn) -> list[list[str]]:
    """The tags of each line's cells. Semicolons, bars and commas part tags; a space does where every word is a tag.

    A cell that is one of `known` is one tag whatever it holds.
    """
    own = {spelling(name) for name in known}

    def split(cell: str, pattern: str) -> list[str]:
        parts = [cell] if spelling(cell) in own else re.split(pattern, cell)
        return [part.strip() for part in parts if part.strip()]

    used = {mark for cells in lines for cell in cells for mark in "|," if mark in cell and spelling(cell) not in own}
    if used:
        warn(f"{where} parts tags at {' and '.join(map(repr, sorted(used)))}; where that is part of a name, set "
             "dataset.classes to the names.")  # fmt: skip
    lists = [[re.sub(r"^\[(.*)\]$", r"\1", cell) for cell in cells] for cells in lines]
    marked = [[tag.strip("'\" ") for cell in cells for tag in split(cell, r"[;|,]")] for cells in lists]
    marked = [[tag for tag in tags if tag] for tags in marked]
    alone = own or {spelling(tags[0]) for tags in marked if len(tags) == 1} | {
        spelling(tag) for tags in marked for tag in tags if len(tag.split()) == 1
    }
    several = {tag for tags in marked for tag in tags if len(tag.split()) > 1 and spelling(tag) not in own}
    spaced = {tag for tag in several if all(spelling(word) in alone for word in tag.split())}
    unsure = sorted(tag for tag in several - spaced if any(spelling(word) in alone for word in tag.split()))
    if spaced:
        warn(f"{where} parts tags at spaces: {min(spaced)!r} is read as {len(min(spaced).split())} tags, for each word "
             "is a tag elsewhere; where it is one name, set dataset.classes to the names.")  # fmt: skip
    if unsure and not own:
        warn(f"{where} has the tag {unsure[0]!r}, one class, although a word of it is a class too; where a space parts "
             "two tags, write a semicolon.")  # fmt: skip
    return [[word for tag in tags for word in (tag.split() if tag in spaced else [tag])] for tags in marked]


def category_ids(names: Iterable[str], categories: Mapping[int, str], where: str) -> tuple[int, ...]:
    """Sorted category ids of a set of class names; UserError when one is not in the class list.

    A name in another spelling (capitals, accents' composition, spaces) is the class where that is unambiguous.
    """
    number = {name: key for key, name in categories.items()}
    names = sorted(names)
    spelled = spellings(dict.fromkeys(names, 1), number)
    for name in names:
        if spelled[name] not in number:
            known = ", ".join(list(number)[:30]) + (", ..." if len(number) > 30 else "")
            raise UserError(f"{where} has the tag {name!r}, which is not in the class list ({known}); mend it.")
    return tuple(sorted({number[spelled[name]] for name in names}))


def tags_of(path: Path, categories: Mapping[str, str], files: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    """{photo's id: its category ids} of the CSV of `--tags`. categories : id as text -> name, as weights have them.

    files : by the photos' ids. UserError for a photo that is not among them, or an unknown class.
    """
    numbers = {int(key): name for key, name in categories.items()}
    photos = Names(files)
    found: dict[str, tuple[int, ...]] = {}
    for name, tags in read_tags(read_text(path, "--tags"), path, known=list(numbers.values())):
        photo = photos.find(name)
        if photo is None:
            raise UserError(f"--tags: {path} names {name}, which is no photo of the folder; drop the line")
        found[photo] = category_ids(tags, numbers, f"{path}: {name}")
    return found
