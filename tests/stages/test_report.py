"""The page and the table of `report`, from run folders made by hand."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import report_run
from PIL import Image
from report_run import snapshot, write_cut

from stages.report import run, runs
from stages.report.config import Config
from tag2mask.cli import main
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.run.job import Job
from tag2mask.store import manifest

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags close in order; collects attributes and the text of the page."""

    def __init__(self, html):
        super().__init__()
        self.open, self.found, self.words = [], [], []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def attributes(self, tag, name):
        return [attrs[name] for one, attrs in self.found if one == tag and name in attrs]


def build(at, *, photos=2, recipes=report_run.RECIPES, pictures=report_run.PICTURES, panels=report_run.PANELS):
    made = run(at, Config(photos=photos, recipes=recipes, pictures=pictures, panels=panels), Job())
    return made["report"], made["table"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    index, truth = report_run.rectangles(folder)
    return report_run.make(folder, index, truth, warning="a label takes <nearly> everything")


@pytest.fixture(scope="module")
def page(trial):
    return build(trial)


def test_the_page_is_whole_and_asks_for_nothing(page):
    html, _ = page
    parsed = Page(html)
    assert "trial" in parsed.text
    for tag in ("img", "script", "link", "iframe", "a"):
        for name in ("src", "href"):
            assert all(value.startswith("data:image/") for value in parsed.attributes(tag, name))
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"data:image/webp;base64,[^\"]*", "", html))


def test_pictures_of_every_step(page):
    titles = re.findall(r"<figcaption><b>(.*?)</b>", page[0])
    training = ["photo", "proposals", "CAM", "CAM with peaks", "semantic map", "truth", "transfer", "cam_cut", "full",
                "whole_photo"]  # fmt: skip
    validation = ["photo", "transfer", "cam_cut", "full", "truth"]
    assert titles == 2 * training + 2 * validation  # two of the four training photos, both validation photos
    assert len(Page(page[0]).attributes("img", "src")) == len(titles)
    assert "best 2, ≤ 0.20" in page[0]  # the predictions of `transfer` all score 0.2


def test_warnings_stand_first_and_are_escaped(page):
    html, _ = page
    assert "a label takes &lt;nearly&gt; everything" in html and "<nearly>" not in html
    assert html.index("1 warning") < html.index("<table")


def test_graph_cut_times_and_configuration_are_shown(page):
    text = Page(page[0]).text
    assert "Labels given" in text and "16–31" in text
    assert "cam_cut: background 50.0 %, cat 30.0 %, dog 20.0 %" in " ".join(
        Page(page[0]).attributes("div", "aria-label")
    )
    assert "321 MB" in text and "torch 2.11.0" in text
    assert "From the first job to the last, without pauses: 4.8 s" in text  # 100..103.25 and 110..111.5
    assert "refine · cam_cut · train seed 0" in text


def test_what_else_labels_rest_on_stands_in_both_tables(page):
    assert "cam_cut rests also on: salient instances (own), features of photos/." in Page(page[0]).text
    assert "| cam_cut     | tags *      |" in page[1]
    assert "- * cam_cut rests also on: salient instances (own), features of photos/." in page[1]


def test_table_for_the_terminal(page):
    lines = page[1].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({len(line) for line in rows}) == 1 and len(rows[0]) <= 110 and len(rows) == 6
    cells = [cell.strip() for cell in rows[-1].strip("|").split("|")]
    assert cells[:2] == ["whole_photo", "tags"] and cells[-2:] == ["-", "-"]  # it trains none
    assert "Labels: 4 photos with masks. Mask R-CNN: 2 validation photos." in page[1]


def test_the_same_inputs_give_the_same_page(trial, page):
    assert build(trial) == page


def test_without_ground_truth(trial):
    html, text = build(report_run.without_truth(trial))
    parsed = Page(html)
    assert "no ground truth" in parsed.text and "mAP" not in parsed.text and "Classes" not in parsed.text
    assert "<b>truth</b>" not in html and "<b>semantic map</b>" in html
    cells = [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]
    assert cells == ["transfer", "tags", "-", "-", "-", "8", "-", "-"]  # four photos with two masks each


def test_class_names_are_escaped(tmp_path):
    index, truth = report_run.rectangles(tmp_path, categories={1: "<b>cat</b>", 2: '"dog" & co'}, n_train=2, n_val=1)
    html, _ = build(report_run.make(tmp_path, index, truth), photos=1)
    assert "<b>cat</b>" not in html and "&lt;b&gt;cat" in html and "&#34;dog&#34; &amp; co" in html
    Page(html)


def test_a_bare_run_has_a_page(tmp_path):
    """Only an index and labels, as with one recipe that trains nothing; no photo is drawn."""
    index, truth = report_run.rectangles(tmp_path, n_train=2, n_val=0)
    at = report_run.make(tmp_path, index, truth, recipes=report_run.RECIPES[-1:])
    bare = SimpleNamespace(index=at.index, labels=at.labels, predictions=None)
    html, text = build(bare, photos=0, recipes=report_run.RECIPES[-1:], pictures=[], panels=[])
    assert "<figure" not in html and "whole_photo" in text
    Page(html)


def test_photos_beyond_those_with_masks_cost_the_ratio(tmp_path):
    """Three of four training photos have masks; `full` has three, the others were given all four."""
    index, truth = report_run.rectangles(tmp_path, masked=3)
    trained = {"transfer": 4, "cam_cut": 4, "full": 3}
    at = report_run.make(tmp_path, index, truth, trained=trained)
    html, text = build(at, photos=0)
    assert "transfer: trained on more photos than full (4 to 3), so it carries no ratio" in Page(html).text
    assert text.splitlines()[2].rstrip(" |").endswith("-") and text.splitlines()[4].rstrip(" |").endswith("100 %")
    like = report_run.make(tmp_path / "like", index, truth, trained=trained, images="with_masks")
    assert "carries no ratio" not in build(like, photos=0)[0]


def test_only_what_the_run_reached_is_reported(trial):
    """A variant left over from an earlier configuration is no part of the page."""
    root = runs.run_folder(trial.index)
    found = runs.reached(root, [trial.labels[1]])
    assert set(found) == {"pseudo_labels/cam_cut/labels.json", "graph_cut/cam/labels.json"}
    stages = [job["stage"] for job in runs.jobs(root, found, [trial.metrics[0]])]
    assert stages == ["graph_cut", "pseudo_labels", "evaluate"]


def test_an_unproven_cut_is_marked(trial, tmp_path):
    path = write_cut(tmp_path, "cam", status="time_limit", gap=0.02)
    html, _ = build(SimpleNamespace(**{**vars(trial), "panel_0": [path]}), photos=0)
    assert '<td class="left warn">time limit</td><td>0.02</td>' in html


def test_segmentation_has_a_column_and_pictures(trial, tmp_path):
    """A DeepLab for one recipe: mIoU in both tables, its label maps in the validation gallery."""
    root, index = runs.run_folder(trial.index), Index.load(trial.index)
    truth = Instances.load(trial.truth)
    store = tmp_path / "results" / root.name / "segment" / "cam_cut" / "predictions.zarr.zip"
    report_run.painted(truth, [index.image_id[i] for i in index.where("val")]).save(store)
    metrics = []
    for k, path in enumerate(trial.metrics):
        metrics.append(tmp_path / f"{k}.json")
        own = {"mIoU": 0.4321, "photos": 2, "classes": []} if path.parent.name == "cam_cut" else None
        manifest.write_json(metrics[-1], {**manifest.read_json(path), "segmentation": own})
    html, text = build(SimpleNamespace(**{**vars(trial), "metrics": metrics, "segmentation": [store]}), photos=1)
    assert ">DeepLab</th>" in html and "mIoU on 2 validation photos" in html and "<b>cam_cut, DeepLab</b>" in html
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.strip("|").split("|")[-1].strip() for row in rows[2:]] == ["-", "43.2", "-", "-"]
    assert len({len(row) for row in rows}) == 1 and len(rows[0]) <= 110 and "DeepLab (val mIoU): 2." in text
    Page(html)


def test_what_a_round_added_and_a_recipe_s_own_keys_are_shown(trial, page, tmp_path):
    """Of the three that train the second added labels; the first, with one round, has a store without photos."""
    truth, own = Instances.load(trial.truth), ["refine.rounds 2"]
    nothing, names = truth.images_subset([]), truth.image_id
    added = [tmp_path / f"{k}.zarr.zip" for k in range(3)]
    for path, table in zip(added, (nothing, report_run.shaken(truth, names, by=(0, 1), score=0.9), nothing)):
        table.save(path)
    recipes = [one | ({"own_keys": own} if one["name"] == "cam_cut" else {}) for one in report_run.RECIPES]
    html, text = build(SimpleNamespace(**{**vars(trial), "added": added}), photos=1, recipes=recipes)
    assert re.findall(r"<b>(\w+, added)</b>", html) == ["cam_cut, added"] and "added</b>" not in page[0]
    note = "cam_cut has keys of its own: refine.rounds 2."
    assert f"- {note}" in text.splitlines() and note in Page(html).text and "of its own" not in page[1]


def test_own_network_and_refined_labels_are_shown(trial, page, tmp_path):
    """A recipe with a network of its own gets columns in both tables, and the curve; without one, none of them."""
    metrics = []
    for k, path in enumerate(trial.metrics):
        metrics.append(tmp_path / f"{k}.json")
        found = manifest.read_json(path)
        if path.parent.name == "transfer":
            found |= {"network": {**found["predictions"], "mAP50": 0.123}, "snapshots": [snapshot(50, 1)]}
        manifest.write_json(metrics[-1], found)
    html, text = build(SimpleNamespace(**{**vars(trial), "metrics": metrics}), photos=1)
    assert ">Own network</th>" in html and "<polyline" in html and ">12.3</td>" in html
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.strip("|").split("|")[6].strip() for row in rows[2:]] == ["12.3", "-", "-", "-"]
    assert len({len(row) for row in rows}) == 1 and len(rows[0]) <= 110
    Page(html)
    assert "Own network" not in page[0] and "<polyline" not in page[0] and "own AP50" not in page[1]


def test_picture_command(trial, tmp_path, capsys):
    out = tmp_path / "grid.png"
    assert main(["picture", str(runs.run_folder(trial.index)), str(out), "--photos", "2"]) == 0
    assert out.stat().st_size < 400_000 and Image.open(out).width <= 1200
    assert main(["picture", str(tmp_path), str(out)]) == 1
    assert "is no results folder of a run" in capsys.readouterr().err
