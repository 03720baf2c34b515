"""What killed jobs have left undone, which Snakemake alone would not do again.

Before a job starts, Snakemake deletes its old outputs and writes a marker; after it, the marker goes. Of a job that was
killed the next run sees no output, no record of its parameters, and everything that rests on the old output still in
place: it would call the run finished and show results of the configuration before.
"""

from base64 import urlsafe_b64decode
from binascii import Error
from pathlib import Path
from typing import TYPE_CHECKING

from tag2mask.run.registry import dataset, stages

if TYPE_CHECKING:
    from tag2mask.run.plan import Plan


def lost(plan: "Plan", out: str, markers: str | Path = ".snakemake/incomplete") -> list[str]:
    """Files below the results folder `out` that a killed job was to make, that are missing and that shown recipes need.

    markers : Snakemake's folder of markers, named after the files in base64 (long names in parts, @ before all but the
    last).
    """
    found, folder, needed = [], Path(markers), tuple(folders(plan, out))
    for marker in folder.rglob("*"):
        if not marker.is_file():
            continue
        parts = marker.relative_to(folder).parts
        try:
            path = urlsafe_b64decode("".join(one.removeprefix("@") for one in parts)).decode()
        except (Error, UnicodeDecodeError):  # no marker
            continue
        if not Path(path).exists() and path.startswith(needed):
            found.append(path)
    return sorted(found)


def folders(plan: "Plan", out: str) -> list[str]:
    """The results folders, each with a slash at its end, of all that the shown recipes need."""
    pairs = {pair for recipe in plan.show for pair in plan.closure(*plan.source(recipe))}
    pairs.add((dataset().word, "default"))
    pairs |= {(word, recipe) for word, stage in stages().items() if stage.shared for recipe in plan.runs(word)}
    return [f"{out}/{stage}/{variant}/" for stage, variant in sorted(pairs)]


def sentence(files: list[str]) -> str:
    """What to tell of them."""
    return (
        f"A job was killed before it had made {', '.join(files)}. Where Snakemake does not make them now, what "
        f"rests on them is of the configuration before: add --forcerun {' '.join(files)} once."
    )
