"""Variants and recipes as data: what is resolved, what is refused and how."""

import pytest
import yaml
from snakemake.utils import update_config

from stages.common.errors import UserError
from stages.common.pipeline import Pipeline


@pytest.fixture
def config():
    merged = {}
    for name in ("recipes", "config"):
        with open(f"config/{name}.yaml") as file:
            update_config(merged, yaml.safe_load(file))  # Snakemake's own, deep, merge
    return merged


def test_upstream_variants(config):
    plan = Pipeline.load(config)
    assert plan.upstream("transfer", "default", "cam") == "pam"
    assert plan.upstream("semantic", "default", "cam") == "plain"
    assert plan.upstream("graph_cut", "cam", "mil") == "cam"
    assert plan.upstream("graph_cut", "cam", "proposals") == "default"
    assert plan.upstream("cam", "pam", "classifier") == "pam"
    assert plan.upstream("graph_cut", "cam", "cam") == "plain"


def test_what_recipes_are(config):
    plan = Pipeline.load(config)
    assert plan.source("cam_cut") == ("graph_cut", "cam")
    assert [plan.supervision(name) for name in ("transfer", "cam_cut", "full", "oracle_boxes", "whole_photo")] == [
        "tags", "tags", "masks", "boxes", "tags",
    ]  # fmt: skip
    fans = ["salient instances of our own", "features trained on single-tag training photos"]
    assert {name: found for name in plan.recipes if (found := plan.extras(name))} == {"fan": fans, "fan_no_graph": fans}
    assert [name for name in plan.variants["mil"] if plan.learns(name)] == ["default", "attention"]
    imported = Pipeline.load({**config, "proposals": {"source": "coco_rle", "path": "x.json"}})
    assert imported.extras("cam_cut") == ["imported proposals"] and imported.extras("transfer") == []
    assert plan.instances_are_proposals("cam_cut") and plan.instances_are_proposals("oracle_boxes")
    assert not any(map(plan.instances_are_proposals, ("transfer", "full", "whole_photo", "top_proposal")))
    assert [name for name in plan.recipes if not plan.trains(name)] == ["whole_photo", "top_proposal"]
    assert plan.section("pseudo_labels", are_proposals=True)["config"]["box_nms"] == 0.4
    assert plan.section("pseudo_labels", are_proposals=False)["config"]["box_nms"] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"colour": 1}, r"^colour is not a known key; allowed here: run, seed"),
        ({"cam.floor": 1}, r"^cam\.floor is not a known key \(nested keys are set as --config 'dataset={root"),
        ({"cam": {"flor": 1}}, r"^cam\.flor is not a known key; allowed here: .*floor"),
        ({"cam": {"floor": "high"}}, r"^cam\.floor: .*number.*'high'"),
        ({"cam": {"floor": 2}}, r"^cam\.floor: .*less than or equal to 1 \(given: 2\)"),
        ({"show": ["nothing"]}, r"^show: nothing is not a recipe; declared are: transfer"),
        ({"show": []}, r"^show names no recipe"),
        ({"train": ["nothing"]}, r"^train: nothing is not a recipe"),
        ({"gpus": 2}, r"^gpus: .*less than or equal to 1 \(given: 2\)"),
        ({"seed": -1}, r"^seed: .*greater than or equal to 0"),
        ({"run": "a/b"}, r"^run: "),
        ({"recipes": {"a": {"cam": "plain"}}, "show": ["a"]}, r"^recipes\.a names one of transfer, graph_cut"),
        ({"recipes": {"a": {"transfer": "x"}}, "show": ["a"]}, r"^recipes\.a: transfer has no variant 'x'"),
        ({"variants": {"cam": {"plain": {"from": {"classifier": "x"}}}}}, r"classifier has no variant 'x'"),
        ({"variants": {"cam": {"plain": {"from": {"mil": "cam"}}}}}, r"from\.mil: cam reads classifier"),
        (
            {"dataset": {"kind": "folder", "root": "x"}},
            r"^show: full needs ground truth, which a folder of photos has not",
        ),
        ({"variants": {"camera": {}}}, r"^variants\.camera is not a stage with variants"),
        ({"refine": 5}, r"^refine: keys and values are needed, as refine: \{key: value\}, not 5"),
        ({"dataset": "photos"}, r"^dataset: keys and values are needed, .*not 'photos'"),
        ({"variants": 5}, r"^variants: keys and values are needed"),
        ({"variants": {"cam": 5}}, r"^variants\.cam: keys and values are needed"),
        ({"variants": {"cam": {"plain": 5}}}, r"^variants\.cam\.plain: keys and values are needed"),
        ({"variants": {"cam": {"plain": {"from": "plain"}}}}, r"^variants\.cam\.plain\.from: keys and values"),
        ({"show": 5}, r"^show: a list of recipes is needed"),
    ],
)
def test_a_wrong_configuration_is_one_sentence_with_the_key(config, change, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        Pipeline.load({**config, **change})
    assert "\n" not in str(error.value)


def test_strings_of_the_command_line_are_coerced(config):
    plan = Pipeline.load({**config, "cam": {"floor": "0.2", "flip": "false"}, "seed": "3", "show": "transfer"})
    assert plan.config("cam", "plain")["floor"] == 0.2 and plan.config("cam", "plain")["flip"] is False
    assert plan.seed == 3 and plan.show == ["transfer"]


def test_a_section_does_not_depend_on_the_order_of_keys(config):
    first = Pipeline.load({**config, "cam": {"floor": 0.2, "window": 9}}).section("cam", "plain")
    second = Pipeline.load({**config, "cam": {"window": 9, "floor": 0.2}}).section("cam", "plain")
    assert repr(first) == repr(second)


def test_the_seed_stands_only_where_it_is_used(config):
    plan = Pipeline.load(config)
    assert plan.section("classifier", "plain", "train")["seed"] == 0
    assert plan.section("images")["seed"] == 0
    assert "seed" not in plan.section("cam", "plain") and "seed" not in plan.section("proposals")
    photos = Pipeline.load({**config, "dataset": {"kind": "folder", "root": "/photos"}, "show": ["transfer"]})
    assert "seed" not in photos.section("images")
