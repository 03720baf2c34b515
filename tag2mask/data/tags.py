"""Tags of photos from a CSV, and class names as category ids.

The CSV's first line says which form it has: `file,tags` (then `cat.jpg,cat;dog`), or `file,cat,dog` (then
`cat.jpg,1,1`; empty or 0 = no). Commas, semicolons and tabs separate columns, whichever follows the word `file`.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from tag2mask.errors import UserError

YES, NO = ("1",), ("0", "")


def read_tags(lines: list[str], where: str | Path) -> list[tuple[str, set[str]]]:
    """[(file name, set of tags)] of a CSV's lines. where : the file's name, for messages."""
    head = lines[0] if lines else ""
    separator = head[4:5]
    if not head.lower().startswith("file") or separator not in (",", ";", "\t"):
        raise UserError(
            f"{where} must begin with the line `file,tags` or `file,<class>,<class>,...`, not {head[:40]!r}."
        )
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)]
    rows = [row for row in rows if any(row)]  # spreadsheets end a table with lines of separators alone
    nameless = next((row for row in rows if not row[0].strip("./")), None)
    if nameless is not None:
        raise UserError(
            f"{where} has the line {separator.join(nameless)!r} without a file name; add it or drop the line."
        )
    columns = rows[0][1:]
    if [name.lower() for name in columns] == ["tags"]:
        return [(row[0], tag_list(row, where)) for row in rows[1:]]
    if not all(columns) or len(set(columns)) != len(columns):
        raise UserError(f"{where}: the first line needs different class names after `file`, not {columns}.")
    return [(row[0], ticked(row, columns, where)) for row in rows[1:]]


def tag_list(row: list[str], where: str | Path) -> set[str]:
    """The tags of a row `file, tag;tag`; with an unquoted semicolon as separator the tags are its further cells."""
    return {tag.strip() for cell in row[1:] for tag in cell.split(";") if tag.strip()}


def ticked(row: list[str], columns: list[str], where: str | Path) -> set[str]:
    """The classes whose cell in a row is 1."""
    cells = row[1:]
    if len(cells) != len(columns) or any(cell not in YES + NO for cell in cells):
        raise UserError(f"{where}: the line of {row[0]!r} needs {len(columns)} cells of 1, 0 or nothing, not {cells}.")
    return {name for name, cell in zip(columns, cells) if cell in YES}


def category_ids(names: Iterable[str], categories: Mapping[int, str], where: str) -> tuple[int, ...]:
    """Sorted category ids of a set of class names; UserError when one is not in the class list."""
    number = {name: key for key, name in categories.items()}
    for name in sorted(names):
        if name not in number:
            known = ", ".join(list(number)[:30]) + (", ..." if len(number) > 30 else "")
            raise UserError(f"{where} has the tag {name!r}, which is not in the class list ({known}); mend it.")
    return tuple(sorted(number[name] for name in names))


def tags_of(path: Path, categories: Mapping[str, str], files: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    """{photo: its category ids} of the CSV of `--tags`. categories : id as text -> name, as weights have them.

    UserError for a photo that is not in `files`, or an unknown class.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--tags: {path} is not a text file that can be read; name a CSV in UTF-8") from None
    rows = read_tags([line.strip(" ") for line in lines if line.strip()], path)
    lacking = next((name for name, _ in rows if name not in files), None)
    if lacking is not None:
        raise UserError(f"--tags: {path} names {lacking}, which is no photo of the folder; drop the line")
    numbers = {int(key): name for key, name in categories.items()}
    return {name: category_ids(tags, numbers, f"{path}: {name}") for name, tags in rows}
