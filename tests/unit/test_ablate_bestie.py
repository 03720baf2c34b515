"""BESTIE's ablation tables: every row has its recipe, and the numbers land where they belong."""

import numpy as np
import yaml
from conftest import ROOT
from snakemake.utils import update_config

from benchmarks import ablate_bestie as ablate
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.run import recipes
from tag2mask.run.plan import Plan


def plan():
    values = {}
    for name in ("config/recipes", "config/config", "benchmarks/config/ablate_bestie"):
        update_config(values, yaml.safe_load((ROOT / f"{name}.yaml").read_text()))
    values["dataset"]["points"] = "points.csv"
    return Plan.load(values)


def test_every_row_is_a_shown_recipe_and_differs_from_the_default_as_the_table_says():
    pipeline = plan()
    names = {row[0] for row in (*ablate.STEPS, *ablate.MAPS, *ablate.SUPERVISION, *ablate.CHOICES)} | set(ablate.SIDE)
    assert names <= set(pipeline.show)
    for recipe, peaks, guidance, refine, cluster, _ in ablate.STEPS:
        stage, variant = pipeline.source(recipe)
        own = pipeline.config(stage, variant)
        transfer = pipeline.upstream(stage, variant, "transfer")
        assert pipeline.upstream("transfer", transfer, "cam") == ("pam" if peaks else "plain")
        assert (own["instance_aware"], own["refine"], own["refine"] and own["cluster"]) == (guidance, refine, cluster)
    for recipe, variant, *_ in ablate.MAPS:
        assert [name for stage, name in pipeline.closure(*pipeline.source(recipe)) if stage == "semantic"] == [variant]
    assert [recipes.supervision(pipeline, row[0]) for row in ablate.SUPERVISION] == ["tags", "points"]
    assert recipes.supervision(pipeline, "oracle_semantic") == "semantic masks"


def measured(ap50, hits=3):
    part = {"mAP25": 0.5, "mAP50": ap50, "mAP70": 0.2, "mAP75": 0.1, "ABO": 0.4}
    counts = {"true_positives": hits, "instances": 6, "objects": 12, "photos": 4}
    rows = [{"iteration": 10, "photos": 4, "objects": 12, "instances": 8, "true_positives": hits, "mAP50": 0.1}]
    return {
        "labels": {**part, **counts},
        "network": part,
        "predictions": {**part, "mAP50": 2 * ap50},
        "snapshots": rows,
    }


def test_tables_by_hand(tmp_path):
    runs = [{"no_refinement": measured(0.30), "no_clustering": measured(0.25), "transfer": measured(0.2, hits=4)}]
    runs[0]["full"] = measured(0.4)
    steps = ablate.steps_table(runs)
    assert "| `no_refinement` | x | x |  |  | 50.0 | 30.0 | 20.0 | 10.0 | 39.2 | 3 of 8 |" in steps
    assert "bestie" not in steps.replace("`no_", "")  # what is not built has no row
    assert ablate.step_claims(runs).splitlines()[-1] == "| no_clustering over no_refinement | -5.0 | +2.3 | opposite |"
    assert "| PAM | 6 | 4 | 33.3 % | 20.0 |" in ablate.peaks_table(runs)  # 4 of 12 objects
    assert ablate.side_table(runs).splitlines()[2].endswith("50 % |")  # 0.4 over 0.8
    weak = ablate.side_table([{**runs[0], "full": measured(0.049)}]).splitlines()  # 9.8
    assert weak[2].endswith("| - |") and weak[-1] == "`full` is below 10, so no ratio to it is told."
    two = [runs[0], {"no_refinement": measured(0.40)}]
    assert ablate.value(two, "no_refinement", "network", "mAP50") == 35
    whole = ablate.section(runs, [tmp_path], command="make it", title="Ours", minutes=7.4)
    assert "7 minutes" in whole and "one seed" in whole and "`make it`" in whole


def test_miou_of_semantic_maps_by_hand(tmp_path):
    """Truth: the left half; the map: the left quarter. 8 of 16 pixels of class 1, 16 of 24 of the background."""
    folder = tmp_path / "images/default"
    folder.mkdir(parents=True)
    index = Index.build(
        tmp_path, {1: "cat"}, image_id=["a"], path=["a.png"], size=[(4, 8)], tags=[[1]], train=[True], with_masks=[True]
    )
    index.save(folder / "index.zarr.zip")
    mask = np.zeros((1, 4, 8), bool)
    mask[..., :4] = True
    truth = InstancesBuilder({1: "cat"})
    truth.add("a", (4, 8), mask, category=[1])
    truth.finish().save(folder / "truth.zarr.zip")
    label = np.zeros((4, 8), np.uint8)
    label[:, :2] = 1
    maps = MapsBuilder(np.uint8, {"background": 0, "ignore": 255})
    maps.add("a", (4, 8), [(0, label)])
    (tmp_path / "semantic/default").mkdir(parents=True)
    maps.finish().save(tmp_path / "semantic/default/0000.zarr.zip")
    assert np.isclose(ablate.semantic_miou(tmp_path, "default"), 100 * (8 / 16 + 16 / 24) / 2)
    assert ablate.semantic_miou(tmp_path, "raw") is None
