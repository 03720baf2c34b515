"""The DAG: what reruns after which change, what may see ground truth, what a wrong configuration says."""

import json
import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode

import pytest
import yaml
from conftest import ROOT, TINY, Workflow

AFTER_LABELS = {"pseudo_labels", "refine_train", "refine", "evaluate", "report", "all"}
BESTIE = {"bestie_train": 1, "bestie": 2, "bestie_predict": 1}
CIM = {"cim_train": 1, "cim": 2, "cim_predict": 1}
ICN = {"icn_targets": 2, "icn_train": 1, "icn": 2, "match": 2}
WITHOUT_PACKAGES = "variants={saliency: {u2netp: {source: rbd}}}"  # a dry run needs no weights of U2-Netp
EVALUATED = {"report": 1, "all": 1}  # after any `evaluate`


def test_second_run_has_nothing_to_do(tiny):
    assert tiny.planned() == {}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (["threads=2"], {}),
        (["refine={score_threshold: 0.2}"], {"refine": 3, "evaluate": 3, **EVALUATED}),
        (["segment={test_flip: true}"], {"segment": 1, "evaluate": 1, **EVALUATED}),
        (["segment={iterations: 5}"], {"segment_train": 1, "segment": 1, "evaluate": 1, **EVALUATED}),
        (
            ["transfer={min_area: 20}"],
            {
                "transfer": 2, **BESTIE, "fuse": 2, "pseudo_labels": 3, "refine_train": 1, "refine": 1, "evaluate": 3,
                **EVALUATED,
            },
        ),
        (["bestie={rate: 0.1}"], {**BESTIE, "fuse": 2, "pseudo_labels": 2, "evaluate": 2, **EVALUATED}),
        (
            ["bestie={test_threshold: 0.2}"],
            {"bestie": 2, "bestie_predict": 1, "fuse": 2, "pseudo_labels": 2, "evaluate": 2, **EVALUATED},
        ),
        (["icn={rate: 0.1}"], {"icn_train": 1, "icn": 2, "match": 2, "pseudo_labels": 1, "evaluate": 1, **EVALUATED}),
        (["icn={steps: 2}"], {"icn": 2, "match": 2, "pseudo_labels": 1, "evaluate": 1, **EVALUATED}),
        (["icn={top: 2}"], {**ICN, "pseudo_labels": 1, "evaluate": 1, **EVALUATED}),
        (["match={beta: 0}"], {**ICN, "pseudo_labels": 1, "evaluate": 1, **EVALUATED}),
        (["match={nms: 0.4}"], {"match": 2, "pseudo_labels": 1, "evaluate": 1, **EVALUATED}),
        (["cim={rate: 0.1}"], {**CIM, "fuse": 2, "pseudo_labels": 2, "evaluate": 2, **EVALUATED}),
        (
            ["cim={label_floor: 0.2}"],
            {"cim": 2, "cim_predict": 1, "fuse": 2, "pseudo_labels": 2, "evaluate": 2, **EVALUATED},
        ),
        (  # classifiers stay; Fan's extractor, which learns from photos and tags, too
            ["cam={floor: 0.3}"],
            {
                "cam": 6, "semantic": 2, "transfer": 2, "mil_train": 1, "mil": 6, "graph": 3, "graph_cut": 3, **BESTIE,
                **CIM, "prm": 2, **ICN, "fuse": 2, "pseudo_labels": 8, "refine_train": 2, "refine": 2, "evaluate": 8,
                **EVALUATED,
            },
        ),
        (
            ["graph_cut={delta: 4}"],
            {"graph_cut": 3, "pseudo_labels": 3, "refine_train": 1, "refine": 1, "evaluate": 3, **EVALUATED},
        ),
        (
            ["variants={graph_cut: {partition: {beta: 10}}}"],
            {"graph_cut": 1, "pseudo_labels": 1, "evaluate": 1, **EVALUATED},
        ),
        (  # Fan's extractor learns from no proposal
            ["mil={eta: 0.5}"],
            {"mil_train": 1, "mil": 2, "graph": 1, "graph_cut": 1, "pseudo_labels": 1, "evaluate": 1, **EVALUATED},
        ),
        (  # both that learn; `scores: cam` reads none of the keys of training
            ["mil={flip: false}"],
            {"mil_train": 2, "mil": 4, "graph": 2, "graph_cut": 2, "pseudo_labels": 2, "evaluate": 2, **EVALUATED},
        ),
        (  # the variant attention has a center_loss of its own, which wins
            ["mil={center_loss: 0.2}"],
            {"mil_train": 1, "mil": 2, "graph": 1, "graph_cut": 1, "pseudo_labels": 1, "evaluate": 1, **EVALUATED},
        ),
        (  # the nodes of LIID and Fan, of which no network learns
            ["saliency={threshold: 0.6}"],
            {"saliency": 2, "mil": 4, "graph": 2, "graph_cut": 2, "pseudo_labels": 2, "evaluate": 2, **EVALUATED},
        ),
        (  # read by inference alone
            ["mil={relative: true}"],
            {
                "mil": 6, "graph": 3, "graph_cut": 3, "pseudo_labels": 3, "refine_train": 1, "refine": 1, "evaluate": 3,
                **EVALUATED,
            },
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_changed_key_reruns_exactly_what_depends_on_it(tiny, config, expected):
    assert tiny.planned(config=config) == expected


def test_corrections_rerun_what_follows_from_labels_and_nothing_before(tiny_copy):
    """Eight methods take them in, references do not; then a change of the file, not its date, counts."""
    file = tiny_copy.folder / "corrections.json"
    file.write_text('{"schema": "corrections/1", "photos": []}')
    config = ["pseudo_labels={corrections: corrections.json}"]
    methods = {"pseudo_labels": 8, "refine_train": 2, "refine": 2, "evaluate": 8, **EVALUATED}
    assert tiny_copy.planned(config=config) == methods


def test_the_seed_reruns_what_is_random(tiny):
    planned = tiny.planned(config=["seed=1"])
    assert {name: count for name, count in planned.items() if name == "images" or name.endswith("_train")} == {
        "images": 1, "classifier_train": 2, "mil_train": 2, "bestie_train": 1, "cim_train": 1, "icn_train": 1,
        "refine_train": 3, "segment_train": 1,
    }  # fmt: skip


def test_adding_variants_builds_only_what_is_missing(tiny):
    """Cuts without a graph read the tables of p that are there; one recipe more trains DeepLab, one Mask R-CNN."""
    shown = f"{','.join(yaml.safe_load(TINY.read_text())['show'])},cam_argmax,liid_no_graph,fan_no_graph"
    config = [f"show=[{shown}]", "train=[transfer,cam_cut,full,cam_argmax]", "train_segment=[full,liid]"]
    assert tiny.planned(config=config) == {
        "graph_cut": 3, "pseudo_labels": 3, "refine_train": 1, "refine": 1, "segment_train": 1, "segment": 1,
        "evaluate": 4, **EVALUATED,
    }  # fmt: skip


def test_code_that_counts_and_code_that_does_not(tiny, tmp_path):
    """A docstring of a shared module reruns nothing, a line of one stage that stage."""
    copy = tmp_path / "project"
    names = [
        "Snakefile",
        "config",
        "profiles",
        "workflow",
        "stages",
        "tag2mask",
        "envs",
        "tests",
        "README.md",
        "pyproject.toml",
    ]
    copy.mkdir()
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy2(source, copy / name)
    workflow = Workflow(tiny.folder, root=copy)
    assert workflow.planned() == {}
    store = copy / "tag2mask/data/instances.py"
    store.write_text(store.read_text().replace('"""', '"""Edited. ', 1) + "\n# a comment\n")
    with (copy / "README.md").open("a") as readme:
        readme.write("\n<!-- a comment -->\n")
    assert workflow.planned() == {}
    stage = copy / "stages/transfer/__init__.py"
    stage.write_text(stage.read_text() + "\nADDED = 1\n")
    assert set(workflow.planned()) == {"transfer", *BESTIE, "fuse"} | AFTER_LABELS


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
    names = ",".join(recipes)
    config = [f"{key}=[{names}]" for key in ("show", "train", "train_segment")] + ["dataset={points: points.csv}"]
    config.append(WITHOUT_PACKAGES)
    (tmp_path / "points.csv").write_text("image_id,x,y,class\n")
    jobs = jobs_with_inputs(workflow, config=config)
    assert len(jobs) > 100
    learning = {"classifier_train", "mil_train", "bestie_train", "cim_train", "segment_train"}
    assert learning | {"mil", "graph_cut", "bestie", "bestie_predict", "cim", "cim_predict", "segment"} <= {
        job[0] for job in jobs
    }
    readers, pointed = set(), set()
    for name, output, given in jobs:
        if "points.zarr.zip" in given:
            pointed.add((name, re.search(r"(?:transfer|bestie|cim)/(\w+)/", output).group(1)))
        if "truth" in given.replace("semantic/truth", ""):
            variant = re.search(r"(?:reference|semantic)/(\w+)/", output)
            readers.add((name, variant and variant.group(1)))
    references = {("reference", "full"), ("reference", "oracle_boxes")}
    assert readers == references | {("evaluate", None), ("report", None), ("semantic", "truth")}
    assert pointed == {
        ("transfer", "points"),
        ("bestie_train", "points"),
        ("bestie", "points"),
        ("cim_train", "points"),
    }


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (["cam={flor: 0.3}"], "cam.flor is not a known key; allowed here:"),
        (["train_segment=[nothing]"], "train_segment: nothing is not a recipe; declared are:"),
        (["show=[bestie_points]"], "show: bestie_points learns from points: name their file in dataset.points"),
        (["graph_cut={solver: exact}"], "graph_cut.solver: "),
        (["dataset={kind: voc, root: /nowhere}"], "/nowhere"),
        (["dataset={points: /nowhere.csv}"], "dataset.points: /nowhere.csv is no CSV"),
    ],
)
def test_a_wrong_configuration_is_answered_before_any_work(tmp_path, config, sentence):
    output = Workflow(tmp_path).run(config=config, ok=False)
    assert sentence in output
    assert "Traceback" not in output


def files_of_a_dataset(name):
    """{path below the working folder: text} of two photos where config/<name>.yaml looks for them; no photo is read."""
    voc = "data/VOCdevkit/VOC2012"
    xml = "<annotation><object><name>cat</name></object></annotation>"
    document = {"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1}]}  # fmt: skip
    held_out = json.dumps(document).replace("a.jpg", "b.jpg")
    return {
        "voc2012": {
            **{f"{voc}/ImageSets/Segmentation/{one}.txt": "a\n" for one in ("train_aug", "train")},
            f"{voc}/ImageSets/Segmentation/val.txt": "b\n",
            **{f"{voc}/JPEGImages/{one}.jpg": "" for one in "ab"},
            **{f"{voc}/Annotations/{one}.xml": xml for one in "ab"},
        },
        "coco": {
            "data/coco/annotations/instances_train2017.json": json.dumps(document),
            "data/coco/annotations/instances_val2017.json": held_out,
            "data/coco/train2017/a.jpg": "", "data/coco/val2017/b.jpg": "",
        },
        "folder": {"my-photos/tags.csv": "file,tags\na.jpg,cat\n", "my-photos/a.jpg": ""},
    }[name]  # fmt: skip


@pytest.mark.parametrize("name", ["voc2012", "coco", "folder"])
def test_dry_run_of_every_configuration(tmp_path, name):
    for path, text in files_of_a_dataset(name).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    files = [ROOT / "config" / f"{name}.yaml"]
    planned = Workflow(tmp_path, config=files).planned(config=[WITHOUT_PACKAGES])
    assert planned["report"] == 1 and ("evaluate" in planned) == (name != "folder")
    overlays = [*files, ROOT / "config" / "cpu.yaml"]
    assert Workflow(tmp_path, config=overlays).planned(config=[WITHOUT_PACKAGES]).keys() == planned.keys()


def test_held_out_proposals_are_made_for_who_reads_them(tmp_path):
    planned = Workflow(tmp_path).planned("results/tiny/proposals/default/held_out.zarr.zip")
    assert planned == {"images": 1, "proposals_predict": 1}


@pytest.mark.parametrize("folder", ["saliency/default", "saliency/u2netp", "edges/hed"])
def test_maps_of_photos_are_made_for_who_reads_them(tmp_path, folder):
    stage, results = folder.split("/")[0], f"results/tiny/{folder}"
    planned = Workflow(tmp_path).planned(f"{results}/0000.zarr.zip", f"{results}/held_out.zarr.zip")
    assert planned == {"images": 1, stage: 1, f"{stage}_predict": 1}


def test_a_killed_job_is_named_where_snakemake_forgets_it(tmp_path):
    workflow, lost = Workflow(tmp_path), "results/tiny/images/default/index.json"
    marker = workflow.folder / ".snakemake/incomplete" / urlsafe_b64encode(lost.encode()).decode()
    marker.parent.mkdir(parents=True)
    marker.write_text("{}")
    assert f"A job was killed before it had made {lost}." in workflow.run("-n")


def test_the_demo_is_the_default(tmp_path):
    planned = Workflow(tmp_path, config=()).planned("--resources", "gpu=8")
    assert planned["refine_train"] == 4 and planned["pseudo_labels"] == 6


def test_lint_and_format():
    assert TINY.is_file()
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
