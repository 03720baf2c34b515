"""icn: Eq. 3 and 4, targets and testing by hand; shapes of every backbone; the stage on photos of discs and boxes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from learners import LEARNERS, SIZE, dataset
from snakemake.utils import update_config

from stages import icn
from stages.icn import target
from stages.icn.config import RANKING, Config
from stages.icn.infer import enhanced_maps, unit
from stages.icn.learn import normalised, optimiser_of, pixel_loss, rate_of, sample, taught
from stages.icn.network import Fusion, build
from stages.match.config import Config as Matching
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import Maps, MapsBuilder
from tag2mask.errors import UserError
from tag2mask.learn.shelf import Shelf
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan

SIDE = 32
KEYS = Matching(side=SIDE, outline=3).model_dump(include=set(RANKING))


def box(y, x, height, width):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def table(*masks):
    builder = InstancesBuilder({})
    builder.add("a", (SIDE, SIDE), np.array(masks).reshape(-1, SIDE, SIDE), category=0)
    return builder.finish()


# --- targets


LEFT, RIGHT, PART = box(8, 4, 12, 8), box(8, 20, 12, 8), box(10, 6, 4, 4)
WHOLE = box(8, 4, 14, 10)


def test_the_target_is_the_union_of_the_best_that_are_not_covered():
    """Scores fall from PART to WHOLE, with the map in PART; LEFT covers PART, so that only what is new is taken."""
    masks, given = [LEFT, PART, WHOLE, RIGHT], [PART.astype(np.float16)]
    keys = KEYS | {"beta": 0, "gamma": 0}
    one, two, three = (target.matched(table(*masks), 0, given, most=k, keys=keys)[0] for k in (1, 2, 3))
    assert np.array_equal(one, PART) and np.array_equal(two, LEFT) and np.array_equal(three, WHOLE)
    all_of_them = target.matched(table(*masks), 0, given, most=9, keys=keys)[0]
    assert np.array_equal(all_of_them, WHOLE | RIGHT) and all_of_them.dtype == np.uint8


def test_a_proposal_inside_those_taken_is_not_counted():
    """By order: LEFT, then PART, which LEFT covers, then WHOLE: two are LEFT and WHOLE."""
    flat = [LEFT.astype(np.float16)]
    keys = KEYS | {"beta": 0, "gamma": 0, "rebalance": False}  # the sum of the map inside: LEFT and WHOLE are equal
    made = target.matched(table(LEFT, PART, RIGHT), 0, flat, most=2, keys=keys)[0]
    assert np.array_equal(made, LEFT | RIGHT)


def test_covered_by_several_together_is_covered():
    upper, lower = box(8, 4, 6, 8), box(14, 4, 6, 8)
    middle = box(11, 4, 6, 8)
    given = [(2.0 * upper + 1.5 * lower).astype(np.float16)]
    keys = KEYS | {"beta": 0, "gamma": 0}
    made = target.matched(table(upper, middle, lower, RIGHT), 0, given, most=2, keys=keys)[0]
    assert np.array_equal(made, upper | middle)  # 2, 1.75, 1.5: the second adds pixels
    made = target.matched(table(upper, middle, lower, RIGHT), 0, given, most=3, keys=keys)[0]
    assert np.array_equal(made, LEFT)
    order = target.matched(table(upper, lower, PART, RIGHT), 0, given, most=3, keys=keys)[0]
    assert np.array_equal(order, LEFT | RIGHT)  # PART lies in both together


def test_targets_of_many_maps_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    masks = [box(*rng.integers(0, 16, 2), *rng.integers(4, 16, 2)) for _ in range(30)]
    given = [rng.random((16, 16)).astype(np.float16) ** 6 for _ in range(7)]
    together = target.matched(table(*masks), 0, given, most=3, keys=KEYS)
    each = [target.matched(table(*masks), 0, [one], most=3, keys=KEYS)[0] for one in given]
    assert np.array_equal(together, each) and together.shape == (7, 16, 16)


def test_hard_photos_have_targets_of_0():
    empty = np.zeros((SIDE, SIDE))
    assert target.matched(table(LEFT), 0, [], most=3, keys=KEYS).shape[0] == 0
    assert not target.matched(table(), 0, [LEFT], most=3, keys=KEYS).any()
    assert not target.matched(table(box(0, 0, 32, 32)), 0, [LEFT], most=3, keys=KEYS).any()  # 0.85 of the photo
    made = target.matched(table(LEFT), 0, [empty, LEFT, np.ones((SIDE, SIDE))], most=3, keys=KEYS)
    assert not made[0].any() and np.array_equal(made[1], LEFT) and np.array_equal(made[2], LEFT)
    assert not target.salient(table(), 0, [LEFT]).any() and target.salient(table(LEFT), 0, []).shape[0] == 0
    assert not target.salient(table(LEFT), 0, [empty])[0].any()


def test_the_salient_instance_with_the_best_iou():
    """IoU of the part of a map that is at least its mean: 16 / 96 of LEFT, 16 / 140 of WHOLE; none of RIGHT."""
    given = [PART * 1.0, RIGHT * 1.0, box(28, 0, 2, 2) * 1.0]
    made = target.salient(table(WHOLE, LEFT, RIGHT), 0, given)
    assert np.array_equal(made[0], LEFT) and np.array_equal(made[1], RIGHT) and not made[2].any()


# --- network


def test_eq_3_by_hand():
    """The smaller map enlarged (a constant stays), beside the larger; sums by weights of the middle alone."""
    fuse = Fusion(1, 1, 1)
    with torch.no_grad():
        for layer, weights, bias in ((fuse.layers[0], [2.0, 3.0], -1.0), (fuse.layers[2], [-1.0], 20.0)):
            layer.weight.zero_()
            layer.weight[0, :, 1, 1] = torch.tensor(weights)
            layer.bias.fill_(bias)
        made = fuse(torch.full((1, 1, 2, 2), 5.0), torch.arange(16.0).view(1, 1, 4, 4))
    first = torch.relu(2 * 5 + 3 * torch.arange(16.0) - 1)
    assert torch.allclose(made.flatten(), torch.relu(20 - first))


@pytest.mark.parametrize(
    ("name", "channels", "strides"),
    [
        ("vgg16", [64, 128, 256, 512, 512], [1, 2, 4, 8, 16]),
        ("resnet50", [64, 256, 512, 1024, 2048], [2, 4, 8, 16, 32]),
        ("efficientnet_lite0", [16, 24, 40, 112, 320], [2, 4, 8, 16, 32]),
    ],
)
def test_shapes_of_every_backbone(name, channels, strides):
    """VGG-16 is the paper's: its last convolution of every level, before the pool."""
    model = build(Config(backbone=name, weights="none", channels=8)).eval()
    assert (model.backbone.channels, model.backbone.strides) == (channels, strides)
    first = next(module for module in model.backbone.net.modules() if isinstance(module, torch.nn.Conv2d))
    assert first.weight.shape[1] == first.in_channels == 4
    with torch.no_grad():
        assert model(torch.randn(2, 3, 64, 96), torch.rand(2, 64, 96)).shape == (2, 64, 96)
    deep = [fuse.layers[0].in_channels for fuse in model.context]
    fine = [fuse.layers[0].in_channels for fuse in model.detail]
    assert deep == [channels[4] + channels[3], *(8 + channels[k] for k in (2, 1, 0))]
    assert fine == [channels[0] + channels[1], *(8 + channels[k] for k in (2, 3, 4))]


def test_a_map_is_light_on_the_photo_and_a_map_of_0_changes_nothing():
    """At the start: a map of m answers as a photo brighter by m, one of 0 as the network of three channels."""
    torch.manual_seed(0)
    model = build(Config(backbone="test_efficientnet", weights="none", channels=4)).eval()
    photos, maps = torch.randn(2, 3, 64, 64), torch.rand(2, 64, 64)
    first = next(module for module in model.backbone.net.modules() if isinstance(module, torch.nn.Conv2d))
    assert torch.equal(first.weight[:, 3], first.weight[:, :3].sum(1))
    with torch.no_grad():
        assert torch.allclose(model(photos, maps), model(photos + maps[:, None], 0 * maps), atol=1e-5)
        assert not torch.allclose(model(photos, maps), model(photos, 0 * maps), atol=1e-5)
        answer = model(photos, 0 * maps)
        first.weight[:, 3] = 0
        assert torch.allclose(model(photos, maps), answer, atol=1e-6)


def test_without_fusion_or_map():
    keys = {"backbone": "test_efficientnet", "weights": "none", "channels": 4}
    plain, blind = build(Config(**keys, fusion="none")), build(Config(**keys, use_map=False)).eval()
    assert not len(plain.context) and plain.mapping.in_channels == plain.backbone.channels[-1]
    assert plain.eval()(torch.randn(1, 3, 64, 64), torch.rand(1, 64, 64)).shape == (1, 64, 64)
    photos = torch.randn(1, 3, 64, 64)
    assert torch.equal(blind(photos, torch.rand(1, 64, 64)), blind(photos, torch.zeros(1, 64, 64)))


# --- training


def test_eq_4_by_hand():
    """p = 3/4 where the target is 1, 1/4 where it is 0 and where it is 1; the fourth pixel is void."""
    logits = torch.log(torch.tensor([[[3.0, 1 / 3, 1 / 3, 9.0]]]))
    targets = torch.tensor([[[1, 0, 1, 255]]], dtype=torch.uint8)
    both = -(np.log(3 / 4) + np.log(3 / 4) + np.log(1 / 4)) / 3
    assert float(pixel_loss(logits, targets, kind="both")) == pytest.approx(both)
    printed = -(np.log(3 / 4) + np.log(1 / 4)) / 3
    assert float(pixel_loss(logits, targets, kind="printed")) == pytest.approx(printed)
    assert float(pixel_loss(logits, torch.full_like(targets, 255), kind="both")) == 0


def test_the_schedule_is_the_paper_s():
    config = Config(batch=10)
    assert (config.optimiser, config.rate, config.epochs) == ("adam", 1e-3, 120)
    assert (config.drop_every, config.gamma, config.top, config.steps) == (20, 0.5, 3, 3)
    rate = rate_of(config, 50, 600)  # 5 iterations a pass
    assert [rate(t) for t in (0, 99, 100, 200, 499, 500, 599)] == [1, 1, 0.5, 0.25, 1 / 16, 1 / 32, 1 / 32]
    model = build(Config(backbone="test_efficientnet", weights="none", channels=4))
    optimiser = optimiser_of(model, config)
    assert type(optimiser) is torch.optim.Adam and {group["lr"] for group in optimiser.param_groups} == {1e-3}
    with pytest.raises(ValueError, match="multiple of 32"):
        Config(crop=100)


def test_a_sample_moves_photo_map_and_target_together():
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:, 30:] = 200
    naive = (np.linspace(0.2, 0.6, 60)[None].repeat(40, 0) * (photo[..., 0] > 0)).astype(np.float16)
    mask = (photo[..., 0] > 0).astype(np.uint8)
    index = SimpleNamespace(photo=lambda i: photo)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        crop, v, t = sample(
            index, 0, naive, mask, config=Config(crop=32, jitter=0, scales=(0.5, 1)), mean=(0.5,) * 3, rng=rng
        )
        inside = t != 255
        assert crop.shape == (32, 32, 3) and v.shape == t.shape == (32, 32) and v.dtype == np.float32
        assert (v[~inside] == 0).all() and v.max() <= 1
        edge = np.abs(crop[..., 0].astype(int) - 100) < 95  # blurred by the scaling
        assert (((crop[..., 0] > 100) == (t == 1)) | edge | ~inside).all()
        assert (((v > 0.1) == (t == 1)) | edge | ~inside | (np.abs(v - 0.1) < 0.09)).all()


def test_maps_are_min_max_normalised():
    made = normalised(np.float16([[0.25, 0.5], [0.75, 0.25]]))
    assert made.tolist() == [[0, 0.5], [1, 0]] and made.dtype == np.float32
    assert not normalised(np.full((2, 2), 0.5)).any()
    assert unit(torch.tensor([[[1.0, 3.0]], [[2.0, 2.0]]])).tolist() == [[[0, 1]], [[0, 0]]]


# --- testing


class Doubling(torch.nn.Module):
    """Answers with logits that grow with the map, and counts."""

    def __init__(self):
        super().__init__()
        self.backbone = SimpleNamespace(normalise=lambda x: torch.zeros(len(x), 3, *x.shape[1:3]))
        self.calls = []

    def forward(self, photos, maps):
        self.calls.append(maps.clone())
        return 2 * maps


def test_steps_feed_the_last_map_back_and_the_end_is_binary():
    photo, naive = np.zeros((64, 64, 3), np.uint8), np.linspace(0, 1, 64 * 64).reshape(64, 64).astype(np.float16)
    model = Doubling()
    made = enhanced_maps(model, photo, [naive, 0 * naive], config=Config(side=64, steps=3, threshold=0))
    assert len(model.calls) == 3 and made.shape == (2, 64, 64)
    low, top = torch.tensor(0.0).sigmoid(), torch.tensor(2.0).sigmoid()
    once = ((2 * model.calls[0][0]).sigmoid() - low) / (top - low)  # min-max normalised
    assert torch.allclose(model.calls[1][0], once, atol=1e-5)
    assert made[0].max() == 1 and made[0].min() == 0 and not made[1].any()  # a map of 0 stays one
    binary = enhanced_maps(Doubling(), photo, [naive], config=Config(side=64, steps=3, threshold=0.5))
    assert np.array_equal(binary[0], made[0] >= 0.5)
    many = enhanced_maps(Doubling(), photo, [naive] * 50, config=Config(side=64, steps=1, threshold=0))
    assert many.shape == (50, 64, 64) and np.array_equal(many[0], many[49])


# --- the stage


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("icn"))


def test_the_stage(inputs, tmp_path):
    """Targets are the discs and boxes; the maps come back one for one, with their classes; photos without one, too."""
    keys = LEARNERS["icn"].keys | {"backbone": "test_efficientnet", "weights": "none"}
    config = Config(
        **keys | {"matching": Matching(side=64, outline=3).model_dump(include=set(RANKING)), "top": 1, "side": 64}
    )
    maps, index = Maps.load(inputs.prm), Index.load(inputs.index)
    job = Job()
    made = icn.targets(inputs, config, job)["targets"]
    assert made.image_id == maps.image_id and made.category.tolist() == maps.category.tolist()
    assert [one.shape for one in map(made.map, range(4))] == [maps.map(k).shape for k in range(4)]
    assert job.numbers == {"maps": 4, "without_target": 0}
    files = SimpleNamespace(index=inputs.index, prm=inputs.prm, salient=inputs.proposals)
    salient = icn.targets(files, Config(**keys | {"target": "salient"}), Job())["targets"]
    for k in range(4):  # each photo's proposals are the object and the rest of it
        assert np.array_equal(made.map(k), salient.map(k)) and made.map(k).any()
    pairs = [(maps, made)]
    kept = taught(index, pairs)
    assert isinstance(kept, Shelf) and [i for i, _, _ in kept] == [0, 1, 2, 3]
    assert all(np.array_equal(one, maps.map(k)) and np.array_equal(to, made.map(k)) for k, one, to in kept)
    held = replace(
        index, train=np.array([True, True, False, True])
    )  # of a photo that is only measured nothing is learned
    assert [i for i, _, _ in taught(held, pairs)] == [0, 1, 3]
    weights = icn.train(inputs, config, Job(seed=1))["weights"]
    weights.save(tmp_path / "weights.pt")
    files = SimpleNamespace(index=inputs.index, prm=tmp_path / "prm.zarr.zip", weights=tmp_path / "weights.pt")
    fewer = MapsBuilder(np.float16)
    for k, name in enumerate(maps.image_id):
        fewer.add(name, SIZE, [] if k == 2 else [(c, m) for c, m in zip(*maps.of(k))])
    fewer.finish().save(files.prm)
    enhanced = icn.run(files, config, Job())["enhanced"]
    assert enhanced.image_id == index.image_id and np.diff(enhanced.first).tolist() == [1, 1, 0, 1]
    assert enhanced.data.dtype == np.float16 and set(np.unique(enhanced.data)) <= {0, 1}
    soft = icn.run(files, Config(**keys | {"threshold": 0, "side": 64}), Job())["enhanced"]
    assert len(np.unique(soft.data)) > 2 and soft.data.min() >= 0 and soft.data.max() <= 1


def test_nothing_to_learn_is_one_sentence(inputs, tmp_path):
    none = MapsBuilder(np.uint8)
    for name in Maps.load(inputs.prm).image_id:
        none.add(name, SIZE, [(3, np.zeros((6, 8)))])
    none.finish().save(tmp_path / "targets.zarr.zip")
    files = SimpleNamespace(index=inputs.index, prm=inputs.prm, targets=tmp_path / "targets.zarr.zip")
    with pytest.raises(UserError, match="icn: no peak response map has a target"):
        icn.train(files, Config(backbone="test_efficientnet", weights="none"), Job())


def test_the_targets_rank_as_the_answers_but_for_the_variant_s_own_keys():
    merged = {}
    for name in ("recipes", "config"):
        update_config(merged, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
    plan = Plan.load({**merged, "match": {"alpha": 0.5}, "show": ["icn", "icn_undivided"]})
    given, undivided = (plan.section("icn", name, "targets")["config"]["matching"] for name in ("default", "undivided"))
    assert given["alpha"] == undivided["alpha"] == 0.5
    assert given["rebalance"] and not undivided["rebalance"]
    with pytest.raises(ValueError, match="matching: side_by_side is none of"):
        Config(matching={"side_by_side": 1})
