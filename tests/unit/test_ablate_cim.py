"""CIM's ablation tables: every row has its recipe, differs as the paper says, and numbers land where they belong."""

import numpy as np
import pytest
import yaml
from conftest import ROOT
from snakemake.utils import update_config

from benchmarks import ablate_cim as ablate
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.tables import Table
from tag2mask.run.plan import Plan


@pytest.fixture(scope="module")
def plan():
    values = {}
    for name in ("config/recipes", "config/config", "benchmarks/config/ablate_cim"):
        update_config(values, yaml.safe_load((ROOT / f"{name}.yaml").read_text()))
    return Plan.load(values)


def test_rows_differ_from_the_default_as_the_paper_s_tables_say(plan):
    def keys(recipe):
        return plan.config(*plan.source(recipe))

    for recipe, agpl, integrity, mining, cascade, *_ in ablate.PARTS:
        own = keys(recipe)
        assert (own["agpl"], own["integrity"], own["mining"] == "cim", own["cascade"] > 0) == (
            agpl, integrity, mining, cascade,
        )  # fmt: skip
        assert own["class_iou"] == (0.25 if mining else 0.5) and own["seed_nms"] is None and own["integrity_iou"] == 0.5
    assert {row[0] for row in ablate.PARTS} == set(plan.show)
    for recipe, step, *_ in ablate.CASCADE:
        assert keys(recipe)["cascade"] == step
    for share, without, _, with_, _ in ablate.SEEDS:
        assert [keys(one)["seed_share"] for one in (without, with_)] == [share, share]
        assert [keys(one)["sampling"] for one in (without, with_)] == [False, True]


def test_the_released_code_s_extras_are_switched_on_together(plan):
    own, printed = plan.config("cim", "released"), plan.config("cim", "default")
    differing = {key: own[key] for key in own if own[key] != printed[key]}
    assert differing == {
        "pcl": "binary", "first_weight": 3, "integrity_weight": 3, "bag_weight": 1, "bias_rate": 2,
    }  # fmt: skip


def test_the_makefile_builds_every_row(plan):
    rows = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("ROWS := "))
    wanted = {row[0] for row in (*ablate.PARTS, *ablate.CASCADE)} | {r for row in ablate.SEEDS for r in row[1::2]}
    assert set(rows.removeprefix("ROWS := ").split(",")) == wanted | {"cim_released"}


def measured(ap50, ap75=0.1):
    part = {"mAP25": 0.5, "mAP50": ap50, "mAP75": ap75, "ABO": 0.4}
    return {"labels": {**part, "objects": 12, "photos": 4}, "network": part, "predictions": None}


def test_tables_by_hand():
    runs = [
        {"mist": measured(0.30), "agpl": measured(0.40, 0.05), "all_10": measured(0.2), "cim": measured(0.5)},
        {"mist": measured(0.36), "agpl": measured(0.35, 0.05)},
    ]
    table = ablate.parts_table(runs)
    assert "| `agpl` | x |  |  |  | 50.0 (50.0-50.0) | 37.5 (35.0-40.0) | 5.0 (5.0-5.0) | 49.2 / 20.6 |" in table
    assert "maskiou" not in table  # what is not built has no row
    claims = ablate.claims(runs).splitlines()
    assert claims[2] == "| agpl over mist | mAP50 | +4.5 | +10.0, -1.0 | +11.1 | agrees | 1 of 2 |"
    assert claims[3] == "| agpl over mist | mAP75 | -5.0 | -5.0, -5.0 | +3.1 | opposite | 0 of 2 |"
    assert ablate.seeds_table(runs[0]) == ablate.cascade_table(runs[0]) == ""  # one row: nothing to compare
    whole = {**runs[0], "all_20": measured(0.1), "no_cascade": measured(0.3), "cascade_20": measured(0.35)}
    assert ablate.seeds_table(whole).splitlines()[2:] == [
        "| 0.10 | 20.0 | 50.0 | 49.4 / 51.1 |", "| 0.20 | 10.0 | - | 47.8 / 51.1 |",
    ]  # fmt: skip
    assert ablate.cascade_table(whole).splitlines()[-2] == "| 0.10 | 50.0 | 10.0 | 51.1 / 26.1 |"
    text = ablate.section([whole], [ROOT], command="make it", title="Ours", minutes=7.4)
    heads = ("Table 4", "Table 5", "Table 6", "side by side")
    assert all(head in text for head in heads) and "Figure 4" not in text and "7 minutes" in text


def test_mined_proposals_against_the_truth_by_hand(tmp_path):
    """One photo of 4 x 4, truth: the left half. Proposals: it (IoU 1), its upper half (1/2), all (1/2), right (0)."""
    masks = np.zeros((4, 4, 4), bool)
    masks[0, :, :2] = masks[1, :2, :2] = masks[2] = masks[3, :, 2:] = True
    truth, proposals = InstancesBuilder({5: "cat", 6: "dog"}), InstancesBuilder({})
    truth.add("a", (4, 4), masks[:1], category=5)
    proposals.add("a", (4, 4), masks, category=0)
    for folder, name, table in (
        ("images/default", "truth", truth), ("proposals/default", "0000", proposals),
    ):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
        table.finish().save(tmp_path / folder / f"{name}.zarr.zip")
    rows = 8  # by class (5, then 6, which has no object), four proposals each
    table = Table("mined/1", {
        "image_id": np.array(["a"]), "iteration": np.full(rows, 7, np.int32), "image": np.zeros(rows, np.int32),
        "proposal": np.tile(np.arange(4, dtype=np.int32), 2), "category": np.repeat([5, 6], 4).astype(np.int16),
        "branch": np.ones(rows, np.int8), "score": np.zeros(rows, np.float32),
        "integrity": np.float32([0.9, 0.2, 0.1, 0.8] * 2), "seed": np.uint8([0, 1, 0, 0, 0, 0, 0, 0]),
        "mined": np.uint8([1, 0, 0, 0, 0, 0, 0, 1]),
    })  # fmt: skip
    np.testing.assert_allclose(ablate.true_overlaps(tmp_path, table), [1, 0.5, 0.5, 0, 0, 0, 0, 0])
    (tmp_path / "cim/default").mkdir(parents=True)
    table.save(tmp_path / "cim/default/snapshots.zarr.zip")
    ((iteration, branch, seed, seed_hits, mined, mined_hits, rank),) = ablate.snapshot_rows(tmp_path, "default")
    assert (iteration, branch, seed, seed_hits, mined, mined_hits) == (7, 1, 0.5, 1, 0.5, 0.5)
    # the three that touch: integrity ranks 3, 2, 1, true IoU ranks 3, 1.5, 1.5: correlation cos = 1.5 / sqrt(2 x 1.5)
    assert rank == pytest.approx(1.5 / 3**0.5)
    assert ablate.snapshot_rows(tmp_path, "nothing") == []
