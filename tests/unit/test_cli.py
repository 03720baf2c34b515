"""The command tag2mask: what it lists, whom it asks, and its sentences; what stages declare for it is there."""

import argparse
import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

from tag2mask import cli
from tag2mask.cli import predict
from tag2mask.run.registry import Command, Stage, stages
from tag2mask.store.weights import Weights

WORDS = ("predict", "inspect", "export", "review", "points", "cut", "evaluate", "picture")


def helped(*words):
    """What a call in a process of its own prints, and which of the large libraries it has imported then."""
    code = (
        "import sys; from tag2mask.cli import main\ntry:\n    main(sys.argv[1:])\n"
        "finally:\n    print('loaded', sorted({'numpy', 'torch', 'zarr', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.rpartition("loaded ")[::2]


def test_help_lists_every_command_and_loads_nothing_large():
    text, loaded = helped("--help")
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("    ") and line.strip()]
    assert tuple(listed) == WORDS == tuple(cli.commands()) and loaded.strip() == "[]"


def test_predict_sets_the_number_of_threads_before_numpy_looks():
    text, loaded = helped("predict", "--help")
    assert "WEIGHTS" in text and "(cim: 0.1, bestie: 0.1, refine: 0.5)" in " ".join(text.split())
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("word", WORDS)
def test_help_of_every_command(word, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([word, "--help"])
    shown, module = capsys.readouterr().out, importlib.import_module(cli.commands()[word].module)
    assert left.value.code == 0 and shown.startswith(f"usage: tag2mask {word} ")
    assert module.__doc__.strip() in shown and f"tag2mask {word}" in module.__doc__.partition("\n\n")[0]


@pytest.mark.parametrize("words", [[], ["soup"], ["evaluate"], ["inspect", "a", "--unzip", "b"], ["predict", "a"]])
def test_wrong_words_are_answered_by_the_usage(words, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    shown = capsys.readouterr().err
    assert left.value.code == 2 and shown.startswith("usage: tag2mask")
    if words == ["soup"]:
        assert "invalid choice: 'soup'" in shown and all(f"'{word}'" in shown for word in WORDS)


def test_the_entry_point_is_installed_and_is_this_one():
    """`make test` installs it; by hand: uv pip install --no-deps --no-build-isolation --editable ."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"tag2mask": "tag2mask.cli:main"}
    script = Path(sys.executable).with_name("tag2mask")
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([script, "--help"], cwd=ROOT.parent, env=outside, capture_output=True, text=True)
    assert done.returncode == 0 and all(word in done.stdout for word in WORDS)


# ---- errors, in one place


@pytest.fixture
def failing(monkeypatch):
    """A command `fail` that raises what the test sets, with an argument OUT."""
    module = argparse.Namespace(__doc__="Fail.", arguments=lambda parser: parser.add_argument("out"), error=None)

    def main(given):
        raise module.error

    module.main = main
    monkeypatch.setattr(cli, "OWN", {"fail": Command("fail", "fails")})
    monkeypatch.setitem(sys.modules, "fail", module)
    return module


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (OSError(28, "No space left on device", "a/b"), 1,
         "a/b cannot be written (No space left on device); make room or name another place.\n"),
        (OSError(28, "No space left on device"), 1,
         "there cannot be written (No space left on device); make room or name another place.\n"),
        (KeyboardInterrupt(), 130, "Interrupted: fail did not come to its end.\n"),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(failing, error, status, sentence, capsys):
    failing.error = error
    assert cli.main(["fail", "there"]) == status
    assert capsys.readouterr().err == sentence


def test_a_file_that_may_not_be_read(failing, tmp_path, monkeypatch, capsys):
    (tmp_path / "a").touch()
    failing.error = PermissionError(13, "Permission denied", str(tmp_path / "a"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cli.main(["fail", "there"]) == 1
    assert "a cannot be read (Permission denied)" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(failing):
    failing.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        cli.main(["fail", "there"])


def test_a_pipe_that_is_closed_is_no_error():
    """As `tag2mask ... | head -0`: nobody reads what is printed."""
    code = (
        "import sys, types; from tag2mask import cli; cli.OWN = {'say': cli.Command('say', '')}\n"
        "sys.modules['say'] = types.SimpleNamespace(__doc__='', arguments=id, main=lambda given: print('a' * 400000))\n"
        "sys.exit(cli.main(['say']))"
    )
    end, other = os.pipe()
    os.close(end)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=other, stderr=subprocess.PIPE, text=True)
    os.close(other)
    assert done.returncode == 0 and done.stderr == ""


# ---- predict


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A working folder with one photo in the folder `in`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "in" / "a.png")


def weights_of(kind):
    Weights({"kind": kind}, {"a": torch.zeros(1)}).save(Path("weights.pt"))


def answered(monkeypatch, kind, *words):
    """What the stage's `predict` is given for weights of its kind."""
    seen = []
    module = importlib.import_module(stages()[kind].predict)
    monkeypatch.setattr(module, "predict", lambda *given: seen.append(given) or "1 photo")
    weights_of(kind)
    assert cli.main(["predict", "weights.pt", "in", *words]) == 0
    return seen[0]


def test_the_stage_is_found_by_its_weights(photo, monkeypatch, capsys):
    given, files, weights, job = answered(monkeypatch, "refine", "--device", "cpu", "--threads", "2")
    assert weights.meta["kind"] == "refine" and list(files) == ["a"] and (job.device, job.threads) == ("cpu", 2)
    assert given.score == 0.5 and given.out == Path("predictions-refine") and "tags" not in given
    assert capsys.readouterr().out == "1 photo: predictions-refine\n"
    given, *_ = answered(monkeypatch, "bestie", "--threshold", "0.25", "--out", "there")
    assert (given.score, given.threshold, given.size, given.tags, given.out) == (0.1, 0.25, None, None, Path("there"))
    assert not answered(monkeypatch, "segment")[0].flip and answered(monkeypatch, "segment", "--flip")[0].flip


@pytest.mark.parametrize(
    ("kind", "words", "sentence"),
    [
        ("refine", ["--flip"],
         "--flip is no option with weights of refine; they have --score, --out, --device, --threads."),
        ("segment", ["--score", "1"],
         "--score is no option with weights of segment; they have --flip, --out, --device, --threads."),
        ("bestie", ["--flip"],
         "--flip is no option with weights of bestie; they have --score, --tags, --threshold, --size, --out, "),
        ("mil", [],
         "weights.pt holds weights of 'mil', which segment no photos by themselves; name weights of cim, bestie, "),
    ],
)  # fmt: skip
def test_what_the_weights_cannot_is_one_sentence(photo, kind, words, sentence, capsys):
    weights_of(kind)
    assert cli.main(["predict", "weights.pt", "in", *words]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(sentence) and shown.count("\n") == 1 and not Path("predictions-refine").exists()


# ---- what stages declare


def test_every_declared_module_has_what_it_needs():
    """Commands, predicting modules, looks and panels; none is declared twice."""
    words = [*cli.OWN, *(word for stage in stages().values() for word in stage.commands)]
    schemas = [schema for stage in stages().values() for schema in stage.schemas]
    assert len(words) == len(set(words)) and len(schemas) == len(set(schemas)) == 4
    for command in cli.commands().values():
        module = importlib.import_module(command.module)
        assert command.help and module.__doc__ and callable(module.arguments) and callable(module.main)
    for stage in stages().values():
        written = {write.schema for job in stage.jobs.values() for write in job.writes.values()}
        for schema, name in stage.schemas.items():
            module = importlib.import_module(name)
            assert schema in written and callable(module.lines) and callable(module.draw)
            assert module.lines_of is None or callable(module.lines_of)
        if stage.panel:
            assert callable(importlib.import_module(stage.panel).build)


def test_options_of_the_same_name_mean_the_same():
    assert set(predict.predicting()) == {"bestie", "cim", "refine", "segment"}
    assert all(callable(module.predict) for module in predict.predicting().values())
    for name, kinds in predict.options().items():
        assert name.startswith("--") and name not in predict.COMMON
        without = [{key: value for key, value in one.items() if key != "default"} for one in kinds.values()]
        assert all(one == without[0] for one in without), f"{name} of {', '.join(kinds)}"


def test_a_stage_that_declares_a_command_has_it(monkeypatch, failing):
    """A new stage's command and look need no line elsewhere."""
    whole = {**stages(), "islands": Stage(jobs={}, commands={"review": Command("fail", "reviews")})}
    monkeypatch.setattr(cli, "stages", lambda: whole)
    failing.error = OSError(28, "No space left on device", "there")
    assert list(cli.commands())[-1] == "review" and cli.main(["review", "there"]) == 1
