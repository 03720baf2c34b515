"""ICN's ablation tables: every row has its recipe, differs as the paper says, and numbers land where they belong."""

import pytest
import yaml
from conftest import ROOT
from snakemake.utils import update_config

from benchmarks import ablate_icn as ablate
from tag2mask.run.plan import Plan


@pytest.fixture(scope="module")
def plan():
    values = {}
    for name in ("config/recipes", "config/config", "benchmarks/config/ablate_icn"):
        update_config(values, yaml.safe_load((ROOT / f"{name}.yaml").read_text()))
    return Plan.load(values)


def test_rows_leave_out_what_the_table_says(plan):
    def chain(recipe):
        pairs = dict(plan.closure(*plan.source(recipe)))
        return {stage: plan.config(stage, variant) for stage, variant in pairs.items() if stage in ("icn", "match")}

    whole = chain("icn")
    expected = {
        "icn_no_fusion": {("icn", "fusion"): "none"}, "icn_no_map": {("icn", "use_map"): False},
        "icn_no_rebalance": {("match", "rebalance"): False},
    }  # fmt: skip
    for recipe, changed in expected.items():
        own = chain(recipe)
        assert {
            (stage, key): own[stage][key]
            for stage in whole
            for key in whole[stage]
            if own[stage][key] != whole[stage][key]
        } == changed
    alone = chain("icn_no_network")
    assert "icn" not in alone and alone["match"] | {"maps": "icn"} == whole["match"]
    assert {row[0] for row in ablate.PARTS} <= set(plan.show)


def measured(**numbers):
    part = {"mAP25": 0.5, "mAP50": 0.3, "mAP75": 0.1, "ABO": 0.4, "mIoU": 0.5, **numbers}
    return {"labels": {**part, "objects": 12, "photos": 4}, "network": None, "predictions": None}


def test_tables_by_hand():
    runs = [
        {"icn": measured(mIoU=0.6, mAP50=0.3), "icn_no_network": measured(mIoU=0.55, mAP50=0.35)},
        {"icn": measured(mIoU=0.5, mAP50=0.4), "icn_no_network": measured(mIoU=0.52, mAP50=0.2)},
    ]
    lines = ablate.claims(runs).splitlines()[2:]
    assert lines[0] == "| ICN | mIoU | +1.5 | +5.0, -2.0 | +0.6 | agrees | 1 of 2 |"
    assert lines[1] == "| ICN | mAP50 | +7.5 | -5.0, +20.0 | - | agrees | 1 of 2 |"
    table = ablate.parts_table(runs).splitlines()
    assert len(table) == 4 and table[3].startswith("| `icn` | nothing |") and "55.0 (50.0-60.0)" in table[3]
    steps = [{k: {"mAP50": k / 10, "mIoU": 0.5} for k in ablate.STEPS}] * 2
    assert ablate.steps_table(steps).splitlines()[2] == "| 1 | 10.0 (10.0, 10.0) | 50.0 (50.0, 50.0) | 27.3 |"
    text = ablate.section(runs, steps, command="make ablate-icn", title="ICN", minutes=3.2)
    assert "2 seeds" in text and "### Table 4" in text and "3 minutes" in text
    assert "### Table 4" not in ablate.section(runs, [], command="x", title="ICN")
