"""The classifier: peak stimulation by hand, crops, learning from tags alone, mistakes in one sentence."""

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
from stages.classifier.model import build, peak_scores, restore
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


def test_photos_that_show_none_of_the_classes_are_learned_from_too(dataset):
    """The 8 training photos without a tag are negatives: all 24 photos count, biases start at 8 / 24."""
    index = Index.load(dataset.index)
    index.negative = index.train & (np.diff(index.tag_first) == 0)
    index.train &= ~index.negative
    index.save(dataset.index)
    assert Index.load(dataset.index).counts()["negative"] == 8
    weights, job = train(dataset, epochs=1, rate=1e-9)
    assert job.numbers["photos"] == 24
    bias = next(values for name, values in weights.tensors.items() if name.endswith("bias") and values.shape == (2,))
    assert bias.tolist() == pytest.approx([np.log(0.5)] * 2, abs=1e-3)


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
