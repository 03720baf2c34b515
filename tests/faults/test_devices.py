"""GPU jobs lease their devices: no two jobs on one device at a time, in one run or in two runs at once."""

import json

import pytest
from conftest import Workflow

GPU_STAGES = {"bestie", "cam", "cim", "classifier", "graph", "icn", "mil", "prm", "refine", "segment"}


def spans(*workflows):
    """device -> sorted (began, ended) of the jobs that leased it."""
    found = {}
    for workflow in workflows:
        for path in (workflow.folder / "results").rglob("*.run.json"):
            run = json.loads(path.read_text())
            stage = path.relative_to(workflow.folder / "results/tiny").parts[0]
            assert bool(run["devices"]) == (stage in GPU_STAGES and not path.name.startswith("targets"))
            for name in run["devices"]:
                found.setdefault(name, []).append((run["began"], run["ended"]))
    return {name: sorted(times) for name, times in found.items()}


def overlaps(found):
    return [pair for times in found.values() for pair in zip(times, times[1:]) if pair[0][1] > pair[1][0]]


@pytest.mark.slow
def test_eight_devices(tmp_path):
    """`--cores 8 --resources gpu=8` as README types it, with eight devices (stand-ins that compute on the CPU)."""
    workflow = Workflow(tmp_path / "run", cores=8)
    devices = ",".join(f"stand-in-{n}" for n in range(8))
    workflow.run("--resources", "gpu=8", env={"TAG2MASK_DEVICES": devices, "TAG2MASK_LOCKS": str(tmp_path / "locks")})
    found = spans(workflow)
    assert len(found) > 1 and not overlaps(found)


@pytest.mark.slow
def test_two_runs_share_two_devices(tmp_path):
    runs = [Workflow(tmp_path / name, cores=4) for name in ("a", "b")]
    env = {"TAG2MASK_DEVICES": "stand-in-0,stand-in-1", "TAG2MASK_LOCKS": str(tmp_path / "locks")}
    for run in runs:
        run.folder.mkdir()
    processes = [run.start("--resources", "gpu=8", env=env) for run in runs]
    for process in processes:
        output, _ = process.communicate(timeout=1800)
        assert process.returncode == 0, output[-3000:]
    found = spans(*runs)
    assert sorted(found) == ["stand-in-0", "stand-in-1"] and not overlaps(found)
    assert runs[0].digests() == runs[1].digests()
