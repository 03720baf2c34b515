"""The two files beside every artifact: what follows from the inputs, and how this run made it."""

import importlib.metadata
import json
import platform
import resource
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tag2mask.store import store

LIBRARIES = ("torch", "torchvision", "pb1-detectron2", "timm", "numpy", "zarr", "pulp", "highspy", "higra")


def read_json(path: str | Path) -> dict[str, Any]:
    """The dict in a JSON file, or {} where there is none."""
    path = Path(path)
    return json.loads(path.read_text()) if path.is_file() else {}


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON with sorted keys and a line end, as `.part`, then rename: identical content, identical file.

    content : JSON-able; where it is a dict, its values may also be iterators, lists of which no two items need be in
    memory at once.
    """
    with store.atomic(path) as part, part.open("w") as file:
        file.writelines(json_text(content))
        file.write("\n")


def json_text(content: Any) -> Iterator[str]:
    """The JSON of `content` in parts."""
    if not (isinstance(content, dict) and any(isinstance(value, Iterator) for value in content.values())):
        yield dumped(content)
        return
    for number, (key, value) in enumerate(sorted(content.items())):
        yield f"{',' if number else '{'}\n {json.dumps(key)}: "
        if not isinstance(value, Iterator):
            yield dumped(value, depth=1)
            continue
        empty = True
        for one in value:
            yield f"{'[' if empty else ','}\n  {dumped(one, depth=2)}"
            empty = False
        yield "[]" if empty else "\n ]"
    yield "\n}"


def dumped(content: Any, depth: int = 0) -> str:
    """The JSON of `content`, which stands so deep in other; line ends within strings are escaped."""
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False).replace("\n", "\n" + " " * depth)


def write_text(path: str | Path, text: str) -> None:
    with store.atomic(path) as part:
        part.write_text(text)


def write_manifest(
    path: str | Path,
    *,
    artifacts: Mapping[str, store.Artifact],
    section: dict[str, Any],
    inputs: Mapping[str, Any],
    numbers: Mapping[str, Any],
    warnings: Iterable[str],
) -> None:
    """`<name>.json`: only what follows from the inputs, so that an identical rebuild gives an identical file.

    artifacts : file name -> artifact, the stores this manifest vouches for. inputs : name -> digest of each input.
    """
    counts = {name: artifact.counts() for name, artifact in artifacts.items() if hasattr(artifact, "counts")}
    write_json(
        path,
        {
            "schema": "manifest/1",
            "digests": {name: store.digest(artifact.arrays()) for name, artifact in artifacts.items()},
            "schemas": {name: artifact.schema for name, artifact in artifacts.items()},
            "counts": {**counts, **numbers},
            "warnings": list(warnings),
            "section": without_paths(section),
            "inputs": inputs,
        },
    )


def without_paths(section: dict[str, Any]) -> dict[str, Any]:
    """The section without the places of files: a dataset that moved is the same dataset."""
    config = {key: value for key, value in section["config"].items() if key not in ("root", "path", "corrections")}
    return {**section, "config": config}


def write_run(
    path: str | Path,
    *,
    code: str,
    device: str,
    devices: Sequence[str],
    threads: int,
    began: float,
    cpu_seconds: float,
) -> None:
    """`<name>.run.json`: versions, device, time and memory of this run; only `report` reads it."""
    ended = time.time()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    write_json(
        path,
        {
            "schema": "run/1",
            "code": code,
            "versions": {name: version(name) for name in LIBRARIES},
            "python": platform.python_version(),
            "device": device,
            "devices": devices,
            "threads": threads,
            "began": began,
            "ended": ended,
            "wall_seconds": round(ended - began, 2),
            "cpu_seconds": round(cpu_seconds, 2),
            "peak_memory_mb": round(peak / 1024, 1),
        },
    )


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def input_digests(manifests: Iterable[str | Path]) -> dict[str, dict[str, str]]:
    """Manifest path (last three parts) -> the digests of the artifacts that it vouches for."""
    return {"/".join(path.parts[-3:]): json.loads(path.read_text())["digests"] for path in map(Path, manifests)}
