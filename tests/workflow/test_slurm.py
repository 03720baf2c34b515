"""The chain through a real Slurm: one node on the loopback, two devices that compute on the CPU, no accounts."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, TINY, Workflow

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
SETTINGS = Path("/etc/slurm")  # where the jobs look: Snakemake takes Slurm's variables out of their environment
MARK = "# of a test of tag2mask"  # a test that was killed leaves its settings behind: the next one writes them anew
CONF = """{mark}
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SchedulerParameters=sched_interval=1
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=32 RealMemory=60000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    """Ports that nobody listens at: daemons of a test that was killed may still have theirs."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture
def slurm(tmp_path):
    """A running Slurm; skips where it is not installed, or the machine has one of its own."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the executor plugin is not installed")
    if missing or os.geteuid():
        pytest.skip(f"needs root and Slurm ({', '.join(missing) or 'root'}): apt-get install slurm-wlm munge")
    if (SETTINGS / "slurm.conf").exists() and not (SETTINGS / "slurm.conf").read_text().startswith(MARK):
        pytest.skip(f"{SETTINGS}/slurm.conf is this machine's own")
    folder, host = tmp_path / "slurm", socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    SETTINGS.mkdir(exist_ok=True)
    own = {
        "slurm.conf": CONF.format(mark=MARK, folder=folder, host=host, ports=free_ports(2)),
        "gres.conf": f"NodeName={host} Name=gpu File=/dev/null,/dev/zero\n",
        "cgroup.conf": "CgroupPlugin=cgroup/v1\n",
    }
    for name, text in own.items():
        (SETTINGS / name).write_text(text)
    munge = [f"--{name}={folder}/{file}" for name, file in
             {"key-file": "key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log",
              "seed-file": "seed"}.items()]  # fmt: skip
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    try:
        for command in (["munged", "--force", *munge], ["slurmctld"], ["slurmd"]):
            subprocess.run(command, env=environment, check=True, timeout=60)
        for _ in range(60):
            if "idle" in subprocess.run(["sinfo"], capture_output=True, text=True).stdout:
                break
            time.sleep(1)
        else:
            pytest.fail(subprocess.run(["sinfo", "-R"], capture_output=True, text=True).stdout)
        yield
    finally:
        for name in ("d.pid", "ctld.pid", "munge.pid"):
            if (folder / name).exists():
                subprocess.run(["kill", (folder / name).read_text().strip()])
        for name in own:
            (SETTINGS / name).unlink(missing_ok=True)


@pytest.mark.slow
def test_through_slurm_it_makes_what_a_machine_makes(slurm, tmp_path):
    """Trainings take both devices, a process on each, and ask for sixteen cores; what works by shards takes one."""
    keys = ("show=[transfer,cam_cut]", "train=[]", "train_segment=[]", "gpus=2", "dataset={shards: 1}")
    there, here = (Workflow(tmp_path / name) for name in ("there", "here"))
    command = [
        sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--profile", str(ROOT / "profiles/slurm"),
        "--directory", str(there.folder), "--jobs", "4", "--slurm-init-seconds-before-status-checks", "5",
        "--configfile", str(TINY), "--config", *keys,
    ]  # fmt: skip
    devices = {"TAG2MASK_DEVICES": "stand-in-0,stand-in-1"}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | devices, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    here.run("--resources", "gpu=2", config=keys, env=devices | {"TAG2MASK_LOCKS": str(tmp_path)})
    assert there.digests() == here.digests()
    for workflow in (there, here):
        assert leased(workflow, "classifier/pam/weights") == ["stand-in-0", "stand-in-1"]
        assert len(leased(workflow, "cam/pam/0000")) == 1


def leased(workflow, name):
    """Devices on which the store of that name was made."""
    return json.loads((workflow.folder / f"results/tiny/{name}.run.json").read_text())["devices"]
