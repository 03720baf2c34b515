"""A training on two devices as the adapter starts it, with stand-ins that compute on the CPU."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from stages.classifier.config import Config
from tag2mask.store.weights import Weights

pytestmark = pytest.mark.slow
JOB = """
import json, sys
from types import SimpleNamespace
from snakemake.iocontainers import Wildcards
from tag2mask.run.adapter import main
given = json.loads(sys.argv[1])
main(SimpleNamespace(
    params=SimpleNamespace(cfg=given["cfg"], code="c"), wildcards=Wildcards(fromdict={"variant": "plain"}),
    log=["results/x/log.txt"], threads=1, input=given["input"], output=given["output"], resources={"gpu": 2},
))
"""


def job(folder, index, devices, **keys):
    """The finished process of a training of the classifier in `folder`; devices : "" or names with commas."""
    (folder / "results/x/classifier/plain").mkdir(parents=True, exist_ok=True)
    config = Config(weights="none", backbone="test_efficientnet", size=32, epochs=2, **keys).model_dump(mode="json")
    out = "results/x/classifier/plain/weights"
    given = {
        "cfg": {"stage": "classifier", "function": "train", "config": config, "seed": 5},
        "input": {"index": str(index)}, "output": {"weights": f"{out}.pt", "manifest": f"{out}.json"},
    }  # fmt: skip
    env = os.environ | {
        "TAG2MASK_DEVICES": devices, "TAG2MASK_LOCKS": str(folder / "locks"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    program = [sys.executable, "-c", JOB, json.dumps(given)]
    return subprocess.run(program, cwd=folder, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    from learners import dataset

    return dataset(tmp_path_factory.mktemp("photos")).index


def test_two_devices_make_one_store_with_one_manifest(tmp_path, index):
    made = {}
    for name, devices in (("one", ""), ("two", "stand-in-0,stand-in-1")):
        ran = job(tmp_path / name, index, devices, batch=3, rate=1e-3)
        assert ran.returncode == 0, ran.stderr
        log = (tmp_path / name / "results/x/log.txt").read_text()
        assert log.count("started") == log.count("done in") == 1 and "iterations" in log
        made[name] = Weights.load(tmp_path / name / "results/x/classifier/plain/weights.pt", "classifier").arrays()
    for name, wanted in made["one"].items():
        np.testing.assert_allclose(made["two"][name], wanted, rtol=1e-5, atol=1e-5, err_msg=name)
    folder = tmp_path / "two/results/x/classifier/plain"
    assert sorted(path.name for path in folder.iterdir()) == ["weights.json", "weights.pt", "weights.run.json"]
    assert json.loads((folder / "weights.run.json").read_text())["devices"] == ["stand-in-0", "stand-in-1"]
    assert not list((tmp_path / "two/results/x/.checkpoints").iterdir())


def test_what_a_user_can_mend_is_said_once(tmp_path, index):
    ran = job(tmp_path, index, "stand-in-0,stand-in-1", batch=1)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert ran.stderr.count("2 devices cannot share a batch of 1: set gpus to fewer") == 1
