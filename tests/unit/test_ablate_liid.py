"""The ablation tables: what agrees with the paper, from made-up metrics; and that every row has its recipe."""

import json

import numpy as np
import pytest
import yaml
from conftest import ROOT

from benchmarks import ablate_liid
from benchmarks.ablate_liid import Claim
from tag2mask.run import recipes
from tag2mask.run.plan import Plan

TABLES = yaml.safe_load(ablate_liid.TABLES.read_text())
NO_NOISE = np.full(3, np.nan)
CUT = {"nodes": 200, "largest_component": 30, "changed_by_cut": 0.125, "status": "optimal", "gap": 0.0,
       "label_share": {"background": 0.5}}  # fmt: skip


def configured():
    merged = {}
    for name in ("config/recipes", "config/config", "benchmarks/config/ablate_liid"):
        merge(merged, yaml.safe_load((ROOT / f"{name}.yaml").read_text()))
    return merged


def merge(into, given):
    """As Snakemake lays one configuration file over another: dicts merged at every depth, the rest replaced."""
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def measured(ap50, ap75=None, abo=None):
    """COCO's AP50 and AP75, as LIID measures (Sec. 6.1); VOC's mAP50 is another number, which no table shows."""
    one = {"mAP25": ap50, "mAP50": 0.999, "AP50": ap50, "AP75": ap50 if ap75 is None else ap75}
    return {**one, "ABO": ap50 if abo is None else abo, "photos": 200, "objects": 580, "instances": 600}


def as_printed(flip=1.0):
    """A run that measures the paper's own numbers, or (flip -1) the same below 1 turned round; sweeps rise."""
    run = {}
    for table in TABLES["tables"]:
        for row in table["rows"]:
            for side in ("without", "with"):
                if side in row:
                    numbers = [value / 100 if flip > 0 else 1 - value / 100 for value in row["paper"][side]]
                    recipe = run.setdefault(row[side], {"labels": None, "predictions": None, "cut": CUT})
                    recipe[table["part"]] = measured(*numbers)
    for table in TABLES["sweeps"]:
        for k, row in enumerate(table["rows"]):
            run.setdefault(row["recipe"], {"labels": measured(0.3 + k / 100), "predictions": None, "cut": CUT})
    return run


def test_every_row_of_the_tables_is_a_recipe_of_the_configuration():
    plan = Plan.load(configured())
    for table in TABLES["tables"]:
        for row in table["rows"]:
            for side in set(row) & {"without", "with"}:
                assert row[side] in plan.show
                assert table["part"] == "labels" or recipes.trains(plan, row[side])
                solver = plan.config("graph_cut", plan.source(row[side])[1])["solver"]
                assert (solver == "argmax") == (side == "without") or row["name"] == "no_graph"
    assert {row["recipe"] for table in TABLES["sweeps"] for row in table["rows"]} <= set(plan.show)


def test_each_row_changes_what_its_label_says():
    """Table 5, no. 1: the variant of `mil` behind the recipe `eta025` has eta 0.25 and else the default's keys."""
    plan = Plan.load(configured())

    def mil(recipe):
        return plan.config("mil", plan.upstream("graph_cut", plan.source(recipe)[1], "mil"))

    def changed(recipe, base="liid"):
        return {key: value for key, value in mil(recipe).items() if value != mil(base)[key]}

    assert changed("eta025") == {"eta": 0.25} == changed("eta025_no_graph")
    assert changed("alpha080") == {"cam_loss": 0.8, "mil_loss": 0.2} == changed("alpha080_no_graph")
    assert changed("no_center_loss") == {"center_loss": 0.0} and changed("mask") == {"pooling": "mask"}
    assert changed("no_mil_loss") == {"mil_loss": 0.0} and changed("mean") == {"terms": "mean"}
    assert changed("delta10") == {} == changed("liid_no_graph")
    table = TABLES["tables"][0]
    assert len(table["rows"]) == 9 and changed("center7") == {"center_rate": 0.005, "center_loss": 0.5}
    for row in table["rows"][:-1]:  # "θ 0.03, γ 0.3"
        theta, gamma = (float(part.split()[1]) for part in row["label"].split(", "))
        assert (mil(row["with"])["center_rate"], mil(row["without"])["center_loss"]) == (theta, gamma)
    assert changed("liid_boxes") == {"select": "ranking", "nodes": "proposals"}
    cuts = {name: plan.config("graph_cut", plan.source(name)[1]) for name in ("delta10", "beta010", "retain060", "fan")}
    assert cuts["delta10"]["delta"] == 10 and cuts["beta010"]["beta"] == 10
    assert cuts["retain060"]["retain"] == 0.6 and cuts["fan"]["retain"] == 1.0
    for recipe in plan.show:  # a graph is made of the same p that its cut reads
        stage, variant = plan.source(recipe)
        if stage == "graph_cut" and plan.config(stage, variant)["solver"] != "argmax":
            graph = plan.upstream(stage, variant, "graph")
            assert plan.upstream("graph", graph, "mil") == plan.upstream(stage, variant, "mil")


def test_claims_of_a_table():
    """Table 4: graph over none in two rows; box over mask without and with; differences 34.8 - 32.4 = 2.4."""
    table = next(one for one in TABLES["tables"] if one["title"].startswith("Table 4"))
    found = ablate_liid.claims(table)
    assert [one.text for one in found] == [
        "box: graph over none", "mask: graph over none", "box over mask, no graph", "box over mask, graph",
    ]  # fmt: skip
    assert (found[3].better, found[3].worse) == ("liid", "mask")
    assert found[3].paper == [2.4, 1.0, 1.4]  # 34.8 - 32.4, 16.7 - 15.7, 39.4 - 38.0


def test_a_comparison_of_several_tables_counts_once():
    """LIID with over without its graph is a row of Tables 1 to 5."""
    found = [one for _, own in ablate_liid.distinct(TABLES["tables"]) for one in own]
    assert [one.text for one in found if (one.better, one.worse) == ("liid", "liid_no_graph")] == [
        "θ 0.01, γ 0.1: graph over none", "LIID over no graph",
    ]  # fmt: skip


def test_the_paper_prints_no_comparison_against_itself():
    for table in TABLES["tables"]:
        for one in ablate_liid.claims(table):  # true boxes label fewer instances: their ABO is lower, as printed
            assert one.similar or min(one.paper[: 2 if one.better == "oracle_salient" else 3]) > 0, one


@pytest.mark.parametrize(
    ("values", "sign", "deviation", "said"),
    [
        ([1.0], 1, np.nan, "yes"),
        ([1.0], -1, np.nan, "no"),
        ([0.04], 1, np.nan, "tie"),  # rounds to 0.0
        ([1.0, 3.0], 1, 1.0, "yes"),  # mean 2, two standard errors are 2 * 1 / sqrt(2) = 1.41
        ([1.0, 1.6], 1, 1.0, "tie"),  # mean 1.3
        ([-1.0, -3.0], 1, 1.0, "no"),
        ([1.5], 1, 1.0, "tie"),  # one seed of a table whose noise others tell: two standard errors are 2
    ],
)
def test_verdicts_by_hand(values, sign, deviation, said):
    assert ablate_liid.verdict(np.array(values), sign, deviation) == said


def test_similar_rows_agree_within_half_a_point():
    assert ablate_liid.verdict(np.array([0.4]), 1, np.nan, similar=True) == "yes"
    assert ablate_liid.verdict(np.array([-0.6]), 1, np.nan, similar=True) == "no"


def test_pooled_noise_by_hand():
    """Deviations from the own means: -1, 1 and 0, 0: 2 over two degrees of freedom; a single seed adds none."""
    found = [np.array([[1.0] * 3, [3.0] * 3]), np.array([[2.0] * 3, [2.0] * 3]), np.array([[9.0] * 3])]
    assert ablate_liid.noise(found) == pytest.approx(np.ones(3))
    assert np.isnan(ablate_liid.noise(found[2:])).all()


def test_differences_are_paired_within_runs():
    """The second run lacks `b`: one difference, 50 - 40, is left."""
    runs = [{"a": {"labels": measured(0.5)}, "b": {"labels": measured(0.4)}}, {"a": {"labels": measured(0.9)}}]
    found = ablate_liid.differences(runs, Claim("a over b", "a", "b", None), "labels")
    assert found == pytest.approx(np.full((1, 3), 10.0))
    assert len(ablate_liid.differences(runs, Claim("a over c", "a", "c", None), "labels")) == 0


def test_the_papers_own_numbers_agree_everywhere_and_turned_round_nowhere():
    rows = [one for _, own in ablate_liid.distinct(TABLES["tables"]) for one in own]
    alike = sum(one.similar for one in rows)
    total = 3 * len(rows)
    text = ablate_liid.section([as_printed()], TABLES, command="x")
    assert f"**{total} of {total} agree, 0 ties, 0 opposite**" in text
    turned = ablate_liid.section([as_printed(flip=-1.0)], TABLES, command="x")
    assert f"**{3 * alike} of {total} agree, 0 ties, {total - 3 * alike} opposite**" in turned
    assert "| box over mask, graph | +2.4 (+2.4) yes | +1.0 (+1.0) yes | +1.4 (+1.4) yes | 1 |" in text
    assert "| δ 1 | 30.3 | 14.9 | 37.0 | 30.3 | 14.9 | 37.0 | 12.5 % | 50.0 % | 15.0 % |" in text


def test_every_table_says_whether_the_graph_helps():
    """Table 3: mean 28.7 and 32.6, max 32.4 and 33.6; its third row is the default, which counts in Table 1."""
    text = ablate_liid.section([as_printed()], TABLES, command="x")
    table = text.split("### Table 3")[1].split("\n\n")[1]
    assert table.endswith("The graph moves AP50 by +1.2 to +3.9: better in 2, worse in 0 of 2 rows, else a tie.")
    assert ablate_liid.graph_helps([(Claim("a over b", "a", "b", None), np.ones((1, 3)), ["yes"] * 3)]) == ""


def test_rows_that_are_not_built_are_left_out():
    run = as_printed()
    for name in ("mask", "mask_no_graph", "beta100"):
        del run[name]
    text = ablate_liid.section([run], TABLES, command="x")
    assert "box over mask" not in text and "| mask | - / - |" in text and "β 100" not in text
    assert "| δ 5 over δ 1 | +4.5 (+4.5) yes" in text


def test_an_unproven_cut_says_so():
    run = as_printed()
    run["delta01"]["cut"] = {**CUT, "status": "time_limit", "gap": 0.02}
    assert "12.5 % (time_limit, gap 0.02)" in ablate_liid.section([run], TABLES, command="x")


def test_the_command_writes_its_section(tmp_path, capsys):
    for seed in (0, 1):
        root = tmp_path / f"run-{seed}"
        for recipe, found in as_printed().items():
            write(
                root / "evaluate" / recipe / "metrics.json", {name: found[name] for name in ("labels", "predictions")}
            )
            write(root / "pseudo_labels" / recipe / "labels.json", {"inputs": {f"graph_cut/{recipe}/labels.json": {}}})
            write(root / "graph_cut" / recipe / "labels.json", {"counts": found["cut"]})
        write(root / "graph_cut" / "liid" / "labels.run.json", {"began": 0.0, "ended": 90.0})
    page = tmp_path / "page.md"
    page.write_text("# Benchmarks\n\nbefore\n")
    ablate_liid.main([str(tmp_path / "run-0"), str(tmp_path / "run-1"), "--out", str(page)])
    text = page.read_text()
    assert text.startswith("# Benchmarks\n\nbefore\n") and "<!-- ablate-liid -->" in text
    assert "Per cent, mean of 2 seeds" in text and "All jobs: 3 minutes" in text and "12.5 %" in text
    with pytest.raises(SystemExit, match="holds no metrics"):
        ablate_liid.main([str(tmp_path), "--out", str(page)])


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
