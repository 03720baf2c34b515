"""The parts of the page of `report` by hand: table, cuts side by side, curves, charts, drawing."""

import numpy as np
import pytest
from report_run import cut_rows, snapshot, write_cut

from benchmarks import recipes
from stages.graph_cut import panel as cuts
from stages.report import charts, curves, grid, pictures, runs, table
from tag2mask.view import draw

RECIPE = {"stage": "transfer", "variant": "default", "supervision": "tags", "kind": "method", "trains": True}
FULL = {"stage": "reference", "variant": "full", "supervision": "masks", "kind": "full", "trains": True}


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


def test_the_ratio_is_to_full_as_the_papers_train_it():
    own = {**FULL, "name": "full_rounds", "own_keys": ["refine.rounds 2"]}
    recipes = [own, {**RECIPE, "name": "a"}, {**FULL, "name": "full"}]
    found = table.rows(
        recipes, metrics=[measured(0.8), measured(0.3), measured(0.6)], instances=[1, 1, 1], trained={}, beyond={}
    )  # fmt: skip
    assert [row["ratio"] for row in found] == [pytest.approx(4 / 3), pytest.approx(0.5), 1]


@pytest.mark.parametrize(("best", "ratio"), [(0.1, 0.5), (0.099, None), (0.0, None)])
def test_no_ratio_to_a_full_that_learnt_next_to_nothing(best, ratio):
    """A ratio is told from AP50 10 of `full` on; below stands a dash, and why."""
    recipes = [{**RECIPE, "name": "a"}, {**FULL, "name": "full"}]
    found = table.rows(
        recipes, metrics=[measured(0.05), measured(best)], instances=[1, 1], trained={}, beyond={}
    )  # fmt: skip
    text = table.markdown(found, photos={})
    assert found[0]["ratio"] == (ratio and pytest.approx(ratio))
    if ratio:
        assert found[0]["note"] is None and found[1]["ratio"] == 1 and "50 %" in text
    else:
        reason = f"compared with full at AP50 {100 * best:.1f}, below 10, so it carries no ratio"
        assert found[0]["note"] == reason and found[1]["ratio"] is None and found[1]["note"] is None
        assert text.splitlines()[2].endswith("- |") and f"- a was {reason}." in text


def test_the_benchmarks_page_tells_no_such_ratio():
    runs = [{name: {"predictions": dict.fromkeys(recipes.PREDICTIONS, value)} for name, value in pair.items()}
            for pair in ({"a": 0.02, "full": 0.029}, {"a": 0.1, "full": 0.2})]  # fmt: skip
    one, both = (recipes.predictions_table(own, ["a", "full"]) for own in (runs[:1], runs))
    assert one.splitlines()[2].endswith("| 2.0 | - |") and one.splitlines()[3].endswith("| 2.9 | - |")
    assert one.endswith("`full` reaches AP50 2.9, and a ratio is not told below 10.")
    assert both.splitlines()[2].endswith("| 50.0 |")  # the seed that learnt something
    assert "not told" not in recipes.predictions_table(runs[1:], ["a", "full"])


@pytest.mark.parametrize("scores", [(None, 0.5), (0.3, None)])
def test_no_ratio_without_both_values(scores):
    recipes = [{**RECIPE, "name": "a"}, {**FULL, "name": "full"}]
    found = table.rows(recipes, metrics=[measured(s) for s in scores], instances=[1, 1], trained={}, beyond={})
    assert found[0]["ratio"] is None and found[0]["note"] is None


def test_a_long_name_keeps_the_table_narrow():
    recipes = [{**RECIPE, "name": "a_recipe_with_a_very_long_name_indeed", "supervision": "semantic masks"}]
    found = table.rows(recipes, metrics=None, instances=[1234567], trained={}, beyond={})
    lines = table.markdown(found, photos={}).splitlines()
    assert {len(line) for line in lines} == {110} and "a_recipe_with" in lines[2] and "…" in lines[2]


def test_busy_time_counts_overlaps_once():
    jobs = [{"run": {"began": a, "ended": b}} for a, b in ((0, 4), (1, 3), (3, 6), (10, 11))]
    assert runs.busy(jobs) == 7
    assert runs.busy([{"run": {"wall_seconds": 1}}]) is None


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
    found = cuts.build(paths, rows, recipes, {"cat": "#111", "dog": "#222"})
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
    assert cuts.build([], rows, recipes, {}) is None


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


def test_a_title_fits_its_column():
    for title, width in (("liid", 100), ("fused_salient_quick", 124), ("transfer_salient_joined", 60)):
        text, font = grid.fitted(title, width)
        assert font.getlength(text) <= width
        assert text == title or (font.size == 10 and text.endswith("…"))
    assert grid.fitted("liid", 100)[1].size == 15


def test_a_row_of_the_benchmarks_says_what_else_it_rests_on(tmp_path):
    """As the table of the run's report has it; a run without one says nothing."""
    found = [
        {"name": name, "supervision": "tags", "labels": None, "predictions": None, "network": None, "ratio": None,
         "segmentation": None, "instances": 3, "note": "", "own_keys": [], "extras": extras}
        for name, extras in (("a", ["saliency of S", "edges of E"]), ("b", []), ("c", ["saliency of S", "edges of E"]))
    ]  # fmt: skip
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "table.md").write_text(table.markdown(found, photos={}))
    more = recipes.extras(tmp_path)
    assert more == {"a": "saliency of S, edges of E", "c": "saliency of S, edges of E"}
    run = {name: {"labels": {**dict.fromkeys(recipes.LABELS, 0.5), "instances": 3}} for name in "abc"}
    lines = recipes.labels_table([run], list("abc"), more).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["`a` *", "`b`", "`c` *"]
    assert lines[-1] == "\\* rests also on saliency of S, edges of E: `a`, `c`."
    assert recipes.extras(tmp_path / "nowhere") == {}
