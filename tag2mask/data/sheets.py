"""Tables as other programs write them: text in any usual encoding, columns by any usual separator.

sheet = read_sheet(read_text(path), path)
sheet.head, sheet.rows  # ["file", "tags"], [(2, ["a.jpg", "cat;dog"]), ...]
"""

import codecs
import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tag2mask.errors import UserError

SEPARATORS = ",;\t|"
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass
class Sheet:
    """head : names of the columns. rows : (line number from 1, cells), spaces around cells and empty rows left out."""

    head: list[str]
    rows: list[tuple[int, list[str]]]
    separator: str


def read_text(path: str | Path, key: str, warn: Callable[[str], None] | None = None) -> str:
    """The text of a file in UTF-8, UTF-16 or UTF-32, else in Windows' code page 1252, which `warn` tells.

    key : what names the file, as "dataset.tags", for the sentence of UserError.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{key}: the file {path} cannot be read ({error.strerror}); check its name.") from None
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:1000]:  # UTF-16 without its mark: every other byte of Latin text is 0
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    try:
        return data.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        if encoding is not None:
            raise not_text(path, key) from None
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise not_text(path, key) from None
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        raise not_text(path, key)
    if warn is not None:
        warn(f"{path} is not in UTF-8 and was read as Windows-1252; save it as UTF-8 where letters came out wrong.")
    return text


def not_text(path: str | Path, key: str) -> UserError:
    return UserError(f"{key}: {path} is not a text file in UTF-8; save it as one.")


def read_sheet(text: str, where: str | Path) -> Sheet:
    """The Sheet of a CSV. where : the file's name, for messages.

    The separator is that of a first line `sep=;`, else the commonest of comma, semicolon, tab and bar in the head.
    An index column (no name, numbers 0, 1, ... or 1, 2, ...) is left out, as are empty cells beyond the head.
    """
    lines = text.splitlines(keepends=True)
    first = next((k for k, line in enumerate(lines) if line.strip()), 0)
    given = re.fullmatch(r'"?sep=(.)"?', lines[first].strip("\r\n ")) if lines else None
    begin = first + 1 if given else first
    head = lines[begin] if begin < len(lines) else ""
    bare = re.sub(r'"[^"]*"', "", head)
    separator = given[1] if given else max(SEPARATORS, key=bare.count)
    reader = csv.reader(io.StringIO("".join(lines[begin:])), delimiter=separator, skipinitialspace=separator != "\t")
    try:
        found = [(begin + reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UserError(f"{where} is not a table that can be read ({error}); export it as CSV again.") from None
    found = [(number, row) for number, row in found if any(row)]
    if not found:
        return Sheet([], [], separator)
    (_, names), *rows = found
    while len(names) > 1 and not names[-1]:
        names.pop()
    rows = [(number, trimmed(row, len(names))) for number, row in rows]
    if len(names) > 1 and is_index(names[0], [row[0] for _, row in rows]):
        names, rows = names[1:], [(number, row[1:]) for number, row in rows]
    return Sheet(names, rows, separator)


def trimmed(row: list[str], count: int) -> list[str]:
    """`row` without empty cells beyond the first `count`."""
    end = len(row)
    while end > count and not row[end - 1]:
        end -= 1
    return row[:end]


def is_index(name: str, cells: list[str]) -> bool:
    """Whether a column only numbers the rows."""
    unnamed = name == "" or name.lower().startswith("unnamed: 0")
    return unnamed and any(cells == [str(k) for k in range(start, start + len(cells))] for start in (0, 1))
