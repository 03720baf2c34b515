"""Helpers to run the workflow as a user does."""

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "workflow" / "tiny.yaml"


class Workflow:
    """Snakemake on this project's Snakefile in a working folder of its own."""

    def __init__(self, folder, *, root=ROOT, config=(TINY,), cores=2):
        self.folder, self.root, self.config, self.cores = Path(folder), root, config, cores

    def command(self, *args, config=()):
        options = ["--config", *config] if config else []
        files = ["--configfile", *map(str, self.config)] if self.config else []
        return [
            sys.executable, "-m", "snakemake", "-s", str(self.root / "Snakefile"), "--directory", str(self.folder),
            "--cores", str(self.cores), *args, *files, *options,
        ]  # fmt: skip

    def start(self, *args, config=(), env=None):
        """The command as a process in a group of its own."""
        return subprocess.Popen(
            self.command(*args, config=config), cwd=self.root, env={**os.environ, **(env or {})}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, *args, config=(), env=None, ok=True):
        """The output of the command; ok : whether it must succeed (None: either)."""
        process = self.start(*args, config=config, env=env)
        output, _ = process.communicate(timeout=1500)
        if ok is not None:
            assert (process.returncode == 0) == ok, output[-6000:]
        return output

    def planned(self, *args, config=(), env=None):
        """Rule -> number of jobs that the command would run now."""
        output = self.run("-n", *args, config=config, env=env)
        if "Nothing to be done" in output:
            return {}
        table = re.search(r"^job +count\n-+.*?\n(.*?)^total", output, re.M | re.S).group(1)
        return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}

    def digests(self):
        """Every manifest and metrics file of the results -> its text: what a run made."""
        results = self.folder / "results"
        names = [p for p in results.rglob("*.json") if not p.name.endswith((".run.json", ".coco.json"))]
        return {str(path.relative_to(results)): path.read_text() for path in names}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A finished run of the tiny configuration, one for all processes of the tests; tests must not change it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    folder.mkdir(exist_ok=True)
    workflow, said = Workflow(folder), folder / "output.txt"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(workflow.run())
    workflow.output = said.read_text()
    return workflow


@pytest.fixture
def tiny_copy(tiny, tmp_path):
    """The finished run in a folder that the test may change (dates are kept)."""
    subprocess.run(["cp", "-a", f"{tiny.folder}/.", str(tmp_path)], check=True)
    return Workflow(tmp_path)
