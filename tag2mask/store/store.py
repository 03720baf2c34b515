"""Zarr v3 stores: one writer, one reader, one content digest for every artifact of the pipeline.

An artifact is an object with `schema` ("name/version"), `arrays()` (name -> ndarray) and `attrs()` (JSON-able). It is
written once, whole: as one `.zarr.zip` file between stages, as a directory where it is published. A zip written twice
from the same arrays is the same file, byte for byte. An array may also lie on the disk (`Stored`) or be put together
from such ones: whatever has a shape, a dtype and slices is written, and counted for the digest, a part at a time.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
import zarr
from zarr.storage import LocalStore, MemoryStore, ZipStore

from tag2mask.errors import UserError

CHUNK = 1 << 20  # elements along the first axis of a flat array
PARTS = 4  # chunks that are written and counted at a time
SPOOL = 64 << 20  # bytes of a store's files that wait in memory for their place in a zip file, more wait on the disk
KEPT = 16  # chunks of stored arrays that stay in memory, 4 MB each of run lengths
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


class Stored:
    """A flat array of a store that stays on the disk: its slices are read when they are asked for, a chunk at a time.

    The store is opened anew for every chunk that is not in memory, so that threads and forked processes share nothing.
    """

    def __init__(self, path: str | Path, array: zarr.Array) -> None:
        self.path, self.name = Path(path).absolute(), array.basename
        self.shape, self.dtype, self.chunk = array.shape, np.dtype(array.dtype), array.chunks[0]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        """The values `part`, a slice of step 1; to be read only."""
        start, stop, _ = part.indices(len(self))
        numbers = range(start // self.chunk, -(-max(stop, start) // self.chunk))
        found = [stored_chunk(self, k)[max(start - k * self.chunk, 0) : max(stop - k * self.chunk, 0)] for k in numbers]
        return found[0] if len(found) == 1 else np.concatenate([np.zeros(0, self.dtype), *found])


@functools.lru_cache(KEPT)
def stored_chunk(stored: Stored, k: int) -> np.ndarray:
    """Chunk k of an array of a store, as many values as it has."""
    with opened(stored.path) as group:
        array = group[stored.name]
        assert isinstance(array, zarr.Array)
        return np.asarray(array[k * stored.chunk : (k + 1) * stored.chunk])


def digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 hex digest over names, dtypes, shapes and decoded values of `arrays` (name -> array), in name order."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = in_memory(arrays[name])
        if values.dtype.kind in "UO":
            parts: Iterator[bytes | memoryview] = iter(["\0".join(map(str, values.ravel().tolist())).encode()])
            kind = "str"
        else:
            parts = (np.ascontiguousarray(part).data.cast("B") for part in pieces(values) if part.size)
            kind = values.dtype.newbyteorder("<").str
        total.update(f"{name}|{kind}|{tuple(values.shape)}|".encode())
        for part in parts:
            total.update(part)
    return total.hexdigest()


def in_memory(values: Any) -> Any:
    """`values` as an ndarray, but for an array that stays on the disk."""
    return values if hasattr(values, "dtype") else np.asarray(values)


def pieces(values: Any) -> Iterator[np.ndarray]:
    """An array in parts of some chunks along its first axis, as they are written; of a number, itself."""
    step = PARTS * chunk_of(values.shape)[0] if values.shape else 0
    yield from (values[k : k + step] for k in range(0, len(values), step)) if step else (values,)


def chunk_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a chunk of an array of this shape."""
    width = max(1, int(np.prod(shape[1:])))
    return (max(1, min(shape[0], CHUNK // width)), *(max(1, n) for n in shape[1:])) if shape else ()


def write(artifact: Artifact, path: str | Path) -> None:
    """Write `artifact` to `path` (`*.zarr.zip`: one file, else a directory) as `.part`, then rename it into place.

    Raises OSError as it comes (disk full); what was at `path` before then still is.
    """
    path = Path(path)
    with atomic(path) as part:
        if path.name.endswith(".zip"):
            pack(artifact, part)
            return
        for name, data in files_of(artifact):
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(data)


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


def files_of(artifact: Artifact) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file of the store: arrays part by part, metadata at last."""
    dims: Mapping[str, tuple[str, ...]] = getattr(artifact, "dims", {})
    attrs = {"schema": artifact.schema, **artifact.attrs()}
    files: dict[str, Any] = {}
    memory = MemoryStore(files)
    group = zarr.create_group(memory, zarr_format=3, attributes=attrs)
    for name, values in artifact.arrays().items():
        values = in_memory(values)
        text = values.dtype.kind in "UO"
        array = group.create_array(
            name, shape=values.shape, chunks=chunk_of(values.shape), dtype=str if text else values.dtype,
            dimension_names=dims.get(name, [f"{name}_{axis}" for axis in range(len(values.shape))]),
        )  # fmt: skip
        at = 0
        for part in pieces(values):
            place = slice(at, at + len(part)) if part.shape else ...
            if part.size:
                array[place] = part.astype(object) if text else part
            at += len(part) if part.shape else 1
            for ready in [ready for ready in files if not ready.endswith("zarr.json")]:
                yield ready, files.pop(ready).to_bytes()
    zarr.consolidate_metadata(memory)
    for name, content in files.items():
        yield name, content.to_bytes()


def pack(artifact: Artifact, part: Path) -> None:
    """The store as one zip file, in the order of the names; until all are known its files lie in a nameless one."""
    places: dict[str, tuple[int, int]] = {}
    with (
        tempfile.SpooledTemporaryFile(SPOOL, dir=str(part.parent)) as spool,
        zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
    ):
        for name, data in files_of(artifact):
            places[name] = spool.tell(), spool.write(data)
        for name, (begin, length) in sorted(places.items()):
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o644 << 16
            spool.seek(begin)
            archive.writestr(info, spool.read(length))


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


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[zarr.Group]:
    """The Group of `open`, closed at the end; a damaged chunk becomes a UserError."""
    group = open(path)
    try:
        yield group
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:  # the last from a chunk's compression
        raise unreadable(path, error) from None
    finally:
        group.store.close()


def unreadable(path: Path | str, error: Exception) -> UserError:
    """The UserError for a store that is damaged."""
    return UserError(f"{path} is not a readable Zarr store ({error}); delete it and rerun its stage.")


def read(
    path: str | Path, schema: str | None = None, *, left: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """(arrays, attrs, schema) of the store at `path`, checked against its manifest if one stands beside it.

    schema : str or None, what the caller can read; another name or version is refused with one sentence.
    left : names of flat arrays that stay on the disk, each a `Stored`.
    """
    with opened(path) as group:
        attrs: dict[str, Any] = dict(group.attrs)
        found = attrs.pop("schema", None)
        if schema is not None and found != schema:
            raise UserError(
                f"{path} has schema {found!r}, this version of tag2mask reads {schema!r}; "
                "make the store again with this version, or use the version that wrote it."
            )
        arrays: dict[str, Any] = {}
        for name, array in sorted(group.arrays()):
            values: Any = Stored(path, array) if name in left else np.asarray(array[...])
            arrays[name] = np.array(values.tolist(), dtype=str) if values.dtype.kind in "OT" else values
    verify(path, arrays)
    return arrays, attrs, found


def manifest_path(path: str | Path) -> Path:
    """The manifest beside an artifact: `x.zarr.zip`, `x.zarr`, `x.pt` and the like all have `x.json`."""
    path = Path(path)
    return path.with_name(path.name.split(".")[0] + ".json")


def verify(path: str | Path, arrays: Mapping[str, Any]) -> None:
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
