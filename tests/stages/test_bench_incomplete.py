"""The benchmark of missing labels: its rows on a tiny run, what is kept of them, its table by hand."""

import shutil
from types import SimpleNamespace

import pytest
from conftest import ROOT
from refine_photos import TINY, dataset

from benchmarks import incomplete
from tag2mask.data.instances import Instances
from tag2mask.learn import loop


@pytest.fixture
def run(tmp_path):
    """A run's folder as far as the benchmark reads it: four labels of score 1."""
    made = dataset(tmp_path / "made")
    for path, place in ((made.index, incomplete.INDEX), (made.truth, "images/default/truth.zarr.zip")):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / place)
    shutil.copytree(made.labels, tmp_path / "pseudo_labels/full/labels.zarr")
    return tmp_path


def given(**keys):
    found = {"recipe": "full", "drop": 0.5, "seed": 1, "semantic": "default", "device": "cpu", "rows": ["plain"]}
    return SimpleNamespace(**found | keys)


def test_rows_are_kept_and_the_second_round_goes_on_from_the_first(run, monkeypatch):
    taken, real = [], loop.step
    monkeypatch.setattr(loop, "step", lambda task, items, t, **keys: taken.append(t) or real(task, items, t, **keys))
    keys = TINY | {"round_score": 0.0}
    found = incomplete.finished(run, given(rows=["plain", "score_weight", "rounds"]), keys)
    assert found["labels"] == 3 and "score_weight" not in found  # three of four are left, all of one score
    assert taken == [0, 1, 2, 3, 0, 1, 2, 3] and found["rounds"]["added"]["instances"] > 0
    assert incomplete.finished(run, given(rows=["plain", "rounds"]), keys) == {
        name: found[name] for name in ("plain", "rounds", "labels")
    }
    assert len(taken) == 8
    assert len(Instances.load(run / "incomplete/full-0.5-4-1/rounds/added.zarr.zip")) > 0
    with pytest.raises(SystemExit, match="semantic/default holds no maps; name another variant with --semantic"):
        incomplete.finished(run, given(rows=["ignore"]), keys)


def test_what_is_left_out(run):
    assert len(incomplete.labels_of(run, "full", 0, 1)) == 4
    assert incomplete.labels_of(run, "full", 0.5, 1).category.tolist() == [3, 7, 7]  # draws 0.51 0.95 0.14 0.95


def test_the_table_by_hand():
    runs = [{"plain": dict.fromkeys(incomplete.COLUMNS, value)} for value in (0.2, 0.4)]
    runs[0]["rounds"] = runs[0]["plain"] | {"added": {"instances": 12, "true_positives": 5}}
    lines = incomplete.table(runs, ["plain", "ignore", "rounds"]).splitlines()
    assert lines[2] == "| `plain` | - | 30.0 | 30.0 (20.0, 40.0) | 30.0 | 30.0 | - | - |"
    assert lines[3] == "| `rounds` | rounds: 2 | 20.0 | 20.0 | 20.0 | 20.0 | 12 | 5 |" and len(lines) == 4
    text = incomplete.section([run | {"labels": 7} for run in runs], given(runs=[ROOT, ROOT]), {"iterations": 3})
    assert "50 % dropped" in text and "Mask R-CNN on 7 labels" in text and "--recipe full --drop 0.5" in text


def test_the_rows_are_of_the_demo_s_network():
    config = incomplete.config_of(["config/config.yaml"], 5)
    assert config["iterations"] == 5 and config["fpn_channels"] == 64 and config["rounds"] == 1
    assert incomplete.config_of(["config/config.yaml"], None)["iterations"] == 300
