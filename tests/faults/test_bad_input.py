"""Bad input to the stages that read each other's files, the commands, and the whole workflow: one sentence each.

What is wrong with a dataset stands in tests/stages/test_images_bad_input.py, with one file in tests/unit/test_photo.py.
"""

import contextlib
import errno
import os
import pickle
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

from stages import cam, classifier, graph, graph_cut, mil, proposals, pseudo_labels, reference, refine, semantic
from stages import segment as segment_stage
from stages import transfer as transfer_stage
from tag2mask.cli import main
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.run.job import Job
from tag2mask.store import store
from tag2mask.store.weights import Weights


class Evil:
    """Makes the folder `ran` when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def sentence(call, *parts):
    """The message of the UserError that `call` raises: one line, one sentence, holding all `parts`."""
    with pytest.raises(UserError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    for part in parts:
        assert part in text
    return text


@pytest.fixture
def folder(stores, tmp_path, monkeypatch):
    """A copy of `stores`; the working folder."""
    shutil.copytree(stores, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A folder with one store of every kind, of one photo with the tag 1."""
    root = tmp_path_factory.mktemp("stores")
    with contextlib.chdir(root):
        make_stores()
    return root


def make_stores():
    """The stores in the working folder, whose index names the photo that lies in the working folder of its reader."""
    Image.fromarray(np.full((24, 24, 3), 90, np.uint8)).save("a.png")
    Index.build(
        ".", {1: "cat"}, image_id=["a"], path=["a.png"], size=[(24, 24)], tags=[(1,)], train=[True],
        with_masks=[True], val=[False],
    ).save("index.zarr.zip")  # fmt: skip
    masks = np.zeros((1, 24, 24), bool)
    masks[0, 4:20, 4:20] = True
    for name, categories, category in (("proposals", {}, 0), ("truth", {1: "cat"}, 1), ("labels", {1: "cat"}, 1)):
        builder = InstancesBuilder(categories)
        builder.add("a", (24, 24), masks, category=category)
        builder.finish().save(f"{name}.zarr.zip")
    for name, dtype, category, values in (("cam", np.float16, 1, np.ones((3, 3))), ("semantic", np.uint8, 0, masks[0])):
        maps = MapsBuilder(dtype, {})
        maps.add("a", (24, 24), [(category, values)])
        maps.finish().save(f"{name}.zarr.zip")
    one = {"image_id": np.array(["a"]), "first": np.array([0, 1])}
    peaks = {"category": np.array([1], np.int16), "yx": np.array([[9, 9]], np.int32), "score": np.ones(1, np.float32)}
    Table("peaks/1", {**one, **peaks}).save("peaks.zarr.zip")
    nodes = {"row": np.zeros(1, np.int64), "p": np.array([[0.4, 0.6]], np.float32), "f": np.ones((1, 4), np.float16)}
    Table("mil/1", {**one, **nodes}, {"labels": [0, 1]}).save("mil.zarr.zip")
    Table("graph/1", {"edge": np.zeros((0, 2), np.int64), "cosine": np.zeros(0, np.float32)}, {"nodes": 1}).save(
        "edges.zarr.zip"
    )


def call(function, config=None, **keys):
    """A call of a stage's function whose inputs are the stores in the working folder, named by what they hold."""
    names = ("index", "proposals", "truth", "labels", "cam", "semantic", "peaks", "edges")
    inputs = SimpleNamespace(**{name: f"{name}.zarr.zip" for name in names}, weights="weights.pt")
    listed = {"mil": ["mil.zarr.zip"], "instances": ["labels.zarr.zip"], "proposals": ["proposals.zarr.zip"]}
    for name in ("mil", "instances") if function is not graph_cut.run else listed:
        setattr(inputs, name, listed[name])
    if config is None:
        package = sys.modules[function.__module__]
        config = __import__(f"{package.__name__}.config", fromlist=["Config"]).Config(**keys)
    return function(inputs, config, Job(shard=0))


READERS = {  # what reads it, by the store it reads
    "index": [(stage.run, {}) for stage in (proposals, cam, semantic, transfer_stage, mil, graph, pseudo_labels)]
    + [(classifier.train, {}), (refine.train, {}), (segment_stage.train, {}), (reference.run, {"kind": "whole_photo"})]
    + [(mil.train, {}), (mil.train, {"scores": "attention"})],
    "proposals": [(mil.train, {}), (mil.run, {}), (graph_cut.run, {})],
    "cam": [(semantic.run, {}), (mil.train, {}), (mil.run, {})],
    "semantic": [(transfer_stage.run, {})],
    "peaks": [(transfer_stage.run, {})],
    "mil": [(graph.run, {}), (graph_cut.run, {})],
    "edges": [(graph_cut.run, {})],
    "truth": [(reference.run, {}), (semantic.run, {"source": "truth"})],
    "labels": [(pseudo_labels.run, {}), (refine.train, {}), (segment_stage.train, {})],
}
CASES = [(name, function, keys) for name, found in READERS.items() for function, keys in found]


def as_if_newer(path):
    """The same store, written by a later version: its schema says /2."""
    arrays, attrs, schema = store.read(path)
    newer = f"{schema.split('/')[0]}/2"
    made = SimpleNamespace(schema=newer, arrays=lambda: arrays, attrs=lambda: attrs)
    store.write(made, path)
    return newer


@pytest.mark.parametrize(
    ("name", "function", "keys"), CASES, ids=[f"{n}-{f.__module__.split('.')[1]}.{f.__name__}" for n, f, _ in CASES]
)
def test_a_store_of_a_newer_schema(folder, name, function, keys):
    newer = as_if_newer(folder / f"{name}.zarr.zip")
    if function is cam.run:
        Weights({"kind": "classifier"}, {}).save("weights.pt")
    sentence(lambda: call(function, **keys), f"{name}.zarr.zip has schema '{newer}'", "reads '")


def test_weights_of_a_newer_schema(folder):
    torch.save({"schema": "weights/2", "meta": {"kind": "classifier"}, "tensors": {}}, "weights.pt")
    for function in (cam.run, mil.run, refine.run, segment_stage.run):
        sentence(lambda: call(function), "weights.pt", "'weights/1', found 'weights/2'")  # noqa: B023


LOADERS = {  # weights trained here, then a user's own of the backbone
    "cam": (cam.run, {}),
    "mil": (mil.run, {}),
    "mil of fan": (mil.run, {"scores": "attention"}),
    "refine": (refine.run, {}),
    "segment": (segment_stage.run, {}),
    "classifier.weights": (classifier.train, {"weights": "weights.pt"}),
    "mil.weights": (mil.train, {"weights": "weights.pt"}),
    "mil.weights of fan": (mil.train, {"weights": "weights.pt", "scores": "attention"}),
    "mil.weights of cam": (mil.run, {"weights": "weights.pt", "scores": "cam"}),
    "segment.weights": (segment_stage.train, {"weights": "weights.pt"}),
    "segment.weights of resnet50": (segment_stage.train, {"weights": "weights.pt", "backbone": "resnet50"}),
    "refine.weights": (refine.train, {"weights": "weights.pt"}),
    "refine.weights of R-50": (refine.train, {"weights": "weights.pt", "backbone": "R-50"}),
}


@pytest.mark.parametrize("where", LOADERS)
def test_a_pickle_that_would_run_code(folder, where):
    function, keys = LOADERS[where]
    torch.save({"schema": "weights/1", "meta": {}, "tensors": {"a": Evil()}}, "weights.pt")
    sentence(lambda: call(function, **keys), "weights.pt would run code when loaded and was refused")
    (folder / "weights.pt").write_bytes(pickle.dumps(Evil()))
    sentence(lambda: call(function, **keys), "weights.pt", "without running code")
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"<!DOCTYPE html>", b"\xff\xd8\xff\xe0 a photo", "half"])
def test_a_file_that_holds_no_weights(folder, content):
    if content == "half":
        torch.save({"a": torch.zeros(1000)}, "weights.pt")
        content = (folder / "weights.pt").read_bytes()[:2000]
    (folder / "weights.pt").write_bytes(content)
    sentence(lambda: call(cam.run), "weights.pt is damaged, or holds no tensors")


@pytest.mark.parametrize("where", [name for name in LOADERS if ".weights" in name])
def test_weights_of_another_architecture(folder, where):
    function, keys = LOADERS[where]
    torch.save({"conv1.weight": torch.zeros(64, 3, 3, 3)}, "weights.pt")
    text = sentence(lambda: call(function, **keys), "weights.pt")
    assert "not those of the backbone" in text or "does not hold a ResNet-50" in text


def test_trained_weights_that_are_not_what_they_say(folder):
    """Tensors of one network beside the description of another, and weights of the other learning stage."""
    from stages.classifier.config import Config
    from stages.classifier.model import build

    keys = (
        "backbone", "output_stride", "dilate", "last_conv", "frozen_norm", "head", "alpha", "pam_layers", "pam_context",
        "enlarge",
    )  # fmt: skip
    config = Config()
    meta = {"kind": "classifier", "classes": [1], "pam_channels": 8, **{key: getattr(config, key) for key in keys}}
    tensors = build(meta).state_dict()
    Weights({**meta, "head": "pam"}, tensors).save("weights.pt")
    sentence(lambda: call(cam.run), "not those of the classifier network that they describe")
    sentence(lambda: call(refine.run), "weights.pt holds weights of 'classifier', needed are those of 'refine'")


def test_imported_lists_never_leave_their_folder(folder):
    """An id that climbs out of the folder of imported proposals or semantic maps reads nothing there."""
    (folder / "inner").mkdir()
    Image.fromarray(np.ones((24, 24), np.uint8)).save("secret.png")
    index = Index.load("index.zarr.zip")
    index.image_id = ["../secret"]
    index.save("index.zarr.zip")
    keys = {"source": "label_png", "path": "inner"}
    sentence(lambda: call(proposals.run, **keys), "../secret lies outside inner")
    keys = {"source": "folder", "path": "inner"}
    sentence(lambda: call(semantic.run, **keys), "../secret: its label map would lie outside inner")


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["evaluate", "truth.zarr.zip", "newer.zarr.zip"], "has schema 'instances/2'"),
        (["evaluate", "truth.zarr.zip", "truth.zarr.zip", "--out", "file/x.json"], "Not a directory"),
        (["evaluate", "truth.zarr.zip", "cut.zarr.zip"], "not a readable Zarr store"),
        (["inspect", "newer.zarr.zip"], "instances/2"),
        (["inspect", "cut.zarr.zip"], "not a readable Zarr store"),
        (["inspect", "truth.zarr.zip", "--png", "file/x.png"], "Not a directory"),
        (["export", "truth.zarr.zip", "file/x.zarr"], "file cannot be written (File exists)"),
        (["export", "truth.zarr.zip", "file/x.json"], "file cannot be written (File exists)"),
        (["export", "newer.zarr.zip", "x.json"], "instances/2"),
        (["points", "newer.zarr.zip", "x.csv"], "has schema 'instances/2'"),
        (["points", "truth.zarr.zip", "file/x.csv"], "Not a directory"),
        (["predict", "weights.pt", "."], "would run code when loaded"),
        (["cut", "file", "--out", "x.npz"], "cannot be read as an npz file"),
        (["picture", ".", "x.png"], "no results folder of a run"),
    ],
    ids=lambda value: "-".join(value).replace("/", "_") if isinstance(value, list) else "",
)
def test_commands_answer_with_one_sentence(folder, command, part, monkeypatch, capsys):
    Instances.load("truth.zarr.zip").save("newer.zarr.zip")
    as_if_newer(folder / "newer.zarr.zip")
    (folder / "cut.zarr.zip").write_bytes((folder / "truth.zarr.zip").read_bytes()[:-200])
    (folder / "file").write_text("a file")
    torch.save({"schema": "weights/1", "meta": {}, "tensors": {"a": Evil()}}, "weights.pt")
    before = {path.name for path in folder.iterdir()}
    status = main(command)
    shown = capsys.readouterr().err
    assert status == 1 and part in shown and len(shown.strip().splitlines()) == 1
    assert {path.name for path in folder.iterdir()} == before


def test_predictions_into_a_file(folder, tmp_path, monkeypatch, capsys):
    """The folder to write to lies below a regular file: a sentence, when the photos were read and segmented."""
    (folder / "file").write_text("a file")
    table = InstancesBuilder({1: "cat"})
    table.add("a.png", (24, 24), [], category=[])
    monkeypatch.setattr("tag2mask.store.weights.Weights.load", lambda *_: Weights({"kind": "refine"}, {}))
    monkeypatch.setattr("stages.refine.predict.predict_photos", lambda *_, **__: table.finish())
    assert main(["predict", "weights.pt", ".", "--out", "file/out"]) == 1
    shown = capsys.readouterr().err
    assert "file/out cannot be written" in shown and len(shown.strip().splitlines()) == 1


@pytest.mark.parametrize("what", ["checkpoint", "json"])
def test_no_space_left_for_what_is_no_artifact(tmp_path, monkeypatch, what):
    """Checkpoints and JSON: the error as the system gives it, the old file whole, no part of the new one."""
    from tag2mask.learn.checkpoints import save_checkpoint
    from tag2mask.store import manifest

    net = torch.nn.Linear(3, 3)

    def save(number):
        if what == "checkpoint":
            save_checkpoint(tmp_path, number, model=net, optimiser=torch.optim.AdamW(net.parameters()))
        else:
            manifest.write_json(tmp_path / "metrics.json", {"number": number})

    save(1)
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()

    def full(path, data, *_):
        with path.open("wb") as half:
            half.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def half(content):
        yield "half"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(type(tmp_path), "write_bytes", full)
        patched.setattr(manifest, "json_text", half)
        with pytest.raises(OSError, match="No space left on device"):
            save(2)
    assert [path.name for path in tmp_path.iterdir()] == [file.name] and file.read_bytes() == before


def test_commands_are_found_from_a_shell(folder):
    """As typed: exit status 1 and nothing but the sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "tag2mask", "evaluate", "truth.zarr.zip", "none.zarr.zip"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and "none.zarr.zip does not exist" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
