"""The review in a whole run: reject two masks and accept one in the browser, retrain, and the table says so."""

import re
import subprocess
import sys

import pytest
from browser import Browser
from conftest import ROOT

from tag2mask.data.instances import Instances

LABELS = "results/tiny/pseudo_labels/transfer/labels.zarr"
CONFIG = ["show=[transfer,full]", "train=[transfer]", "train_segment=[]"]
CORRECTED = [*CONFIG, "pseudo_labels={corrections: corrections.json}"]
AFTER = {"pseudo_labels": 1, "refine_train": 1, "refine": 1, "evaluate": 1, "report": 1, "all": 1}


@pytest.mark.slow
def test_decisions_go_round(tiny_copy):
    folder = tiny_copy.folder
    tiny_copy.run(config=CONFIG)
    before = Instances.load(folder / LABELS)
    subprocess.run(
        [sys.executable, "-m", "tag2mask", "review", str(folder / LABELS), str(folder / "review.html")],
        cwd=ROOT, check=True,
    )  # fmt: skip
    with Browser(folder) as tab:
        tab.open(folder / "review.html", width=1280, height=800)
        tab.press("r", "r", "a", "s")
        tab.downloaded("corrections.json")
    assert tiny_copy.planned(config=CORRECTED) == AFTER
    said = tiny_copy.run(config=CORRECTED)
    assert re.search(r"^\| transfer +\| corrected", said, re.M) and re.search(r"^\| full +\| masks", said, re.M)
    after = Instances.load(folder / LABELS)
    assert len(after) <= len(before) - 2
    assert tiny_copy.planned(config=CORRECTED) == {}
    (folder / "corrections.json").touch()
    assert tiny_copy.planned(config=CORRECTED) == {}
    (folder / "corrections.json").write_text('{"schema": "corrections/1", "photos": []}')
    assert tiny_copy.planned(config=CORRECTED) == AFTER
