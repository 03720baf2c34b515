"""What every artifact promises: it comes back as it was, equal content is an equal file with an equal digest, and what
is damaged, foreign or does not fit on the disk is one sentence and leaves the old one. A new class joins `ARTIFACTS`.
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.maps import Maps, MapsBuilder
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.store import store
from tag2mask.store.weights import Weights


@dataclass
class Artifact:
    """make(more) -> the artifact, with a little more in it or without. files : names it is saved under."""

    make: Callable
    load: Callable
    files: tuple = ("x.zarr.zip", "x.zarr")


def index(more):
    names = ["a.png", "é.png", "c.png"][: 2 + more]
    return Index.build(
        "photos", {1: "cat", 7: "dog"}, image_id=names, path=names, size=[(5, 6)] * len(names),
        tags=[(7, 1), (), (1,)][: 2 + more], train=[True, False, True][: 2 + more], skipped=[("d.png", "It is empty.")],
    )  # fmt: skip


def instances(more):
    masks = np.zeros((2, 5, 6), bool)
    masks[0, 1:3, 2:5] = masks[1, 4, 0] = True
    table = InstancesBuilder({1: "cat", 2: "dog"})
    table.add("a", (5, 6), masks, category=[2, 1], score=[0.5, 0.25], void=np.eye(5, 6) > 0, ignore=[0, 1])
    table.add("none", (3, 3), [], category=[])
    if more:
        table.add("b", (4, 4), np.eye(4)[None] > 0, category=1)
    return table.finish()


def maps(more):
    builder = MapsBuilder(np.float16, {"stride": 16})
    builder.add("a", (5, 6), [(1, np.arange(6).reshape(2, 3) / 8), (2, np.ones((2, 3)))][: 1 + more])
    builder.add("none", (3, 3), [])
    return builder.finish()


def table(more):
    return Table("mil/1", {"p": np.zeros((0, 3)), "n": np.array(["é", "b", "c"][: 2 + more])}, {"labels": [0]})


def weights(more):
    tensors = {"w": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(3)}
    return Weights({"kind": "classifier", "classes": [1, 2]}, tensors | ({"b": torch.ones(2)} if more else {}))


ARTIFACTS = {
    "index": Artifact(index, Index.load),
    "instances": Artifact(instances, Instances.load),
    "maps": Artifact(maps, Maps.load),
    "table": Artifact(table, lambda path: Table.load(path, "mil/1")),
    "weights": Artifact(weights, Weights.load, files=("x.pt",)),
}
CASES = [pytest.param(kind, name, id=f"{kind}-{name}") for kind in ARTIFACTS for name in ARTIFACTS[kind].files]


def test_every_artifact_class_is_here():
    makers = {type(ARTIFACTS[kind].make(True)) for kind in ARTIFACTS}
    assert makers == {Index, Instances, Maps, Table, Weights}


def content(path):
    """Name -> bytes of the file at `path`, or of all files below it."""
    files = [path] if path.is_file() else [one for one in sorted(path.rglob("*")) if one.is_file()]
    return {str(one.relative_to(path.parent)): one.read_bytes() for one in files}


def sentence(load, path, *parts):
    """Loading `path` is refused with one sentence that holds all `parts`."""
    with pytest.raises(UserError) as caught:
        load(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400 and all(part in text for part in (path.name, *parts)), text


@pytest.mark.parametrize("kind, name", CASES)
def test_it_comes_back_as_it_was(tmp_path, kind, name):
    artifact = ARTIFACTS[kind]
    made = artifact.make(True)
    made.save(tmp_path / name)
    read = artifact.load(tmp_path / name)
    assert store.digest(read.arrays()) == store.digest(made.arrays())
    assert read.attrs() == made.attrs() and read.counts() == made.counts()
    for key, values in made.arrays().items():
        assert read.arrays()[key].dtype.kind == values.dtype.kind
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("kind, name", CASES)
def test_written_twice_it_is_the_same_file(tmp_path, kind, name):
    make = ARTIFACTS[kind].make
    for folder in ("one", "two"):
        make(True).save(tmp_path / folder / name)
    assert content(tmp_path / "one" / name) == content(tmp_path / "two" / name)
    assert store.digest(make(True).arrays()) != store.digest(make(False).arrays())
    if name.endswith(".zip"):
        names = zipfile.ZipFile(tmp_path / "one" / name).namelist()
        assert len(names) == len(set(names))


@pytest.mark.parametrize("kind, name", CASES)
def test_another_schema_is_refused(tmp_path, kind, name):
    artifact = ARTIFACTS[kind]
    made = artifact.make(True)
    known = made.schema
    newer = f"{known.split('/')[0]}/2"
    if kind == "weights":
        torch.save({"schema": newer, "meta": made.meta, "tensors": made.tensors}, tmp_path / name)
        sentence(artifact.load, tmp_path / name, repr(known), repr(newer))
        return
    store.write(SimpleNamespace(schema=newer, arrays=made.arrays, attrs=made.attrs), tmp_path / name)
    sentence(artifact.load, tmp_path / name, f"has schema {newer!r}", f"reads {known!r}")


@pytest.mark.parametrize("kind, name", CASES)
def test_what_its_manifest_does_not_describe_is_refused(tmp_path, kind, name):
    artifact = ARTIFACTS[kind]
    artifact.make(True).save(tmp_path / name)
    (tmp_path / "x.json").write_text(json.dumps({"digests": {name: store.digest(artifact.make(True).arrays())}}))
    artifact.load(tmp_path / name)
    artifact.make(False).save(tmp_path / name)
    sentence(artifact.load, tmp_path / name, "is not the store that x.json")


@pytest.mark.parametrize("kind, name", CASES)
def test_what_is_missing_is_one_sentence(tmp_path, kind, name):
    sentence(ARTIFACTS[kind].load, tmp_path / name, "does not exist")


@pytest.mark.parametrize("fault", ["empty", "foreign", "cut"])
@pytest.mark.parametrize("kind", ARTIFACTS)
def test_a_damaged_file_is_one_sentence(tmp_path, kind, fault):
    artifact = ARTIFACTS[kind]
    path = tmp_path / artifact.files[0]
    artifact.make(True).save(path)
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "foreign": b"PK nothing", "cut": data[: len(data) // 2]}[fault])
    sentence(artifact.load, path)


@pytest.mark.parametrize("kind", ARTIFACTS)
def test_one_wrong_byte_is_one_sentence(tmp_path, kind):
    """In the middle of each entry of the zip file in turn, whose list of entries is whole."""
    artifact = ARTIFACTS[kind]
    path = tmp_path / artifact.files[0]
    artifact.make(True).save(path)
    data, entries = path.read_bytes(), zipfile.ZipFile(path).infolist()
    if kind == "weights":  # torch looks at no checksum: the manifest notices; the entries that say nothing are left out
        (tmp_path / "x.json").write_text(
            json.dumps({"digests": {path.name: store.digest(artifact.make(True).arrays())}})
        )
        entries = [entry for entry in entries if "/data/" in entry.filename or entry.filename.endswith("data.pkl")]
    assert len(entries) >= 3
    for entry in entries:
        head = data[entry.header_offset : entry.header_offset + 30]
        begin = entry.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        at, broken = begin + entry.file_size // 2, bytearray(data)
        broken[at] ^= 255
        path.write_bytes(broken)
        sentence(artifact.load, path)


@pytest.mark.parametrize("kind", [kind for kind in ARTIFACTS if "x.zarr" in ARTIFACTS[kind].files])
def test_a_cut_chunk_of_a_folder_is_one_sentence(tmp_path, kind):
    artifact = ARTIFACTS[kind]
    path = tmp_path / "x.zarr"
    artifact.make(True).save(path)
    chunk = max(
        (one for one in path.rglob("*") if one.is_file() and "c" in one.parent.parts),
        key=lambda one: one.stat().st_size,
    )
    chunk.write_bytes(chunk.read_bytes()[:7])
    sentence(artifact.load, path)


@pytest.mark.parametrize("kind, name", CASES)
def test_no_space_left_leaves_the_old_one_and_no_part(tmp_path, monkeypatch, kind, name):
    """Full at the first write, the second, third, fifth, ...: what was there still is, half of the new one is not."""
    old, new = ARTIFACTS[kind].make(True), ARTIFACTS[kind].make(False)
    old.save(tmp_path / name)
    before = content(tmp_path / name)
    left = 0

    def failing(real):
        def write(*args, **keys):
            nonlocal left
            if left == 0:
                raise OSError(28, "No space left on device")
            left -= 1
            return real(*args, **keys)

        return write

    monkeypatch.setattr(zipfile.ZipFile, "writestr", failing(zipfile.ZipFile.writestr))
    monkeypatch.setattr(type(tmp_path), "write_bytes", failing(type(tmp_path).write_bytes))
    for allowed in (0, 1, 2, 4, 8, 16, 32, 64, 128):
        left = allowed
        try:
            new.save(tmp_path / name)
            break
        except OSError:
            assert [path.name for path in tmp_path.iterdir()] == [name]
            assert content(tmp_path / name) == before
    assert allowed >= (1 if kind == "weights" else 4)
    assert store.digest(ARTIFACTS[kind].load(tmp_path / name).arrays()) == store.digest(new.arrays())
