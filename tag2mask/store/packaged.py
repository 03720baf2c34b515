"""Weights that installed packages carry: their file is looked up, no code of the package is imported."""

from importlib import metadata
from pathlib import Path


def packaged_file(package: str, ending: str) -> Path | None:
    """The one file of the installed `package` whose name ends with `ending`, or None where either is not there."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.name.endswith(ending))
    return next((path for path in found if path.is_file()), None)
