"""The DAG: what reruns after which change, what may see ground truth, what a wrong configuration says."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT, TINY, Workflow

PER_SHARD = 2
AFTER_LABELS = {"pseudo_labels", "refine_train", "refine", "evaluate", "report", "all"}


def test_second_run_has_nothing_to_do(tiny):
    assert tiny.planned() == {}


@pytest.mark.parametrize(
    ("config", "stages"),
    [
        (["graph_cut={delta: 4}"], {"graph_cut"}),
        (["cam={floor: 0.3}"], {"cam", "semantic", "transfer", "mil", "graph", "graph_cut"}),
        (["transfer={min_area: 20}"], {"transfer"}),
        (["refine={score_threshold: 0.2}"], None),
        (["threads=2"], set()),
    ],
)
def test_a_changed_threshold_reruns_exactly_what_depends_on_it(tiny, config, stages):
    planned = set(tiny.planned(config=config))
    if stages is None:
        assert planned == {"refine", "evaluate", "report", "all"}
    elif not stages:
        assert planned == set()
    else:
        assert planned == stages | AFTER_LABELS
        recipes = tiny.planned(config=config)["pseudo_labels"]
        assert recipes == len({"transfer", "graph_cut"} & stages)


def test_the_seed_reruns_what_is_random(tiny):
    planned = tiny.planned(config=["seed=1"])
    assert planned["images"] == 1 and planned["classifier_train"] == 2 and planned["refine_train"] == 3


def test_adding_a_variant_builds_only_what_is_missing(tiny):
    planned = tiny.planned(config=["show=[transfer,cam_cut,full,whole_photo,top_proposal,cam_argmax]"])
    assert planned == {
        "graph_cut": 1, "pseudo_labels": 1, "refine_train": 1, "refine": 1, "evaluate": 1, "report": 1, "all": 1,
    }  # fmt: skip


def test_code_that_counts_and_code_that_does_not(tiny, tmp_path):
    """A docstring of a shared module reruns nothing, a line of one stage that stage."""
    copy = tmp_path / "project"
    names = ["Snakefile", "config", "profiles", "workflow", "stages", "envs", "tests", "README.md", "pyproject.toml"]
    copy.mkdir()
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy2(source, copy / name)
    workflow = Workflow(tiny.folder, root=copy)
    assert workflow.planned() == {}
    store = copy / "stages/common/instances.py"
    store.write_text(store.read_text().replace('"""', '"""Edited. ', 1) + "\n# a comment\n")
    with (copy / "README.md").open("a") as readme:
        readme.write("\n<!-- a comment -->\n")
    assert workflow.planned() == {}
    stage = copy / "stages/transfer/__init__.py"
    stage.write_text(stage.read_text() + "\nADDED = 1\n")
    assert set(workflow.planned()) == {"transfer"} | AFTER_LABELS


def jobs_with_inputs(workflow, **options):
    """[(rule, output text, input text)] of all jobs that a forced dry-run would run."""
    output = workflow.run("-n", "-F", "--quiet", "host", **options)
    blocks = re.split(r"^(?:local)?rule ", output, flags=re.M)[1:]
    found = []
    for block in blocks:
        name = block.split(":", 1)[0]
        fields = dict(re.findall(r"^    (input|output): (.*)$", block, re.M))
        found.append((name, fields.get("output", ""), fields.get("input", "")))
    return found


def test_only_the_named_rules_read_ground_truth(tmp_path):
    """The firewall: masks and boxes are inputs of `evaluate`, `report` and the references from truth alone."""
    workflow = Workflow(tmp_path)
    recipes = yaml.safe_load((ROOT / "config/recipes.yaml").read_text())["recipes"]
    jobs = jobs_with_inputs(workflow, config=[f"show=[{','.join(recipes)}]"])
    assert len(jobs) > 60
    readers = set()
    for name, output, given in jobs:
        if "truth" in given.replace("semantic/truth", ""):
            variant = re.search(r"(?:reference|semantic)/(\w+)/", output)
            readers.add((name, variant and variant.group(1)))
    references = {("reference", "full"), ("reference", "oracle_boxes")}
    assert readers == references | {("evaluate", None), ("report", None), ("semantic", "truth")}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (["cam={flor: 0.3}"], "cam.flor is not a known key; allowed here:"),
        (["show=[nothing]"], "show: nothing is not a recipe; declared are:"),
        (["dataset={kind: voc, root: /nowhere}"], "/nowhere"),
    ],
)
def test_a_wrong_configuration_is_answered_before_any_work(tmp_path, config, sentence):
    output = Workflow(tmp_path).run(config=config, ok=False)
    assert sentence in output
    assert "Traceback" not in output


@pytest.mark.parametrize("name", ["voc2012", "coco", "folder"])
def test_dry_run_of_every_configuration(tmp_path, name):
    files = [ROOT / "config" / f"{name}.yaml"]
    planned = Workflow(tmp_path, config=files).planned()
    assert planned["report"] == 1 and ("evaluate" in planned) == (name != "folder")
    overlays = [*files, ROOT / "config" / "cpu.yaml"]
    assert Workflow(tmp_path, config=overlays).planned().keys() == planned.keys()


def test_the_demo_is_the_default(tmp_path):
    planned = Workflow(tmp_path, config=()).planned("--resources", "gpu=8")
    assert planned["refine_train"] == 3 and planned["pseudo_labels"] == 5


def test_lint_and_format():
    assert TINY.is_file()
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
