"""Zarr v3 stores: one writer, one reader, one content digest for every artifact of the pipeline.

An artifact is an object with `schema` ("name/version"), `arrays()` (name -> ndarray) and `attrs()` (JSON-able). It is
written once, whole: as one `.zarr.zip` file between stages, as a directory where it is published. A zip written twice
from the same arrays is the same file, byte for byte.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore, ZipStore

from tag2mask.errors import UserError

CHUNK = 1 << 20  # elements along the first axis of a flat array
EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed time for zip entries, so that equal content gives an equal file

# zarr warns that its own string type has no frozen specification; these stores are read back by the same library.
warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")
# Nor has the root's copy of all arrays' metadata, which xarray looks for first.
warnings.filterwarnings("ignore", message=".*Consolidated metadata is currently not part.*")
# Snakemake leaves a time stamp in a published folder; it is no part of the store.
warnings.filterwarnings("ignore", message=".*snakemake_timestamp is not recognized.*")


class Artifact(Protocol):
    """What can be stored. schema : "name/version".

    An artifact may have `dims`, array -> names of its dimensions, by which xarray opens the store: equal names, equal
    lengths.
    """

    schema: str

    def arrays(self) -> Mapping[str, np.ndarray]:
        """All that the content digest counts."""

    def attrs(self) -> Mapping[str, Any]:
        """What else is kept, JSON-able."""


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 hex digest over names, dtypes, shapes and decoded values of `arrays` (name -> ndarray), in name order."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.asarray(arrays[name])
        if values.dtype.kind in "UO":
            data: bytes | memoryview = "\0".join(map(str, values.ravel().tolist())).encode()
            kind = "str"
        else:
            data = np.ascontiguousarray(values).data.cast("B") if values.size else b""
            kind = values.dtype.newbyteorder("<").str
        total.update(f"{name}|{kind}|{values.shape}|".encode())
        total.update(data)
    return total.hexdigest()


def write(artifact: Artifact, path: str | Path) -> None:
    """Write `artifact` to `path` (`*.zarr.zip`: one file, else a directory) as `.part`, then rename it into place.

    Raises OSError as it comes (disk full); what was at `path` before then still is.
    """
    memory = MemoryStore()
    fill(memory, artifact)
    with atomic(path) as part:
        if Path(path).name.endswith(".zip"):
            dump_zip(memory, part)
        else:
            dump_folder(memory, part)


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A path of this process's own to write to, a file or a folder; renamed to `path` when the block ends well.

    Whatever goes wrong, `path` holds what it held before; a kill leaves only a `.part`, which the next writer removes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f".{path.name}.*.part"):
        if not psutil.pid_exists(int(old.name.split(".")[-2])):
            remove(old)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        if part.is_file():
            flush(part)
        replace(part, path)
    except BaseException:
        remove(part)
        raise


def fill(memory: MemoryStore, artifact: Artifact) -> None:
    """Create the group with its attributes, then every array whole, then the copy of their metadata."""
    dims: Mapping[str, tuple[str, ...]] = getattr(artifact, "dims", {})
    attrs = {"schema": artifact.schema, **artifact.attrs()}
    group = zarr.create_group(memory, zarr_format=3, attributes=attrs)
    for name, values in artifact.arrays().items():
        values = np.asarray(values)
        text = values.dtype.kind in "UO"
        shape = values.shape
        width = max(1, int(np.prod(shape[1:]))) if len(shape) > 1 else 1
        chunks = (max(1, min(shape[0], CHUNK // width)), *(max(1, n) for n in shape[1:])) if shape else ()
        array = group.create_array(
            name, shape=shape, chunks=chunks, dtype=str if text else values.dtype,
            dimension_names=dims.get(name, [f"{name}_{axis}" for axis in range(len(shape))]),
        )  # fmt: skip
        if values.size:
            array[...] = values.astype(object) if text else values
    zarr.consolidate_metadata(memory)


def entries(memory: MemoryStore) -> list[tuple[str, bytes]]:
    """All (key, bytes) of a MemoryStore, sorted by key."""

    async def collect() -> list[tuple[str, bytes]]:
        keys = sorted([key async for key in memory.list()])
        found = [(key, await memory.get(key, default_buffer_prototype())) for key in keys]
        return [(key, data.to_bytes()) for key, data in found if data is not None]

    return asyncio.run(collect())


def dump_zip(memory: MemoryStore, part: Path) -> None:
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for key, data in entries(memory):
            info = zipfile.ZipInfo(key, EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)


def dump_folder(memory: MemoryStore, part: Path) -> None:
    for key, data in entries(memory):
        target = part / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def flush(path: Path) -> None:
    """Bring a written file to the disk before it is renamed: a crash then leaves the old one or the new one."""
    with Path(path).open("rb") as file:
        os.fsync(file.fileno())


def replace(part: Path, path: Path) -> None:
    """Rename `part` to `path`, a file or a whole folder; a folder at `path` makes room first."""
    if part.is_dir() and path.exists():
        remove(path)
    os.replace(part, path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def open(path: str | Path) -> zarr.Group:
    """The read-only zarr Group at `path`, a `.zarr.zip` file or a directory.

    A plain `zarr.open` on a zip path fails in zarr 3.1; `zarr.open_group(zarr.storage.ZipStore(path))` is what works.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; run the stage that makes it first.")
    try:
        store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
        return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)  # the arrays themselves
    except (zipfile.BadZipFile, FileNotFoundError, KeyError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path | str, error: Exception) -> UserError:
    """The UserError for a store that is damaged."""
    return UserError(f"{path} is not a readable Zarr store ({error}); delete it and rerun its stage.")


def read(path: str | Path, schema: str | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any], str | None]:
    """(arrays, attrs, schema) of the store at `path`, checked against its manifest if one stands beside it.

    schema : str or None, what the caller can read; another name or version is refused with one sentence.
    """
    group = open(path)
    attrs: dict[str, Any] = dict(group.attrs)
    found = attrs.pop("schema", None)
    if schema is not None and found != schema:
        raise UserError(
            f"{path} has schema {found!r}, this version of tag2mask reads {schema!r}; "
            "make the store again with this version, or use the version that wrote it."
        )
    arrays = {}
    try:
        for name, array in sorted(group.arrays()):
            values = np.asarray(array[...])
            arrays[name] = np.array(values.tolist(), dtype=str) if values.dtype.kind in "OT" else values
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:  # the last from a chunk's compression
        raise unreadable(path, error) from None
    verify(path, arrays)
    return arrays, attrs, found


def manifest_path(path: str | Path) -> Path:
    """The manifest beside an artifact: `x.zarr.zip`, `x.zarr`, `x.pt` and the like all have `x.json`."""
    path = Path(path)
    return path.with_name(path.name.split(".")[0] + ".json")


def verify(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise UserError when `arrays` are not what the manifest beside `path` promises; no manifest, no check."""
    manifest = manifest_path(path)
    if not manifest.is_file():
        return
    try:
        promised = json.loads(manifest.read_text()).get("digests", {}).get(Path(path).name)
    except (json.JSONDecodeError, AttributeError):
        return
    if promised is not None and promised != digest(arrays):
        raise UserError(
            f"{path} is not the store that {manifest.name} beside it describes; "
            "delete both and run the same command again."
        )
