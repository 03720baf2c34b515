"""Variants and recipes as data: what is resolved, what is refused and how."""

import pytest
import yaml
from snakemake.utils import update_config

from tag2mask.errors import UserError
from tag2mask.run import recipes
from tag2mask.run.plan import Plan

REAL = ("voc2012", "coco", "folder")


@pytest.fixture
def config():
    merged = {}
    for name in ("recipes", "config"):
        with open(f"config/{name}.yaml") as file:
            update_config(merged, yaml.safe_load(file))  # Snakemake's own, deep, merge
    return merged


def test_upstream_variants(config):
    plan = Plan.load(config)
    assert plan.upstream("transfer", "default", "cam") == "pam"
    assert plan.upstream("semantic", "default", "cam") == "plain"
    assert plan.upstream("graph_cut", "cam", "mil") == "cam"
    assert plan.upstream("graph_cut", "cam", "proposals") == "default"
    assert plan.upstream("cam", "pam", "classifier") == "pam"
    assert plan.upstream("graph_cut", "cam", "cam") == "plain"
    assert plan.upstream("graph_cut", "default", "mil") == plan.upstream("graph_cut", "argmax", "mil") == "default"
    assert (
        plan.upstream("graph_cut", "partition", "graph")
        == plan.upstream("graph_cut", "partition", "cam")
        == "attention"
    )


def test_what_recipes_are(config):
    plan = Plan.load(config)
    assert plan.source("cam_cut") == ("graph_cut", "cam")
    names = ("transfer", "cam_cut", "full", "oracle_boxes", "whole_photo")
    assert [recipes.supervision(plan, name) for name in names] == [
        "tags", "tags", "masks", "boxes", "tags",
    ]  # fmt: skip
    rbd, fans = "saliency of our own", "features trained on single-tag training photos"
    u2netp = ["saliency of U2-Netp (trained on masks of DUTS)"]
    assert {name: found for name in plan.recipes if (found := recipes.extras(plan, name))} == {
        "liid": [rbd],
        "liid_no_graph": [rbd],
        "fan": [rbd, fans],
        "fan_no_graph": [rbd, fans],
        **{name: u2netp for name in ("icn_salient", "transfer_salient", "transfer_salient_joined", "bestie_salient")},
        **{name: [rbd, *u2netp] for name in ("fused_salient", "fused_salient_quick")},
        **{name: ["edges of HED (trained on BSDS500 boundaries)", *u2netp] for name in ("cim_edges", "liid_edges")},
    }
    assert recipes.measured(plan, "icn_salient")["proposals"] == ("proposals", "default", "proposals")
    imported = Plan.load({**config, "proposals": {"source": "coco_rle", "path": "x.json"}})
    assert recipes.extras(imported, "cam_cut") == ["imported proposals"] and recipes.extras(imported, "transfer") == []
    assert [name for name in plan.recipes if recipes.whole_proposals(plan, name)] == [
        "liid", "liid_no_graph", "liid_boxes", "liid_edges", "fan", "fan_no_graph", "cam_cut", "cam_argmax",
        "cam_cut_relative", "cam_argmax_relative", "oracle_boxes",
    ]  # fmt: skip
    assert [name for name in plan.recipes if not recipes.trains(plan, name)] == ["whole_photo", "top_proposal"]
    assert plan.section("pseudo_labels", recipe="cam_cut")["config"]["box_nms"] == 0.4
    assert plan.section("pseudo_labels", recipe="transfer")["config"]["box_nms"] is None


def test_saliency_is_read_where_it_has_a_share(config):
    plan = Plan.load(config)
    assert {name: sorted(plan.reads("semantic", name)) for name in plan.variants["semantic"]} == {
        "default": ["cam"], "salient": ["cam", "saliency"], "truth": ["truth"],
    }  # fmt: skip
    assert plan.upstream("bestie", "salient", "saliency") == "u2netp"
    config["semantic"]["saliency_share"] = 0.2
    assert sorted(Plan.load(config).reads("semantic", "truth")) == ["truth"]


@pytest.mark.parametrize("files", [("config",), *((name, "cpu") for name in REAL), ("folder", "cpu", "quick")])
def test_an_overlay_leaves_prm_its_photos_and_cim_its_backbone(files):
    """PRM learns from whole photos squashed to squares; CIM begins with the weights of that classifier's backbone."""
    merged = {}
    for name in ("recipes", *files):
        with open(f"config/{name}.yaml") as file:
            update_config(merged, yaml.safe_load(file))
    plan = Plan.load(merged)
    prm = plan.config("classifier", "prm")
    assert (prm["crop_area"], prm["crop_aspect"], prm["keep_aspect"]) == ([1.0, 1.0], 1.0, False)
    assert prm["backbone"] == plan.config("cim")["backbone"]


def test_what_lies_outside_must_be_there_before_any_work(config, tmp_path):
    def look(**keys):
        Plan.load({**config, **keys}).look_outside()

    look()
    there = tmp_path / "there.json"
    there.write_text("[]")
    proposals = {"source": "coco_rle", "path": str(tmp_path / "away.json")}
    with pytest.raises(
        UserError, match=r"^proposals\.path \(default\): .*away\.json does not exist; name one that does"
    ):
        look(proposals=proposals, show=["cam_cut"])
    look(proposals=proposals, show=["transfer"])  # reads no proposals
    look(proposals={**proposals, "path": str(there)}, show=["cam_cut"])
    with pytest.raises(UserError, match=r"^mil\.labelled_folder \(attention\): nowhere does not exist"):
        look(mil={**config["mil"], "labelled_folder": "nowhere"}, show=["fan"])
    weights = {**config["refine"], "weights": "away.pth"}
    with pytest.raises(UserError, match=r"^refine\.weights"):
        look(refine=weights, show=["transfer"])
    look(refine=weights, show=["transfer"], train=[])


def test_which_variants_of_mil_learn(config):
    plan = Plan.load(config)
    assert {name: "weights" in plan.reads("mil", name, "run") for name in plan.variants["mil"]} == {
        "default": True, "boxes": True, "attention": True, "cam": False, "cam_relative": False, "edges": True,
    }  # fmt: skip
    assert plan.section("mil", "default", "train")["seed"] == plan.section("mil", "attention", "train")["seed"] == 0
    assert "seed" not in plan.section("mil", "default")


@pytest.mark.parametrize(
    ("keys", "extras"),
    [
        ({"labelled_folder": "imagenet/train"}, ["saliency of our own", "features trained on imagenet/train"]),
        ({"epochs": 0}, ["saliency of our own"]),  # features of the packaged backbone, as every recipe's
        ({"epochs": 0, "nodes": "proposals"}, []),
    ],
)
def test_what_fans_labels_rest_on(config, keys, extras):
    config["variants"]["mil"]["attention"] |= keys
    plan = Plan.load(config)
    assert recipes.extras(plan, "fan") == extras and recipes.extras(plan, "liid_boxes") == []


def test_salient_instances_and_imported_ones_in_any_recipe(config):
    """LIID on photos: U2-Netp's or S4Net's; a cut takes the instances that its `mil` scored, not the default's."""
    config["variants"]["mil"]["default"]["from"]["saliency"] = "u2netp"
    plan = Plan.load({**config, "proposals": {"source": "coco_rle", "path": "x.json"}})
    assert recipes.extras(plan, "liid") == ["saliency of U2-Netp (trained on masks of DUTS)", "imported proposals"]
    assert plan.upstream("graph_cut", "default", "saliency") == plan.upstream("graph_cut", "argmax", "saliency")
    assert plan.upstream("graph_cut", "default", "saliency") == "u2netp"
    assert plan.upstream("graph_cut", "partition", "saliency") == "default"
    config["variants"]["saliency"]["u2netp"] = {"source": "instances", "path": "s4net.json"}
    assert recipes.extras(Plan.load(config), "liid") == ["imported salient instances"]


def test_what_the_two_recipes_of_liid_read(config):
    """`liid` as printed: HCP's proposals teach, salient instances are nodes; `liid_boxes`: the first ranked both."""
    plan = Plan.load(config)
    paper, boxes = plan.config("mil", "default"), plan.config("mil", "boxes")
    assert {key: (paper[key], boxes[key]) for key in paper if paper[key] != boxes[key]} == {
        "select": ("hcp", "ranking"), "nodes": ("salient", "proposals"),
    }  # fmt: skip
    names = {variant: plan.reads("mil", variant, "run").keys() - {"weights", "cam"} for variant in ("default", "boxes")}
    assert names == {"default": {"salient"}, "boxes": {"proposals"}}
    assert {variant: "salient" in plan.reads("graph_cut", variant) for variant in ("default", "argmax", "boxes")} == {
        "default": True, "argmax": True, "boxes": False,
    }  # fmt: skip
    assert "proposals" in plan.reads("mil", "default", "train") and ("proposals", "default") not in plan.closure(
        "graph_cut", "partition"
    )


def test_a_package_that_is_not_installed_is_named_before_any_work(config, monkeypatch):
    monkeypatch.setattr("stages.saliency.stage.weights", lambda: None)
    Plan.load({**config, "show": ["liid"]}).look_outside()  # the demo's saliency is RBD
    config["variants"]["mil"]["default"]["from"]["saliency"] = "u2netp"
    with pytest.raises(UserError, match=r"^saliency\.source u2netp needs the package"):
        Plan.load({**config, "show": ["liid"]}).look_outside()


@pytest.mark.parametrize(
    ("stage", "variant", "key", "value", "changed"),
    [
        ("mil", "default", "eta", 0.5, {"train"}),
        ("mil", "default", "epochs", 3, {"train"}),
        ("mil", "default", "keep", 5, {"train", "run"}),
        ("mil", "default", "relative", True, {"run"}),
        ("mil", "default", "nodes", "proposals", {"run"}),
        ("mil", "attention", "features", "roi", {"run"}),
        ("mil", "cam", "eta", 0.5, {"train"}),  # it has no training: its rule `mil` stays as it was
        ("segment", "default", "test_flip", True, {"run"}),
        ("segment", "default", "max_side", 96, {"train", "run"}),
        ("segment", "default", "clip", 1.0, {"train"}),
    ],
)
def test_a_key_changes_the_sections_that_read_it(config, stage, variant, key, value, changed):
    def sections():
        plan = Plan.load(config)
        return {name: plan.section(stage, variant, name) for name in ("train", "run")}

    before = sections()
    keys = config["variants"]["mil"][variant] if stage == "mil" else config[stage]
    keys[key] = value
    after = sections()
    assert {name for name in before if before[name] != after[name]} == changed


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
        ({"train_segment": ["nothing"]}, r"^train_segment: nothing is not a recipe; declared are: transfer"),
        ({"train_segment": 5}, r"^train_segment: a list of recipes is needed"),
        ({"gpus": -1}, r"^gpus: .*greater than or equal to 0 \(given: -1\)"),
        ({"seed": -1}, r"^seed: .*greater than or equal to 0"),
        ({"run": "a/b"}, r"^run: "),
        ({"graph_cut": {"solver": "nonsense"}}, r"^graph_cut\.solver: .*'multiway', 'partition' or 'argmax'.*nonsense"),
        ({"graph_cut": {"retain": 1.5}}, r"^graph_cut\.retain: .*less than or equal to 1 \(given: 1\.5\)"),
        ({"graph_cut": {"beta": -1}}, r"^graph_cut\.beta: .*greater than or equal to 0 \(given: -1\)"),
        ({"graph_cut": {"terminals": 0}}, r"^graph_cut\.terminals: .*greater than or equal to 1"),
        ({"graph": {"neighbours": "both"}}, r"^graph\.neighbours: .*'mutual' or 'union'"),
        (
            {"variants": {"mil": {"default": {"scores": "maps"}}}},
            r"^variants\.mil\.default\.scores: .*'cam', 'network' or 'attention'",
        ),
        ({"mil": {"lse": 0}}, r"mil.*\.lse: .*greater than 0"),
        ({"mil": {"cam_loss": 0, "mil_loss": 0}}, r"mil\.default: .*cam_loss and mil_loss must not both be 0"),
        ({"mil": {"epochs": 0}}, r"mil\.default: .*epochs must be above 0 with scores network"),
        ({"segment": {"crop": 100}}, r"^segment: .*crop must be a multiple of output_stride, 8"),
        ({"segment": {"scales": [1.5, 0.5]}}, r"^segment: .*scales must be two numbers above 0, the smaller one first"),
        (
            {"recipes": {"a": {"cam": "plain"}}, "show": ["a"]},
            r"^recipes\.a names one of cim, reference, transfer, ",
        ),
        ({"recipes": {"a": {"transfer": "x"}}, "show": ["a"]}, r"^recipes\.a: transfer has no variant 'x'"),
        ({"variants": {"cam": {"plain": {"from": {"classifier": "x"}}}}}, r"classifier has no variant 'x'"),
        ({"variants": {"cam": {"plain": {"from": {"mil": "cam"}}}}}, r"from\.mil: cam reads classifier"),
        (
            {"dataset": {"kind": "folder", "root": "x"}},
            r"^show: full needs ground truth, which a folder of photos has not",
        ),
        ({"recipes": {"a": {"refine": {"rounds": 2}}}, "show": ["a"]}, r"^recipes\.a names one of cim, reference"),
        (
            {"recipes": {"a": {"transfer": "default", "segment": {"clip": 1}}}, "show": ["a"]},
            r"^recipes\.a\.segment: a recipe has no keys of it; of its own it has refine\.",
        ),
        (
            {"recipes": {"a": {"transfer": "default", "refine": {"iterations": 2}}}, "show": ["a"]},
            r"^recipes\.a\.refine\.iterations would make rows that do not compare; set it for all recipes, as refine\.",
        ),
        (
            {"recipes": {"a": {"transfer": "default", "refine": {"ignore": 2}}}, "show": ["a"]},
            r"^recipes\.a\.refine\.ignore: .*less than or equal to 1 \(given: 2\)",
        ),
        (
            {"recipes": {"a": {"cim": "default", "refine": {"ignore": 0.5}}}, "show": ["a"]},
            r"^show: by its keys refine reads semantic maps, and the labels of a are made without any; set",
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
        Plan.load({**config, **change})
    assert "\n" not in str(error.value)


def test_a_recipe_teaches_its_labels_in_a_way_of_its_own(config):
    shown = ["transfer", "transfer_ignore", "transfer_rounds", "full"]
    plan = Plan.load({**config, "show": shown, "refine": {**config["refine"], "round_score": 0.9}})
    assert plan.source("transfer_ignore") == plan.source("transfer")
    found = {name: plan.section("refine", "default", "train", recipe=name) for name in shown}
    assert found["transfer"] == found["full"]
    own, road = found["transfer_rounds"], found["transfer"]
    read = {key: plan.config("refine")[key] for key in ("score_threshold", "nms", "detections", "mask_threshold")}
    assert own == {**road, "config": {**road["config"], "rounds": 2, **read}} and own["config"]["round_score"] == 0.9
    assert found["transfer_ignore"]["schemas"] == {**road["schemas"], "semantic.semantic": "maps/1"}
    assert plan.view("refine", recipe="transfer_ignore").of("semantic").variant == "default"
    assert plan.section("refine", recipe="transfer_rounds") == plan.section("refine", recipe="transfer")  # testing
    assert [row["own_keys"] for row in recipes.table(plan)] == [[], ["refine.ignore 0.3"], ["refine.rounds 2"], []]
    fused = {name: keys for name, keys in plan.recipes.items() if "fuse" in keys}
    assert all(keys["refine"] == {"ignore": 0.3} for keys in fused.values()) and len(fused) == 4
    assert {name for name in plan.recipes if plan.own_keys(name)} == {
        "transfer_ignore", "transfer_weighted", "transfer_rounds", *fused
    }  # fmt: skip


def test_the_maps_of_a_recipe_are_those_of_its_labels(config):
    config["recipes"]["a"] = {"bestie": "oracle_semantic", "refine": {"ignore": 0.5}}
    plan = Plan.load({**config, "show": ["a"]})
    assert plan.view("refine", recipe="a").of("semantic").variant == "truth"
    assert recipes.supervision(plan, "a") == "semantic masks"


def test_strings_of_the_command_line_are_coerced(config):
    plan = Plan.load({**config, "cam": {"floor": "0.2", "flip": "false"}, "seed": "3", "show": "transfer"})
    assert plan.config("cam", "plain")["floor"] == 0.2 and plan.config("cam", "plain")["flip"] is False
    assert plan.seed == 3 and plan.show == ["transfer"]


def test_a_section_does_not_depend_on_the_order_of_keys(config):
    first = Plan.load({**config, "cam": {"floor": 0.2, "window": 9}}).section("cam", "plain")
    second = Plan.load({**config, "cam": {"window": 9, "floor": 0.2}}).section("cam", "plain")
    assert repr(first) == repr(second)


def test_the_seed_stands_only_where_it_is_used(config):
    plan = Plan.load(config)
    assert plan.section("classifier", "plain", "train")["seed"] == 0
    assert plan.section("images")["seed"] == 0
    assert "seed" not in plan.section("cam", "plain") and "seed" not in plan.section("proposals")
    photos = Plan.load({**config, "dataset": {"kind": "folder", "root": "/photos"}, "show": ["transfer"]})
    assert "seed" not in photos.section("images")
