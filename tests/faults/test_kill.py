"""kill -9 at any place, then the same command: what comes out is what an undisturbed run makes."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

OUT = "results/tiny"
TARGETS = {  # stage -> (an artifact of it, its log)
    "images": (f"{OUT}/images/default/index.zarr.zip", "images"),
    "proposals": (f"{OUT}/proposals/default/0000.zarr.zip", "proposals.default.0000"),
    "classifier": (f"{OUT}/classifier/plain/weights.pt", "classifier_train.plain"),
    "cam": (f"{OUT}/cam/plain/0000.cam.zarr.zip", "cam.plain.0000"),
    "semantic": (f"{OUT}/semantic/default/0000.zarr.zip", "semantic.default.0000"),
    "mil_train": (f"{OUT}/mil/default/weights.pt", "mil_train.default"),
    "mil_train of fan": (f"{OUT}/mil/attention/weights.pt", "mil_train.attention"),
    "mil": (f"{OUT}/mil/cam/0000.zarr.zip", "mil.cam.0000"),
    "graph": (f"{OUT}/graph/cam/edges.zarr.zip", "graph.cam"),
    "graph_cut": (f"{OUT}/graph_cut/cam/labels.zarr.zip", "graph_cut.cam"),
    "graph_cut of fan": (f"{OUT}/graph_cut/partition/labels.zarr.zip", "graph_cut.partition"),
    "transfer": (f"{OUT}/transfer/default/0000.zarr.zip", "transfer.default.0000"),
    "bestie_train": (f"{OUT}/bestie/default/weights.pt", "bestie_train.default"),
    "bestie": (f"{OUT}/bestie/default/0000.zarr.zip", "bestie.default.0000"),
    "cim_train": (f"{OUT}/cim/default/weights.pt", "cim_train.default"),
    "cim": (f"{OUT}/cim/default/0000.zarr.zip", "cim.default.0000"),
    "prm": (f"{OUT}/prm/icn/0000.zarr.zip", "prm.icn.0000"),
    "icn_targets": (f"{OUT}/icn/default/targets-0000.zarr.zip", "icn_targets.default.0000"),
    "icn_train": (f"{OUT}/icn/default/weights.pt", "icn_train.default"),
    "icn": (f"{OUT}/icn/default/0000.zarr.zip", "icn.default.0000"),
    "match": (f"{OUT}/match/icn/0000.zarr.zip", "match.icn.0000"),
    "reference": (f"{OUT}/reference/full/0000.zarr.zip", "reference.full.0000"),
    "pseudo_labels": (f"{OUT}/pseudo_labels/cam_cut/labels.json", "pseudo_labels.cam_cut"),
    "refine_train": (f"{OUT}/refine/cam_cut/weights.pt", "refine_train.cam_cut"),
    "refine": (f"{OUT}/refine/cam_cut/predictions.zarr.zip", "refine.cam_cut"),
    "segment_train": (f"{OUT}/segment/full/weights.pt", "segment_train.full"),
    "segment": (f"{OUT}/segment/full/predictions.zarr.zip", "segment.full"),
    "evaluate": (f"{OUT}/evaluate/cam_cut/metrics.json", "evaluate.cam_cut"),
    "report": (f"{OUT}/report/report.html", "report"),
}
# by the beginning of their logs
TRAINS = ("classifier_train", "mil_train", "bestie_train", "cim_train", "icn_train", "refine_train", "segment_train")
FAST = ("graph_cut",)  # a training: test_a_killed_snakemake, and tests/contracts/test_learning.py
STAGES = [stage if stage in FAST else pytest.param(stage, marks=pytest.mark.slow) for stage in TARGETS]


def job_of(workflow, process, log):
    """The process that runs the job with this log, once it works on the stage itself."""
    path = workflow.folder / OUT / "logs" / f"{log}.log"
    checkpoints = workflow.folder / OUT / ".checkpoints"
    trains = log.startswith(TRAINS)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                opened = {Path(file.path) for file in child.open_files()}
            except psutil.Error:
                continue
            saved = not trains or any(file.suffix == ".pt" for file in checkpoints.rglob("*"))
            if path.resolve() in {file.resolve() for file in opened} and "started" in path.read_text() and saved:
                return child
        time.sleep(0.01)
    raise AssertionError(f"the job of {log} was not seen: {process.communicate()[0][-3000:]}")


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_job(tiny_copy, stage):
    target, log = TARGETS[stage]
    before = tiny_copy.digests()
    (tiny_copy.folder / OUT / "logs" / f"{log}.log").unlink()
    process = tiny_copy.start("--force", target)
    job_of(tiny_copy, process, log).kill()
    process.communicate(timeout=300)
    assert process.returncode != 0
    tiny_copy.run(target)
    if log.startswith(TRAINS):
        assert "resumed at iteration" in (tiny_copy.folder / OUT / "logs" / f"{log}.log").read_text()
    assert tiny_copy.digests() == before
    assert tiny_copy.planned() == {}
    assert not list((tiny_copy.folder / OUT).rglob("*.part")), "a half-written file is left"
    assert not any((tiny_copy.folder / OUT / ".checkpoints").glob("*/*.pt"))


def test_a_killed_snakemake(tiny_copy):
    """The lock stays, --unlock frees it, an orphan that still trains is waited for."""
    target, log = TARGETS["classifier"]
    before = tiny_copy.digests()
    (tiny_copy.folder / OUT / "logs" / f"{log}.log").unlink()
    process = tiny_copy.start("--force", target)
    job_of(tiny_copy, process, log)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    assert "unlock" in tiny_copy.run(target, ok=False)
    tiny_copy.run("--unlock")
    tiny_copy.run(target)
    assert tiny_copy.digests() == before
    assert tiny_copy.planned() == {}


@pytest.mark.slow
def test_ctrl_c(tiny_copy):
    """To Snakemake and its job, as a terminal sends it: a few lines, no traceback, and the same command goes on."""
    target, log = TARGETS["classifier"]
    before = tiny_copy.digests()
    (tiny_copy.folder / OUT / "logs" / f"{log}.log").unlink()
    process = tiny_copy.start("--force", target)
    job_of(tiny_copy, process, log)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=300)[0]
    assert process.returncode != 0 and "stopped by Ctrl-C" in said and "Traceback" not in said
    tiny_copy.run(target)
    assert tiny_copy.digests() == before
