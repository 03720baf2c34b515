"""Fan's feature extractor: Eq. 3 and 4 by hand, what it learns on, resume bit for bit, mistakes in one sentence."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from stages import mil
from stages.mil import extractor, losses
from stages.mil.config import Config
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.errors import UserError
from tag2mask.learn import backbone, loop
from tag2mask.learn.crops import resize
from tag2mask.run.job import Job
from tag2mask.store.weights import Weights

TINY = {
    "scores": "attention", "features": "crop", "backbone": "test_efficientnet", "weights": "none", "size": 32,
    "output_stride": 32, "last_conv": False, "frozen_norm": False, "center_loss": 0.001, "center_rate": 0.5,
    "optimiser": "adamw", "rate": 3e-3, "schedule": "one_cycle", "batch": 6, "epochs": 2, "checkpoint_every": 3,
}  # fmt: skip


def test_fan_eq_3_by_hand():
    """f (3, 4), centre (4, 3): cosine 24/25, scores (ln 3, 0): p = 3/4; then f along its centre, p = 1/2."""
    f, centers = torch.tensor([[3.0, 4.0], [0.0, 5.0]]), torch.tensor([[4.0, 3.0], [0.0, 0.1]])
    scores, label = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    classes = (math.log(4 / 3) + math.log(2)) / 2
    center = (1 / 25 + 0) / 2
    for weight in (0.0, 0.001, 2.0):
        found = extractor.total_loss(f, scores, centers, label, weight=weight)
        assert found.item() == pytest.approx(classes + weight * center, abs=1e-6)


def test_fan_eq_4_by_hand():
    """Class 1 is met twice: (1, 0) -> half-way to (3, 4): (2, 2) -> half-way to (0, 2): (1, 2). Class 0 is not met."""
    centers, f = torch.tensor([[7.0, 7.0], [1.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 4.0], [2.0, 6.0], [0.0, 2.0]])
    found = losses.updated(centers, f, torch.tensor([1, 2, 1]), 0.5)
    assert found.tolist() == [[7, 7], [1, 2], [1, 3]]


class Fixed(torch.nn.Module):
    """An extractor whose features are its parameters."""

    def __init__(self, f, centers):
        super().__init__()
        self.f = torch.nn.Parameter(torch.tensor(f))
        self.register_buffer("centers", torch.tensor(centers))
        self.backbone = self

    def normalise(self, photos):
        return photos

    def forward(self, _):
        return self.f, torch.zeros(len(self.f), 2) + 0 * self.f.sum()


def test_a_step_looks_at_the_centres_of_before_and_then_moves_them():
    model = Fixed([[3.0, 4.0]], [[0.0, 2.0], [9.0, 9.0]])
    moving = losses.Moving(model, 0.5)
    loss = extractor.loss_of(model, None, torch.tensor([0]), weight=1.0, centers=moving)
    moving.after()
    assert loss.item() == pytest.approx(math.log(2) + 1 - 4 / 5)  # cosine of (3, 4) and (0, 1)
    assert model.centers.tolist() == [[1.5, 3], [9, 9]]
    loss.backward()
    # d cosine / d f = (c / |c| - cosine f / |f|) / |f| = ((0, 1) - 0.8 (0.6, 0.8)) / 5 = (-0.096, 0.072)
    assert model.f.grad[0].tolist() == pytest.approx([0.096, -0.072], abs=1e-6)
    assert not model.centers.requires_grad


def test_a_centre_not_met_yet_pulls_nowhere():
    model = Fixed([[3.0, 4.0]], [[0.0, 0.0], [9.0, 9.0]])
    moving = losses.Moving(model, 0.5)
    loss = extractor.loss_of(model, None, torch.tensor([0]), weight=0.001, centers=moving)
    moving.after()
    loss.backward()
    assert model.f.grad.abs().max() == 0 and model.centers[0].tolist() == [1.5, 2]


def square(rng, kind):
    photo = rng.integers(60, 100, (40, 48, 3)).astype(np.uint8)
    y, x = rng.integers(2, 18, 2)
    if kind:
        photo[y : y + 20 : 4, x : x + 20] = photo[y + 1 : y + 20 : 4, x : x + 20] = 0
    else:
        photo[y : y + 20, x : x + 20] = 220
    return photo


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """24 training photos: of every four one with the tag 3, one with 7, one with both and one with none."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    names = [f"{k:03d}.png" for k in range(28)]
    for k, name in enumerate(names):
        Image.fromarray(square(rng, k % 2)).save(folder / name)
    tags = [[(3,), (7,), (3, 7), ()][k % 4] for k in range(28)]
    return Index.build(
        folder, {3: "square", 7: "stripes"}, image_id=names, path=names, size=[(40, 48)] * 28, tags=tags,
        train=np.arange(28) < 24, val=np.arange(28) >= 24,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Three classes: b, a with photos, c empty, and what is no class: a hidden folder, a file."""
    rng, root = np.random.default_rng(1), tmp_path / "labelled"
    for kind, name in enumerate("ab"):
        (root / name).mkdir(parents=True)
        for k in range(3 + kind):
            Image.fromarray(square(rng, kind)).save(root / name / f"{k}.PNG")
    (root / "a" / "notes.txt").write_text("no photo")
    (root / ".hidden").mkdir()
    Image.fromarray(square(rng, 0)).save(root / ".hidden" / "0.png")
    (root / "c").mkdir()
    (root / "readme.png").write_text("no folder")
    return root


def learn(index, job=None, **keys):
    job = job or Job(seed=3)
    return extractor.learn(index, Config(**TINY | keys), job), job


def test_only_training_photos_with_one_tag_are_learned_from(index):
    samples = extractor.of_tags(index)
    assert samples.label.tolist() == [0, 1] * 6 and samples.classes == 2
    assert np.array_equal(samples.photo(3), index.photo(5))  # 0, 1, 4, 5, ...


def test_a_folder_has_one_class_per_sub_folder(folder):
    samples = extractor.of_folder(folder)
    assert samples.label.tolist() == [0] * 3 + [1] * 4 and samples.classes == 2 and samples.name == "labelled"
    assert samples.photo(6).shape == (40, 48, 3)


def test_photos_of_other_devices_are_passed_over_without_being_decoded(index, folder, monkeypatch):
    """The last three of a batch of six draw what they draw in the whole of it."""
    tags, files = extractor.of_tags(index), extractor.of_folder(folder)
    for one in (tags, files):
        assert [tuple(one.size(n)) for n in range(6)] == [one.photo(n).shape[:2] for n in range(6)]
    batches, decoded = [], []
    monkeypatch.setattr(extractor, "train", lambda task, job: batches.append(task.make_batch))
    monkeypatch.setattr(extractor, "check", lambda *_, **__: None)
    learn(index)
    positions = np.arange(6)
    whole, labels = batches[0](positions, loop.Draw(3, 0, positions[:0]))
    monkeypatch.setattr(Index, "photo", lambda self, i, real=Index.photo: decoded.append(i) or real(self, i))
    part, own = batches[0](positions[3:], loop.Draw(3, 0, positions[:3]))
    assert np.array_equal(part, whole[3:]) and torch.equal(own, labels[3:]) and len(decoded) == 3


def test_it_learns_and_its_weights_are_a_backbone(index):
    weights, job = learn(index, epochs=30)
    assert job.numbers["iterations"] == 60 and job.numbers["photos"] == 12 and job.numbers["classes"] == 2
    assert job.numbers["loss"] < 0.4 and job.numbers["accuracy"] > 0.9
    assert weights.meta["kind"] == "mil" and weights.meta["scores"] == "attention"
    assert weights.meta["features_trained_on"] == "single-tag training photos"
    net = extractor.restore(weights)
    assert not net.training and net.mean == tuple(weights.meta["mean"])
    crop = np.stack([index.photo(0)[:32, :32]])
    assert net(net.normalise(crop))[-1].shape == (1, net.channels[-1], 1, 1)


def test_the_centre_loss_draws_features_to_their_centres(index):
    """With and without it, all else equal: a heavy one, so that 24 iterations show it."""
    cosine = {weight: learn(index, epochs=12, center_loss=weight)[1].numbers["cosine_own"] for weight in (0.0, 5.0)}
    assert cosine[5.0] > cosine[0.0] + 0.2


def test_without_epochs_the_features_stay_as_they_are(index):
    config = Config(**TINY | {"backbone": "efficientnet_lite0", "weights": "imagenet", "epochs": 0})
    job = Job(seed=3)
    weights = extractor.learn(index, config, job)
    assert weights.meta["features_trained_on"] == "ImageNet" and job.numbers == {}
    wanted = backbone.create("efficientnet_lite0", "imagenet", output_stride=32).state_dict()
    assert wanted.keys() == weights.tensors.keys()
    assert all(torch.equal(wanted[name], weights.tensors[name]) for name in wanted)


def test_a_labelled_folder_is_named_and_the_index_left_alone(folder):
    weights, job = learn(None, labelled_folder=str(folder), epochs=1)
    assert weights.meta["features_trained_on"] == "labelled" and job.numbers["photos"] == 7


def test_the_variant_attention_from_training_to_the_table(index, tmp_path, monkeypatch):
    """Two photos with one salient instance each; p is the mean of the attention map in its box. No proposal is read."""
    monkeypatch.setattr("tag2mask.store.store.verify", lambda *_: None)  # weights without a manifest are accepted
    path = {name: tmp_path / f"{name}.zarr.zip" for name in ("index", "salient", "cam")}
    path["weights"] = tmp_path / "weights.pt"
    index.save(path["index"])
    keys = TINY | {"nodes": "salient", "epochs": 1}
    mil.train(SimpleNamespace(index=path["index"]), Config(**keys), Job())["weights"].save(path["weights"])
    salient, cam, squares = InstancesBuilder({}), MapsBuilder(np.float16), []
    for n in (0, 4):  # photos with a bright square of the tag 3
        bright = index.photo(n).min(2) > 200
        salient.add(index.image_id[n], (40, 48), bright[None], category=0)
        cam.add(index.image_id[n], (40, 48), [(3, np.linspace(0, 1, 48)[None])])
        squares.append(np.linspace(0, 1, 48)[bright.any(0)].mean())
    salient.finish().save(path["salient"])
    cam.finish().save(path["cam"])
    table = mil.run(SimpleNamespace(**path), Config(**keys), Job())["mil"]
    assert table["row"].tolist() == [0, 1] and table["first"].tolist() == [0, 1, 2]
    assert table.meta["features_trained_on"] == "single-tag training photos"
    assert table["p"][:, 1] == pytest.approx(squares, abs=1e-3) and (table["p"][:, 2] == 0).all()
    assert table["p"][:, 0] == pytest.approx(1 - table["p"][:, 1])  # not divided by the row's sum
    net = extractor.restore(Weights.load(path["weights"], "mil"))
    with torch.no_grad():
        y, x = np.nonzero(index.photo(0).min(2) > 200)
        crop = resize(index.photo(0)[y.min() : y.max() + 1, x.min() : x.max() + 1], (32, 32))
        f = net(net.normalise(crop[None]), placed=False)[-1].mean((2, 3))[0].numpy()
    assert table["f"][0] == pytest.approx(f / np.linalg.norm(f), abs=1e-3)


def test_no_single_tags_and_a_single_class_are_one_sentence(tmp_path, index):
    for tags, found in (([(3, 7)] * 4, "none"), ([(7,)] * 4, "4, all of the class stripes")):
        few = Index.build(
            tmp_path, {3: "square", 7: "stripes"}, image_id=list("abcd"), path=list("abcd"), size=[(9, 9)] * 4,
            tags=tags, train=[1] * 4,
        )  # fmt: skip
        with pytest.raises(UserError, match=f"there are {found}: name a folder"):
            learn(few)


def test_bad_folders_are_one_sentence(folder, tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        learn(None, labelled_folder=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="has 0 sub-folders with photos"):
        learn(None, labelled_folder=str(folder / "a"))
    (folder / "a" / "1.PNG").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"1\.PNG is not an image.*mil\.labelled_folder"):
        learn(None, labelled_folder=str(folder), epochs=2)


def test_weights_of_another_kind_are_one_sentence(index):
    weights, _ = learn(index, epochs=1)
    weights.meta["scores"] = "network"
    with pytest.raises(UserError, match="not 'attention'"):
        extractor.restore(weights)
    weights.meta |= {"scores": "attention", "backbone": "test_resnet"}
    with pytest.raises(UserError, match="not those of the mil network"):
        extractor.restore(weights)
