"""proposals, `source: sam`: what becomes of its masks by hand, its own code with a small random network, mistakes."""

import sys
import types
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from proposals_squares import two_squares

import stages.proposals.config as section
from stages.proposals import predict, run, sam
from stages.proposals.config import Config
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.errors import UserError
from tag2mask.run.config import parse
from tag2mask.run.job import Job
from tag2mask.run.registry import alone, stages

KEYS = {"source": "sam", "weights": "sam.pth"}


@pytest.fixture
def there(monkeypatch):
    """As if the package were there."""
    monkeypatch.setattr(section, "find_spec", lambda name: name == "segment_anything")
    sam.placed.cache_clear()
    yield
    sam.placed.cache_clear()


@pytest.fixture
def generator(monkeypatch, there):
    """A package whose masks of any photo are four rectangles of 48 x 48, and how it was called."""
    called = {}

    class Generator:
        def __init__(self, model, **keys):
            called.update(keys)

        def generate(self, photo):
            called["seen"] = photo.shape[:2]

            def one(height, width, iou):
                mask = np.zeros((48, 48), bool)
                mask[:height, :width] = True
                runs = np.array(rle.to_counts(rle.encode(mask[None])[0])).tolist()
                return {"segmentation": {"size": [48, 48], "counts": runs}, "predicted_iou": iou}

            # the third is the first but for a row, the fourth too small
            return [one(20, 20, 0.9), one(10, 30, 0.95), one(19, 20, 0.99), one(3, 3, 1.0)]

    fake = types.ModuleType("segment_anything")
    fake.SamAutomaticMaskGenerator = Generator
    monkeypatch.setitem(sys.modules, "segment_anything", fake)
    monkeypatch.setattr(sam, "network", lambda path: torch.nn.Identity())
    return called


@pytest.fixture
def index(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        Image.fromarray(two_squares()[0]).save(tmp_path / f"{name}.png")
    Index.build(
        tmp_path, {1: "square"}, image_id=["a", "b"], path=["a.png", "b.png"], size=[(48, 48)] * 2, tags=[(1,)] * 2,
        train=[True, False], val=[False, True], shards=1,
    ).save(tmp_path / "index.zarr.zip")  # fmt: skip
    return types.SimpleNamespace(index=tmp_path / "index.zarr.zip")


def test_masks_by_predicted_iou_without_twins_and_small_ones(index, generator):
    config = parse(Config, {**KEYS, "min_area": 10, "count": 4, "sam_points": 8}, where="proposals")
    table = run(index, config, Job(shard=0))["proposals"]
    assert table.image_id == ["a"] and table.area.tolist() == [380, 300]  # 19 x 20 / 20 x 20 = 0.95 > 0.7
    assert table.score.tolist() == [1, 0.75] and (table.category == 0).all()
    assert generator == {
        "points_per_side": 8, "pred_iou_thresh": 0.88, "stability_score_thresh": 0.95, "box_nms_thresh": 0.7,
        "output_mode": "uncompressed_rle", "seen": (48, 48),
    }  # fmt: skip
    held_out = predict(index, config, Job())["held_out"]
    assert held_out.image_id == ["b"] and held_out.area.tolist() == [380, 300]
    rles, score = alone("proposals.proposals")(two_squares()[0], config.model_dump(mode="json"))
    assert rle.area(rles).tolist() == [380, 300] and score.tolist() == [1, 0.75]


def test_a_huge_photo_is_worked_on_at_a_bounded_side_and_its_masks_are_of_its_own(generator):
    config = parse(Config, {**KEYS, "min_area": 10, "max_side": 48}, where="proposals")
    rles, score = sam.proposer(config, device="cpu")(np.repeat(np.repeat(two_squares()[0], 3, 0), 3, 1))
    assert generator["seen"] == (48, 48) and len(score) == 2
    masks = rle.decode(rles, (144, 144))
    assert rle.area(rles).tolist() == [9 * 380, 9 * 300] and masks[1, :30, :90].all()


def test_the_table_says_what_they_rest_on_and_they_want_a_device(there):
    view = types.SimpleNamespace(config={"source": "sam"})
    assert stages()["proposals"].extras(view) == ["proposals of SAM (trained on 1.1 billion masks)"]
    plain = types.SimpleNamespace(config={"source": "hierarchy"})
    assert all(job.device(view) and not job.device(plain) for job in stages()["proposals"].jobs.values())
    assert stages()["proposals"].extras(plain) == []


def test_the_package_and_the_weights_are_asked_for_at_once(monkeypatch, tmp_path, there):
    with pytest.raises(UserError, match=r"proposals: source sam needs `weights`, a local file as sam_vit_b"):
        parse(Config, {"source": "sam"}, where="proposals")
    for source in ("sam", "hierarchy"):
        with pytest.raises(UserError, match=r"proposals: source sam needs `weights`, a local file"):
            parse(Config, {"source": source, "weights": "hub"}, where="proposals")
    monkeypatch.setattr(section, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="package segment-anything, which is not installed here; install it with `pip"):
        parse(Config, KEYS, where="proposals")


needs_package = pytest.mark.skipif(
    find_spec("segment_anything") is None, reason="the extra `sam` is not installed: pip install segment-anything==1.0"
)


@pytest.fixture
def small(monkeypatch):
    """The package's network with an image encoder 32 wide and one block deep, as a fourth kind; the rest is whole."""
    from segment_anything import sam_model_registry
    from segment_anything.build_sam import _build_sam

    build = partial(
        _build_sam, encoder_embed_dim=32, encoder_depth=1, encoder_num_heads=2, encoder_global_attn_indexes=[]
    )
    monkeypatch.setitem(sam_model_registry, "small", build)
    monkeypatch.setitem(sam.KINDS, 32, "small")
    sam.placed.cache_clear()
    torch.manual_seed(0)
    return build


@needs_package
def test_the_package_s_own_code_on_a_photo(small, tmp_path):
    path, photo = tmp_path / "sam.pth", two_squares()[0]
    model = small()
    torch.save(model.state_dict(), path)
    keys = {"weights": str(path), "sam_points": 1, "sam_iou": 0.0, "sam_stability": 0.0, "sam_box_nms": 1.0}
    found = sam.network(path)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in found.state_dict().items())
    config = parse(Config, {"source": "sam", "min_area": 1, "nms_iou": 1.0, **keys}, where="proposals")
    rles, score = sam.proposer(config, device="cpu")(photo)
    assert 0 < len(rles) <= 3 and len(score) == len(rles) and score[0] == 1
    assert rle.decode(rles, (48, 48)).shape == (len(rles), 48, 48)
    none = parse(Config, {"source": "sam", **keys, "sam_stability": 1.0, "min_area": 2500}, where="proposals")
    assert sam.proposer(none, device="cpu")(photo)[0] == []


@needs_package
def test_a_file_that_is_not_sam_s_is_one_sentence(small, tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=r"proposals.weights, .*vgg.pth, are not SAM's: name sam_vit_b"):
        sam.network(tmp_path / "vgg.pth")
    state = small().state_dict()
    del state["mask_decoder.mask_tokens.weight"]
    torch.save(state, tmp_path / "half.pth")
    with pytest.raises(UserError, match=r"half.pth are not those of .*SAM small.*no tensor mask_decoder.mask_tokens"):
        sam.network(tmp_path / "half.pth")
