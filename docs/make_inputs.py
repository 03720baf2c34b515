"""docs/inputs.md: what is said of, or read from, data as other tools write them.

    python -m docs.make_inputs     # or: make docs

Every kind is made small (`docs.odd_kinds`) and read by the stage `images`; what stands in the table is what it said.
"""

import logging
import tempfile
from pathlib import Path

from docs.odd_kinds import KINDS
from stages.images import run
from stages.images.config import Config
from tag2mask.errors import UserError
from tag2mask.run.job import Job

PAGE = Path(__file__).with_name("inputs.md")
HEAD = """# What goes in

Made by `make docs` from small datasets of every kind below (`docs/odd_kinds.py`); a test says when it is stale.

A photo's id is the path of its file without the ending; the ending stays where it alone tells two photos apart. Names
are found as written, else where capitals, Unicode composition, a folder too many or too few in front, or a missing
ending is all that differs and one photo alone fits. Photos are JPEG, PNG, TIFF, WebP, BMP, GIF, PPM or HEIC.

"Read" means all photos, tags and masks right; what stands behind it is the warning, once in terminal and report. What
is refused is refused before any work, most of it by `snakemake -n` too; a key behind "then" reads it.
"""


def answer(root, keys):
    """("Read." or "Refused: ..." with all warnings, {"index", "truth", ...} or None) of the dataset in `root`."""
    quiet = logging.Logger("quiet", logging.CRITICAL)
    job = Job(log=quiet)
    try:
        made = run(None, Config(root=str(root), **keys), job)
    except UserError as error:
        return f"Refused: {error}".replace(f"{root}/", ""), None
    return " ".join(["Read.", *job.warnings]).replace(f"{root}/", ""), made


def row(odd):
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        odd.make(root)
        said = answer(root, odd.keys)[0]
        if odd.way:
            then = ", ".join(f"`{key}: {value}`" for key, value in odd.way.items())
            said += f" **Then, with {then}:** {answer(root, odd.keys | odd.way)[0]}"
    return f"| {cell(odd.what)} | {cell(said)} |"


def cell(text):
    """Text in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def page():
    """The whole document."""
    parts = [HEAD.strip()]
    for title, kinds in KINDS.items():
        rows = [row(odd) for odd in kinds]
        parts.append("\n".join([f"## {title}", "", "| what is there | what is said or read |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
