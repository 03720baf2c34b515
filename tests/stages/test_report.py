"""The page and the table of `report`, from run folders made by hand."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import report_run
from PIL import Image

from stages.common import draw, manifest
from stages.common.index import Index
from stages.common.instances import Instances
from stages.common.job import Job
from stages.report import charts, curves, cuts, pictures, run, runs, table
from stages.report.__main__ import main
from stages.report.config import Config

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


def build(at, *, photos=2, recipes=report_run.RECIPES):
    made = run(at, Config(photos=photos, recipes=recipes), Job())
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
    assert "Labels: 4 training photos with masks. Mask R-CNN: 2 validation photos." in page[1]


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
    bare = SimpleNamespace(index=at.index, labels=at.labels, predictions=None, graph_cut=None)
    html, text = build(bare, photos=0, recipes=report_run.RECIPES[-1:])
    assert "<figure" not in html and "whole_photo" in text
    Page(html)


RECIPE = {"stage": "transfer", "variant": "default", "supervision": "tags", "trains": True}
FULL = {"stage": "reference", "variant": "full", "supervision": "masks", "trains": True}


def measured(ap50):
    return {"labels": None, "predictions": {"mAP50": ap50, "photos": 5}, "proposals": None}


def test_ratio_by_hand():
    recipes = [{**RECIPE, "name": "a"}, {**RECIPE, "name": "b"}, {**FULL, "name": "full"}]
    found = table.rows(
        recipes, metrics=[measured(0.30), measured(0.45), measured(0.60)], instances=[1, 2, 3],
        trained={"a": 10, "b": 40, "full": 12}, beyond={"a": False, "b": True},
    )  # fmt: skip
    assert [row["ratio"] for row in found] == [pytest.approx(0.5), None, 1.0]
    assert found[1]["note"] == "trained on more photos than full (40 to 12), so it carries no ratio"
    text = table.markdown(found, photos={"labels": 3, "predictions": 5})
    assert [line.split("|")[-2].strip() for line in text.splitlines()[2:5]] == ["50 %", "-", "100 %"]
    assert "- b was trained on more photos than full (40 to 12)" in text


@pytest.mark.parametrize("scores", [(None, 0.5), (0.3, 0.0), (0.3, None)])
def test_no_ratio_without_both_values(scores):
    recipes = [{**RECIPE, "name": "a"}, {**FULL, "name": "full"}]
    found = table.rows(recipes, metrics=[measured(s) for s in scores], instances=[1, 1], trained={}, beyond={})
    assert found[0]["ratio"] is None and found[0]["note"] is None


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


def test_a_long_name_keeps_the_table_narrow():
    recipes = [{**RECIPE, "name": "a_recipe_with_a_very_long_name_indeed", "supervision": "semantic masks"}]
    found = table.rows(recipes, metrics=None, instances=[1234567], trained={}, beyond={})
    lines = table.markdown(found, photos={}).splitlines()
    assert {len(line) for line in lines} == {110} and "a_recipe_with" in lines[2] and "…" in lines[2]


def test_only_what_the_run_reached_is_reported(trial):
    """A variant left over from an earlier configuration is no part of the page."""
    root = runs.run_folder(trial.index)
    found = runs.reached(root, [trial.labels[1]])
    assert set(found) == {"pseudo_labels/cam_cut/labels.json", "graph_cut/cam/labels.json"}
    stages = [job["stage"] for job in runs.jobs(root, found, [trial.metrics[0]])]
    assert stages == ["graph_cut", "pseudo_labels", "evaluate"]


def test_busy_time_counts_overlaps_once():
    jobs = [{"run": {"began": a, "ended": b}} for a, b in ((0, 4), (1, 3), (3, 6), (10, 11))]
    assert runs.busy(jobs) == 7
    assert runs.busy([{"run": {"wall_seconds": 1}}]) is None


def cut_rows(*names):
    rows = [{"name": name, "tone": f"method{k}"} for k, name in enumerate(names)]
    return rows, [{"stage": "graph_cut", "variant": name} for name in names]


def write_cut(folder, variant, *, config=None, **counts):
    path = folder / "graph_cut" / variant / "labels.json"
    section = {"config": {**report_run.CUT_CONFIG, **(config or {})}}
    manifest.write_json(path, {"counts": {**report_run.CUT_COUNTS, **counts}, "section": section})
    return path


def test_graph_cuts_side_by_side(tmp_path):
    """Two recipes with the same graph share a histogram, the one without a graph has none, a transfer no row."""
    paths = [
        write_cut(tmp_path, "liid"),
        write_cut(tmp_path, "delta", label_share={"background": 0.95, "cat": 0.05}, status="time_limit", gap=0.02,
                  bound=None),
        write_cut(tmp_path, "argmax", config={"solver": "argmax"}, changed_by_cut=0.0, components=40),
        write_cut(tmp_path, "fan", config={"solver": "partition"}, nodes=30, largest_component=3),
    ]  # fmt: skip
    rows, recipes = cut_rows("liid", "delta", "argmax", "fan", "transfer")
    recipes[-1]["stage"] = "transfer"
    found = cuts.compared(paths, rows, recipes, {"cat": "#111", "dog": "#222"})
    assert [row["name"] for row in found["rows"]] == ["liid", "delta", "argmax", "fan"]
    assert [row["changed"] for row in found["rows"]] == ["25.0", "25.0", "-", "25.0"]
    assert [row["classed"] for row in found["rows"]] == ["50.0", "5.0", "50.0", "50.0"]
    assert [row["proven"] for row in found["rows"]] == [True, False, True, True]
    assert found["rows"][1]["gap"] == "0.02" and found["rows"][1]["bound"] is None
    assert [one["most"] for one in found["labels"]] == [None, "background takes 95.0 % of the proposals", None, None]
    assert [one["names"] for one in found["graphs"]] == [["liid", "delta"], ["fan"]]
    assert [one["giant"] for one in found["graphs"]] == [True, False]
    assert found["key"] == [("background", None), ("cat", "#111"), ("dog", "#222")]
    assert [one["name"] for one in found["labels"][1]["shares"]] == ["background", "cat"]
    assert cuts.compared([], rows, recipes, {}) is None


def test_labels_have_one_order_in_all_bars():
    """dog 0.1 + 0.4 comes before cat 0.3 + 0.1, the background first although it is rarer than both."""
    assert cuts.in_order([{"cat": 0.3, "dog": 0.1}, {"background": 0.2, "dog": 0.4, "cat": 0.1}]) == [
        "background", "dog", "cat",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("largest", "end"),
    [(50, "one holds most of them, not the many small ones of LIID, Sec. 5.3"),
     (49, "smaller ones beside a large one"), (11, "smaller ones beside a large one"),
     (10, "many small ones, as LIID, Sec. 5.3, has it")],
)  # fmt: skip
def test_the_sentence_on_components(largest, end):
    text = cuts.components({"nodes": 100, "components": 51, "largest_component": largest})["sentence"]
    assert text == f"51 components, the largest with {largest} proposals ({largest}.0\u00a0%): {end}"


def test_bars_of_components_by_hand():
    """Heights are square roots of 100, 25 and 1 over 100."""
    bars = cuts.histogram([[1, 1, 100], [2, 3, 25], [131072, 262143, 1]])
    assert [bar["high"] for bar in bars] == [100.0, 50.0, 10.0]
    assert [bar["label"] for bar in bars] == ["1", "2–3", "128k–256k"]


def test_an_unproven_cut_is_marked(trial, tmp_path):
    path = write_cut(tmp_path, "cam", status="time_limit", gap=0.02)
    html, _ = build(SimpleNamespace(**{**vars(trial), "graph_cut": [path]}), photos=0)
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
        manifest.write_json(metrics[-1], {**runs.read_json(path), "segmentation": own})
    html, text = build(SimpleNamespace(**{**vars(trial), "metrics": metrics, "segmentation": [store]}), photos=1)
    assert ">DeepLab</th>" in html and "mIoU on 2 validation photos" in html and "<b>cam_cut, DeepLab</b>" in html
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.strip("|").split("|")[-1].strip() for row in rows[2:]] == ["-", "43.2", "-", "-"]
    assert len({len(row) for row in rows}) == 1 and len(rows[0]) <= 110 and "DeepLab (val mIoU): 2." in text
    Page(html)


def snapshot(iteration, hits, labels=10):
    return {
        "iteration": iteration,
        "photos": 4,
        "objects": 8,
        "instances": labels,
        "true_positives": hits,
        "mAP50": 0.1,
    }


def test_curve_of_true_positives_by_hand():
    """The axis ends at 4 hits; 632 - 44 + ... : x from 44 to 632, y from 214 (none) to 8 (all four)."""
    rows = [{"name": "bestie", "tone": "method0", "snapshots": [snapshot(50, 1), snapshot(100, 4)]},
            {"name": "full", "tone": "full", "snapshots": None}]  # fmt: skip
    again = curves.true_positives([rows[0], {**rows[0], "name": "more"}])
    assert [line["dashed"] for line in again["lines"]] == [False, True]  # a seventh method has the first one's colour
    found = curves.true_positives(rows)
    assert [line["name"] for line in found["lines"]] == ["bestie"]
    assert found["lines"][0]["points"] == "338.0,162.5 632.0,8.0" and found["lines"][0]["text"] == "4 of 10"
    assert [text for _, text in found["y"]] == ["0", "1", "2", "3", "4"]
    assert [x for x, _ in found["x"]] == [44, 191, 338, 485, 632]
    assert curves.true_positives(rows[1:]) is None
    assert [curves.rounded_up(value) for value in (0, 4, 5, 9, 21, 33, 41, 223)] == [4, 4, 8, 12, 24, 40, 80, 240]


def test_own_network_and_refined_labels_are_shown(trial, page, tmp_path):
    """A recipe with a network of its own gets columns in both tables, and the curve; without one, none of them."""
    metrics = []
    for k, path in enumerate(trial.metrics):
        metrics.append(tmp_path / f"{k}.json")
        found = runs.read_json(path)
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


def test_axes_and_durations():
    assert [charts.axis([value]) for value in (0.03, 0.11, 0.25, 0.6, 1.0)] == [0.1, 0.2, 0.25, 0.75, 1.0]
    assert [charts.duration(s) for s in (3.21, 250, 7500)] == ["3.2 s", "4 min 10 s", "2 h 05 min"]


def test_chosen_photos_are_spread():
    assert pictures.chosen(np.arange(100, 110), 4) == [100, 103, 106, 109]
    assert pictures.chosen(np.array([5, 6]), 12) == [5, 6] and pictures.chosen(np.array([], int), 3) == []


def test_instances_of_a_class_differ_and_classes_differ():
    palette = draw.Palette(range(1, 21))
    shades = draw.shades([1, 1, 2, 1], palette).astype(int)
    assert np.array_equal(shades[2], palette(2)) and np.array_equal(shades[1], palette(1, 1))
    assert min(np.abs(shades[a] - shades[b]).sum() for a, b in ((0, 1), (0, 3), (1, 3), (0, 2))) > 40
    assert len({palette.css(c) for c in range(1, 21)}) == 20


def test_oklch_of_known_colours():
    assert draw.oklch(1, 0, 0).tolist() == [255, 255, 255] and draw.oklch(0, 0, 0).tolist() == [0, 0, 0]
    assert np.abs(draw.oklch(0.62796, 0.25768, 29.234).astype(int) - [255, 0, 0]).max() <= 1  # sRGB red


def test_masks_and_peaks_land_where_they_are():
    photo = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((1, 20, 30), bool)
    mask[0, 5:10, 10:20] = True
    drawn = draw.instances(photo, draw.scaled_masks(mask, (40, 60)), np.array([[255, 0, 0]]))
    assert drawn[15, 30, 0] > drawn[15, 30, 1] + 100 and np.ptp(drawn[30, 30].astype(int)) == 0
    ringed = draw.peaks(photo, np.array([[10.0, 50.0]]), [1], draw.Palette([1]))
    assert np.array_equal(ringed[10, 50], draw.Palette([1])(1)) and np.array_equal(ringed[30, 10], photo[30, 10])
    striped = draw.label_map(photo, np.array([[0, 255], [1, 1]], np.uint8), draw.Palette([1]))
    assert striped[5, 5].max() < striped[5, 45].min() and np.ptp(striped[30, 10].astype(int)) > 30


def test_picture_command(trial, tmp_path, capsys):
    out = tmp_path / "grid.png"
    assert main(["picture", str(runs.run_folder(trial.index)), str(out), "--photos", "2"]) == 0
    assert out.stat().st_size < 400_000 and Image.open(out).width <= 1200
    assert main(["picture", str(tmp_path), str(out)]) == 1
    assert "is no results folder of a run" in capsys.readouterr().err
