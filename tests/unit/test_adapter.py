"""The adapter: what must be so before a stage is imported."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT
from snakemake.iocontainers import Wildcards

from tag2mask.run import adapter


def test_numpy_comes_after_the_number_of_threads():
    """BLAS reads OPENBLAS_NUM_THREADS when numpy is imported; with another number sums may differ in the last bit."""
    code = "import sys, tag2mask.run.adapter; print({'numpy', 'torch', 'cv2'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_ctrl_c_is_one_line(monkeypatch, tmp_path, capsys):
    """Snakemake hands Ctrl-C to its jobs too; none of them answers with a traceback."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(adapter, "execute", interrupted)
    params = SimpleNamespace(cfg={"stage": "cam", "function": "run"}, code="c")
    wildcards = Wildcards(fromdict={"variant": "plain", "shard": "0000"})
    job = SimpleNamespace(params=params, wildcards=wildcards, log=[tmp_path / "x.log"], threads=1)
    job.input, job.output, job.resources = {}, {}, {}
    with pytest.raises(SystemExit) as left:
        adapter.main(job)
    assert left.value.code == 130
    said = "cam.plain.0000: stopped by Ctrl-C; the same command goes on from here"
    assert capsys.readouterr().err.endswith(f"{said}\n") and said in (tmp_path / "x.log").read_text()


def test_devices_are_counted_as_they_are_leased(monkeypatch):
    """Without it CUDA counts the fastest device first, nvidia-smi the first slot."""
    monkeypatch.setattr(adapter.os, "environ", {})
    adapter.set_environment(["1", "3"], threads=2)
    found = {name: adapter.os.environ[name] for name in ("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES")}
    assert found == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,3"}
