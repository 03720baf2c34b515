"""The classifier: PAM and peak stimulation by hand, crops, learning from tags alone, mistakes in one sentence."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from PIL import Image

from stages import classifier
from stages.classifier.config import Config
from stages.classifier.learn import mean_average_precision, optimiser_of, rate_of
from stages.classifier.model import PeakAttention, build, peak_scores, restore, sides_of
from tag2mask.data.index import Index
from tag2mask.errors import UserError
from tag2mask.learn import crops
from tag2mask.run.config import parse
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights

META = {
    "backbone": "test_efficientnet", "classes": [2, 5, 9], "head": "plain", "alpha": 0.7, "pam_layers": 2,
    "pam_context": None, "pam_channels": 8, "enlarge": 8, "output_stride": 16, "dilate": True, "last_conv": False,
    "frozen_norm": True, "size": 64,
}  # fmt: skip
TINY = {
    "backbone": "test_efficientnet", "weights": "none", "size": 32, "frozen_norm": False, "last_conv": False,
    "batch": 6, "optimiser": "adamw", "rate": 0.003, "rate_new": 1, "schedule": "one_cycle", "checkpoint_every": 4,
    "pam_channels": 8, "jitter": 0, "epochs": 2,
}  # fmt: skip


def test_pam_zeroes_what_is_below_alpha_times_the_maximum():
    x = torch.tensor([[[[10.0, 7.0], [6.9, 0.0]], [[2.0, 1.3], [1.4, 1.5]]]])  # tau = 7 and 1.4
    wanted = torch.tensor([[[[10.0, 7.0], [0.0, 0.0]], [[2.0, 0.0], [1.4, 1.5]]]])
    assert torch.equal(PeakAttention(0.7)(x), wanted)
    assert torch.equal(PeakAttention(0.0)(x), x)  # alpha 0: nothing is below the boundary
    even = torch.tensor([[[[8.0, 4.0, 3.9]]]])
    assert PeakAttention(0.5)(even).tolist() == [[[[8, 4, 0]]]]  # a value at the boundary stays (Fig. 4: "lower than")
    assert torch.equal(PeakAttention(1.0)(x), torch.where(x == x.amax((2, 3), keepdim=True), x, 0.0))


def test_pam_looks_at_each_photo_of_a_batch_and_passes_no_gradient_to_noise():
    x = torch.tensor([[[[10.0, 7.5, 1.0]]], [[[1.0, 0.75, 0.1]]]], requires_grad=True)
    y = PeakAttention(0.7)(x)
    assert y.flatten().tolist() == [10.0, 7.5, 0.0, 1.0, 0.75, 0.0]
    y.sum().backward()
    assert x.grad.flatten().tolist() == [1, 1, 0, 1, 1, 0]


def test_pam_of_nothing_is_nothing():
    assert torch.equal(PeakAttention(0.7)(torch.zeros(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3))


@pytest.mark.parametrize("head", ["plain", "pam"])
def test_logits_are_the_means_of_the_maps_plus_biases(head):
    model = build(META | {"head": head}).eval()
    model.start_at([0.5, 0.25, 0.0])
    assert model.bias.tolist() == pytest.approx([0, np.log(1 / 3), np.log(0.001 / 0.999)])
    with torch.no_grad():
        logits, maps = model(torch.rand(2, 3, 64, 48))
    assert maps.shape == (2, 3, 4, 3) and model.stride == 16
    assert torch.allclose(logits, maps.mean((2, 3)) + model.bias)


def stimulated(values):
    """The score of one map, and the gradient that each place gets of it."""
    maps = torch.tensor(values, dtype=torch.float32)[None, None].requires_grad_()
    score = peak_scores(maps)
    score.sum().backward()
    return score.item(), maps.grad[0, 0].tolist()


def test_prm_s_score_is_the_mean_over_the_peaks_by_hand():
    """Peaks 5 and 3, median 1: (5 + 3) / 2, half of the gradient each. Of a 6, 2, 8 in a row above a median of 5, the 2
    is below it, and in its place a 5 is not above it."""
    score, gradient = stimulated([[1, 2, 1, 0], [2, 5, 2, 0], [1, 2, 1, 3], [0, 0, 0, 1]])
    assert score == 4
    assert gradient == [[0, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0, 0.5], [0, 0, 0, 0]]
    assert stimulated([[6, 5, 1, 2, 1, 5, 8]]) == (7, [[0.5, 0, 0, 0, 0, 0, 0.5]])
    assert stimulated([[6, 5, 1, 5, 1, 5, 8]]) == (7, [[0.5, 0, 0, 0, 0, 0, 0.5]])
    assert stimulated([[-4, -5, -9, -8, -9, -5, -2]])[0] == -3  # any sign


def test_a_plateau_counts_once_and_a_map_without_a_peak_has_its_mean():
    assert stimulated([[4, 4, 0, 0, 0, 2]]) == (3, [[0.5, 0, 0, 0, 0, 0.5]])
    assert stimulated([[2.5, 2.5], [2.5, 2.5]]) == (2.5, [[0.25, 0.25], [0.25, 0.25]])
    assert stimulated([[8, 8, 8, 0]]) == (6, [[0.25] * 4])  # the median is the maximum
    assert stimulated([[7]]) == (7, [[1]])


def test_every_map_of_a_batch_has_its_own_peaks_and_median():
    rows = torch.tensor([[6.0, 5, 1, 2, 1, 5, 8], [0, 0, 0, 0, 0, 0, 9], [3, 3, 3, 3, 3, 3, 3]])
    maps = torch.stack([rows, 10 * rows.flip(0)])[:, :, None]  # (2, 3, 1, 7)
    for given in (maps, maps.contiguous(memory_format=torch.channels_last)):
        assert peak_scores(given).tolist() == [[7, 9, 3], [30, 90, 70]]


def test_maps_are_enlarged_with_their_corners_aligned():
    """2 x 2 cells become 16 x 16 with 15 steps from corner to corner: 30 downwards, 15 to the right."""
    model = build(META | {"head": "prm"})
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    large = model.enlarged(torch.tensor([[[[0.0, 15], [30, 45]]]]))
    assert torch.allclose(large, (2 * y + x)[None, None], atol=1e-5)
    assert model.enlarged(torch.ones(1, 2, 1, 3)).shape == (1, 2, 8, 24)


def test_prm_logits_are_the_means_over_the_peaks_of_the_enlarged_maps_plus_biases():
    model = build(META | {"head": "prm", "enlarge": 2}).eval()
    x = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    model.start_at([0.5, 0.25, 0.1])
    with torch.no_grad():
        first, maps = model(x)
        assert not maps.any() and torch.equal(first, model.bias.expand(2, 3))  # the frequencies, exactly
        torch.nn.init.normal_(model.score.weight)
        logits, maps = model(x)
    assert maps.shape == (2, 3, 6, 4)
    large = torch.nn.functional.interpolate(maps, (12, 8), mode="bilinear", align_corners=True).numpy()
    for i, k in np.ndindex(2, 3):
        values = large[i, k]
        peaks = [
            value
            for (r, c), value in np.ndenumerate(values)
            if value == values[max(0, r - 1) : r + 2, max(0, c - 1) : c + 2].max() and value > np.median(values)
        ]
        assert len(peaks) > 0 and logits[i, k].item() == pytest.approx(np.mean(peaks) + model.bias[k].item(), abs=1e-4)


def test_the_variant_prm_is_prm_s_schedule():
    """SGD 0.01 for all, momentum 0.9, decay 1e-4, 20 epochs of 16, 448 pixels, stride 32, whole photos mirrored."""
    config = Config(**yaml.safe_load((ROOT / "config/recipes.yaml").read_text())["variants"]["classifier"]["prm"])
    groups = optimiser_of(build(META | {"head": "prm"}), config).param_groups
    assert {(g["lr"], g["momentum"]) for g in groups} == {(0.01, 0.9)}
    assert {g["weight_decay"] for g in groups} == {1e-4, 0}  # ours: biases do not decay
    rate = rate_of(config, 200, 160)
    assert {rate(t) for t in range(200)} == {1}
    assert (config.epochs, config.batch, config.size, config.output_stride) == (20, 16, 448, 32)
    assert (config.head, config.enlarge, config.frozen_norm) == ("prm", 8, False)
    photo = np.random.default_rng(0).integers(0, 256, (30, 50, 3)).astype(np.uint8)
    how = {"area": config.crop_area, "aspect": config.crop_aspect, "flip": config.flip, "jitter": config.jitter}
    shown = [crops.augment(photo, np.random.default_rng(s), size=40, **how) for s in range(8)]
    whole = crops.resize(photo, (40, 40))
    mirrored = [np.array_equal(one, whole[:, ::-1]) for one in shown]
    assert 0 < sum(mirrored) < 8
    assert all(m or np.array_equal(one, whole) for m, one in zip(mirrored, shown))


def test_the_variant_icn_is_icn_s_schedule():
    """Adam 1e-4, a tenth after 10 of 20 epochs; the rest as PRM's."""
    variants = yaml.safe_load((ROOT / "config/recipes.yaml").read_text())["variants"]["classifier"]
    config = Config(**variants["icn"])
    optimiser = optimiser_of(build(META | {"head": "prm"}), config)
    assert type(optimiser) is torch.optim.Adam and {g["lr"] for g in optimiser.param_groups} == {1e-4}
    rate = rate_of(config, 200, 160)  # 10 iterations an epoch
    assert rate(99) == 1 and rate(100) == rate(199) == pytest.approx(0.1)
    prm = Config(**variants["prm"])
    differing = {key for key in Config.model_fields if getattr(config, key) != getattr(prm, key)}
    assert differing == {"optimiser", "rate", "weight_decay", "drops"}


def test_pam_head_has_convolutions_relu_and_pam_in_this_order():
    names = [type(m).__name__ for m in build(META | {"head": "pam"}).blocks]
    assert names == ["Conv2d", "ReLU", "PeakAttention"] * 2
    assert len(build(META).blocks) == 0


@pytest.mark.parametrize(
    ("context", "stride", "sides"),
    [
        (None, 32, [3, 3, 3]),  # 192 px
        (48, 8, [3, 3, 3]),  # BESTIE's
        (48, 16, [3, 1, 1]),  # 32 px: two would see 64
        (64, 16, [3, 3, 1]),
        (48, 32, [1, 1, 1]),
        (1000, 16, [3, 3, 3]),
    ],
)
def test_the_context_of_pam_by_hand(context, stride, sides):
    assert sides_of(3, context, stride=stride) == sides


@pytest.mark.parametrize("finer", [1, 2])
def test_no_cell_of_pam_s_maps_sees_beyond_its_context(finer):
    """At stride 32 a context of 64 px is one cell each way, at 16 by dilation two; the middle of 15 x 15 cells."""
    meta = META | {"head": "pam", "alpha": 0.0, "output_stride": 32, "stride": 32, "pam_context": 64}
    model = build(meta, output_stride=32 // finer)
    for block in model.blocks:
        if isinstance(block, torch.nn.Conv2d):
            torch.nn.init.uniform_(block.weight, 0.1, 1)
    x = torch.rand(1, model.backbone.channels[-1], 15, 15, requires_grad=True)
    given = model.blocks(x)
    given[0, :, 7, 7].sum().backward()
    seen = x.grad[0].abs().sum(0).nonzero()
    assert given.shape[2:] == (15, 15) and seen.min() == 7 - finer and seen.max() == 7 + finer and len(seen) == 9


def test_bestie_s_vgg_form_by_hand():
    """VGG-16's 13 convolutions, three pools at stride 2, the fourth 3x3 at stride 1 and conv5 dilated by 2 (maps of
    stride 8); three 3x3 convolutions with ReLU and PAM, one 1x1, the mean: with random weights, layer by layer."""
    meta = META | {"backbone": "vgg16", "head": "pam", "pam_layers": 3, "pam_channels": 16, "output_stride": 8}
    torch.manual_seed(0)
    model = build(meta).eval().double()
    for block in model.blocks:
        if isinstance(block, torch.nn.Conv2d):
            torch.nn.init.normal_(block.weight, std=0.05)
    model.bias.data = torch.tensor([0.5, 0, -1], dtype=torch.float64)
    state, conv = model.state_dict(), torch.nn.functional.conv2d
    x = first = torch.randn(2, 3, 32, 40, dtype=torch.float64)
    layers = iter([k for k in state if k.startswith("backbone.net.") and k.endswith("weight")])
    for block, count in enumerate((2, 2, 3, 3, 3)):
        wide = 2 if block == 4 else 1
        for _ in range(count):
            key = next(layers)
            x = conv(x, state[key], state[key.replace("weight", "bias")], padding=wide, dilation=wide).clamp(min=0)
        if block < 3:
            x = torch.nn.functional.max_pool2d(x, 2)
        elif block == 3:
            x = torch.nn.functional.max_pool2d(x, 3, stride=1, padding=1)
    assert x.shape == (2, 512, 4, 5) and next(layers, None) is None
    for k in (0, 3, 6):
        x = conv(x, state[f"blocks.{k}.weight"], state[f"blocks.{k}.bias"], padding=1).clamp(min=0)
        top = x.flatten(2).max(2).values[:, :, None, None]
        assert ((x > 0) & (x < 0.7 * top)).any()  # PAM has something to do
        x = x * (x >= 0.7 * top)
    maps = torch.einsum("bchw,kc->bkhw", x, state["score.weight"][:, :, 0, 0])
    with torch.no_grad():
        found, given = model(first)
    assert model.stride == 8 and given.shape == (2, 3, 4, 5)
    assert torch.allclose(given, maps) and torch.allclose(found, maps.mean((2, 3)) + model.bias)


def test_the_pam_head_starts_with_all_of_the_backbones_features():
    wide, widths = build(META).backbone.channels[-1], {}
    x = torch.rand(1, wide, 5, 4)
    for width in (8, wide, wide + 1):
        model = build(META | {"head": "pam", "alpha": 0.0, "pam_channels": width}).eval()
        widths[width] = model.blocks(x)  # alpha 0 lets everything pass
    parts = [x[:, c::8].mean(1) for c in range(8)]
    assert torch.allclose(widths[8], torch.stack(parts, 1))
    assert torch.equal(widths[wide], x)
    assert torch.equal(widths[wide + 1], torch.cat([x, x[:, :1]], 1))


def test_a_finer_stride_of_the_same_weights_passes_through_the_coarser_maps():
    coarse = build(META | {"output_stride": 32, "stride": 32, "head": "pam", "alpha": 0.0}).eval()
    fine = build(
        coarse_meta := META | {"output_stride": 32, "stride": 32, "head": "pam", "alpha": 0.0}, output_stride=16
    )
    assert coarse_meta["output_stride"] == 32
    fine.load_state_dict(coarse.state_dict())
    x = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = coarse.train()(x)[1], fine.train()(x)[1]  # in evaluation mode cells are moved to their place
    assert b.shape[2] == 2 * a.shape[2]
    assert torch.allclose(a, b[:, :, ::2, ::2], atol=1e-5)


def tail_of(model):
    return model.backbone.tail[0].weight


def test_defaults_are_bestie_s_schedule():
    groups = optimiser_of(build(META), Config()).param_groups
    assert [(g["lr"], g["weight_decay"], g["momentum"]) for g in groups] == [
        (0.001, 0.0005, 0.9), (0.001, 0.0, 0.9), (0.01, 0.0005, 0.9), (0.01, 0.0, 0.9),
    ]  # fmt: skip
    model = build(META | {"backbone": "efficientnet_lite0", "last_conv": True})
    (tail,) = [g["lr"] for g in optimiser_of(model, Config()).param_groups for p in g["params"] if p is tail_of(model)]
    assert tail == 0.01  # the backbone's last convolution learns as the head does
    rate = rate_of(Config(), 150, 160)  # 10 iterations an epoch of 160 photos
    assert [rate(t) for t in (0, 49, 50, 99, 100, 149)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_mean_average_precision_by_hand():
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.5], [0.7, 0.3, 0.5], [0.6, 0.4, 0.5]])
    truth = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]])
    # class 0: hits at ranks 1 and 3: (1 + 2/3) / 2; class 1: hit at rank 4: 1/4; class 2 does not occur
    assert mean_average_precision(scores, truth) == pytest.approx((5 / 6 + 1 / 4) / 2)


@pytest.fixture
def dataset(tmp_path):
    """24 training and 8 validation photos of 40 x 48: class 3 has a bright square, class 7 a striped one."""
    rng, names, tags = np.random.default_rng(0), [], []
    for k in range(32):
        photo = rng.integers(60, 100, (40, 48, 3)).astype(np.uint8)
        kind = k % 3
        y, x = rng.integers(2, 18, 2)
        if kind == 0:
            photo[y : y + 20, x : x + 20] = 220
        elif kind == 1:
            photo[y : y + 20 : 4, x : x + 20] = photo[y + 1 : y + 20 : 4, x : x + 20] = 0
        names.append(f"{k:03d}.png")
        Image.fromarray(photo).save(tmp_path / names[-1])
        tags.append([(3,), (7,), ()][kind])
    index = Index.build(
        tmp_path, {3: "square", 7: "stripes"}, image_id=names, path=names, size=[(40, 48)] * 32, tags=tags,
        train=np.arange(32) < 24, val=np.arange(32) >= 24, shards=2,
    )  # fmt: skip
    index.save(tmp_path / "index.zarr.zip")
    return SimpleNamespace(index=tmp_path / "index.zarr.zip")


def train(dataset, job=None, **keys):
    job = job or Job(seed=3)
    return classifier.train(dataset, Config(**TINY | keys), job)["weights"], job


def test_it_learns_from_tags_and_its_weights_are_all_that_is_needed(dataset, tmp_path):
    weights, job = train(dataset, epochs=18)
    assert job.numbers["tag_map"] > 0.9 > 0.5 > job.numbers["tag_chance"]
    assert job.numbers["iterations"] == 72 and job.numbers["photos"] == 24 and 0 < job.numbers["loss"] < 0.4
    assert weights.meta["classes"] == [3, 7] and weights.meta["names"] == ["square", "stripes"]
    weights.save(tmp_path / "w.pt")
    model = restore(Weights(weights.meta, weights.tensors))
    assert not model.training and model.stride == weights.meta["stride"] == 16
    assert model.backbone.mean == tuple(weights.meta["mean"])


def test_no_training_photos_is_one_sentence(tmp_path):
    Index.build(tmp_path, {1: "a"}, image_id=[], path=[], size=[], tags=[], train=[]).save(tmp_path / "i.zarr.zip")
    with pytest.raises(UserError, match="train holds no photo"):
        train(SimpleNamespace(index=tmp_path / "i.zarr.zip"))


@pytest.mark.parametrize(
    "keys, sentence",
    [
        ({"head": "cam"}, "classifier.head"),
        ({"crop_area": (0.9, 0.5)}, "least <= most"),
        ({"alpha": 1.5}, "classifier.alpha"),
        ({"learning_rate": 1}, "learning_rate is not a known key"),
    ],
)
def test_wrong_keys_are_one_sentence(keys, sentence):
    with pytest.raises(UserError, match=sentence):
        parse(Config, keys, where="classifier")
