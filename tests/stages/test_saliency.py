"""Saliency without learning: synthetic photos, border connectivity by hand; the choice of salient instances."""

import inspect
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stages.mil.config import Config
from stages.mil.infer import infer
from stages.mil.select import chosen
from stages.proposals import run as propose
from stages.proposals.config import Config as Proposals
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.saliency import around, border_connectivity, optimised, saliency_map, salient
from tag2mask.data.spans import Spans
from tag2mask.errors import UserError
from tag2mask.run.job import Job


def photo_of(masks, colours, *, size=(120, 160), ground=(90, 120, 80), noise=6):
    photo = np.full((*size, 3), ground, float)
    for mask, colour in zip(masks, colours):
        photo[mask] = colour
    return np.clip(photo + np.random.default_rng(0).normal(0, noise, photo.shape), 0, 255).astype(np.uint8)


def box(y, x, height, width, *, size=(120, 160)):
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def disc(y, x, radius, *, size=(120, 160)):
    yy, xx = np.mgrid[: size[0], : size[1]]
    return (yy - y) ** 2 + (xx - x) ** 2 <= radius**2


def test_an_object_on_a_plain_ground_stands_out():
    mask = disc(60, 90, 28)
    found = saliency_map(photo_of([mask], [(200, 60, 40)]))
    assert found.shape == (120, 160) and found.dtype == np.float32 and found.min() == 0 and found.max() == 1
    assert found[disc(60, 90, 24)].min() > 0.7 and found[~disc(60, 90, 34)].max() < 0.3


def test_an_object_at_the_border_stands_out_and_a_band_along_it_does_not():
    """Both touch the border: the disc with little of its outline, the band, of equal contrast, with most of its own."""
    mask, band = disc(60, 20, 28), box(0, 0, 18, 160)
    found = saliency_map(photo_of([mask, band], [(200, 60, 40), (60, 90, 160)]))
    assert found[disc(60, 20, 22)].mean() > 0.7 > 0.55 > found[band].mean()


def test_the_map_of_one_colour_is_empty_and_that_of_any_size_exists():
    assert not saliency_map(np.full((50, 70, 3), 128, np.uint8)).any()
    rng = np.random.default_rng(1)
    for size in ((2, 2), (2, 900), (3, 5), (40, 40), (700, 9)):
        found = saliency_map(rng.integers(0, 256, (*size, 3)).astype(np.uint8))
        assert found.shape == size and np.isfinite(found).all() and 0 <= found.min() <= found.max() <= 1


def test_the_map_is_the_same_twice():
    photo = photo_of([disc(50, 60, 20), box(80, 90, 30, 50)], [(200, 60, 40), (240, 240, 230)], noise=20)
    assert saliency_map(photo).tobytes() == saliency_map(photo.copy()).tobytes()


def test_border_connectivity_by_hand():
    """A chain 0-1-2-3; 0 and 1 of one colour and on the border, 2 and 3 of another, far away, and inside.

    Neighbours differ by 0, 30, 0; the closest neighbour of every vertex by 0: nothing is clipped. Within a colour all
    distances are 0, so 0 and 1 have area 2 and length 2: 2 / sqrt(2); 2 and 3 area 2 and length 0. exp(-30^2 / 200) =
    0.0111 of the other pair is added: area 2.0222, lengths 2 and 0.0222.
    """
    apart = np.array([[0, 0, 30, 30], [0, 0, 30, 30], [30, 30, 0, 0], [30, 30, 0, 0]], float)
    edges, border = np.array([[0, 1], [1, 2], [2, 3]]), np.array([True, True, False, False])
    found = border_connectivity(apart, edges, border, sigma=10)
    other, area = 2 * np.exp(-4.5), 2 + 2 * np.exp(-4.5)
    assert found == pytest.approx(np.array([2, 2, other, other]) / area**0.5, abs=1e-6)


def test_border_pieces_of_one_colour_are_one_region():
    """0 and 2 on the border, of one colour, parted by 1 of another: an edge of cost 0 joins them, length 2, area 2."""
    apart = np.array([[0, 40, 0], [40, 0, 40], [0, 40, 0]], float)
    # the closest neighbours differ by 40 each: so much is taken off every step, and all are at distance 0
    found = border_connectivity(apart, np.array([[0, 1], [1, 2]]), np.array([True, False, True]), sigma=10)
    assert found == pytest.approx([2 / 3**0.5] * 3, abs=1e-6)
    longer = np.pad(apart, (0, 1), constant_values=40)  # a fourth like the second beside it: only it has no step left
    longer[1, 3] = longer[3, 1] = longer[3, 3] = 0
    found = border_connectivity(longer, np.array([[0, 1], [1, 2], [1, 3]]), np.array([1, 0, 1, 0], bool), sigma=10)
    # least differences 40, 0, 40, 0: 20 is taken off; 0 to 2 costs 0, 0 to 1 costs 20: exp(-2) of the other pair
    other = np.exp(-2)
    wanted = np.array([2, 2 * other, 2, 2 * other]) / (2 + 2 * other) ** 0.5
    assert found == pytest.approx(wanted, abs=1e-6)


def test_optimised_by_hand():
    """Two neighbours of equal colour: weight w = 1 + 0.1; background weights 1, 0, foreground weights 0, 1.

    min s0^2 + (s1 - 1)^2 + w (s0 - s1)^2: s0 (1 + w) = w s1, s1 (1 + w) = 1 + w s0, so s1 = (1 + w) / (1 + 2 w).
    """
    found = optimised(
        np.zeros((2, 2)), np.array([[0, 1]]), np.array([1.0, 0]), np.array([0, 1.0]), sigma=10, smooth=0.1
    )
    assert found == pytest.approx([1.1 / 3.2, 2.1 / 3.2], abs=1e-6)


def table(masks, *, before=1):
    """Proposals of two photos, the masks those of the second."""
    builder = InstancesBuilder({})
    builder.add("first", (9, 7), np.ones((before, 9, 7), bool), category=0)
    builder.add("second", masks[0].shape, np.array(masks), category=0)
    return builder.finish()


def test_sums_inside_masks_against_decoded_ones():
    rng = np.random.default_rng(0)
    masks = np.concatenate([rng.random((6, 13, 17)) < 0.4, np.ones((1, 13, 17), bool), np.zeros((1, 13, 17), bool)])
    values = rng.random((13, 17)).astype(np.float32)
    proposals = table(list(masks))
    first, stop = proposals.first[1], proposals.first[2]
    spans = Spans(proposals.rle, proposals.rle_first[first : stop + 1], (13, 17))
    assert spans.area.tolist() == masks.sum((1, 2)).tolist()
    assert spans.sums(values) == pytest.approx((masks * values).sum((1, 2)), rel=1e-6)
    assert all(np.array_equal(spans.mask(k), masks[k]) for k in range(len(masks)))


def test_sums_around_boxes_by_hand():
    """A 2 x 2 box in 6 x 8 ones, half a side wider each way: 4 x 4; in the corner, clipped: 3 x 3."""
    boxes = np.array([[3, 2, 2, 2], [0, 0, 2, 2]])
    assert around(np.ones((6, 8), np.float32), boxes, 0.5).tolist() == [16, 9]
    assert around(np.ones((6, 8), np.float32), boxes, 9).tolist() == [48, 48]


def test_whole_objects_before_parts_surroundings_and_the_photo():
    """Two squares, the left one more salient; the map is the squares themselves."""
    left, right = box(30, 20, 40, 40), box(40, 100, 30, 30)
    saliency = (1.0 * left + 0.8 * right).astype(np.float32)
    part, wider, whole, both = box(30, 20, 40, 20), box(20, 10, 60, 60), box(0, 0, 120, 160), left | right
    masks = [whole, both, part, wider, right, left]
    found = salient(table(masks), 1, saliency, keep=2)
    assert found.tolist() == [6, 5] and found.dtype == np.int64  # rows count through both photos
    assert salient(table(masks), 1, saliency, keep=1).tolist() == [6]
    assert salient(table(masks), 1, saliency, keep=9).tolist() == [6, 5]  # all others share too much with one of them


def test_agreement_by_hand():
    """10 x 10 photo, saliency 1 on the left half of a 4 x 4 mask, else 0; mean 0.08, stretched 1 and 0.

    The mask and a margin of a quarter side: 8 inside, area 16, 8 around: 8 / 16. The left half alone, 4 x 2, box margin
    1 and 0.5 pixels: 8 / 8. At floor 0.6 the whole mask falls out, at 0.4 the sharing of all 8 pixels drops it.
    """
    size = (10, 10)
    whole, half = box(3, 3, 4, 4, size=size), box(3, 3, 4, 2, size=size)
    saliency = half.astype(np.float32)
    options = {"keep": 2, "margin": 0.25, "least_area": 0}
    assert salient(table([whole, half]), 1, saliency, nms=1, floor=0.51, **options).tolist() == [2]
    assert salient(table([whole, half]), 1, saliency, nms=1, floor=0.49, **options).tolist() == [2, 1]
    assert salient(table([whole, half]), 1, saliency, nms=0.99, floor=0.49, **options).tolist() == [2]


def test_least_area_ties_and_nothing():
    size = (10, 10)
    one, two = box(1, 1, 3, 3, size=size), box(6, 6, 3, 3, size=size)
    saliency = (one | two).astype(np.float32)
    assert salient(table([two, one]), 1, saliency, keep=2, margin=0.2).tolist() == [1, 2]  # equal: the first row
    assert salient(table([two, one]), 1, saliency, keep=2, least_area=0.1).tolist() == []
    assert salient(table([two, one]), 1, np.zeros(size, np.float32), keep=2).tolist() == []
    builder = InstancesBuilder({})
    builder.add("none", size, np.zeros((0, *size), bool), category=0)
    assert salient(builder.finish(), 0, saliency, keep=2).tolist() == []


def test_chosen_finds_the_objects_of_a_photo():
    """Random rectangles, and among them, last in rank, the two objects."""
    masks, rng = [disc(45, 45, 24), box(70, 100, 36, 40)], np.random.default_rng(2)
    photo = photo_of(masks, [(200, 60, 40), (60, 60, 170)])
    others = [box(*rng.integers(0, 80, 2), *rng.integers(10, 60, 2)) for _ in range(40)]
    proposals = table([*others, *masks])
    found = salient(proposals, 1, saliency_map(photo), keep=2)
    assert sorted(found) == [len(proposals) - 2, len(proposals) - 1]
    ious = rle.iou(rle.encode(np.array(masks)), proposals.rles(found))
    assert ious.max(1).tolist() == [1, 1]


def test_the_configuration_is_handed_over_and_its_defaults_are_those_of_the_functions():
    masks = [box(20, 20, 30, 30), box(70, 90, 30, 40)]
    photo, proposals = photo_of(masks, [(200, 60, 40), (60, 60, 170)]), table(masks)
    keys = {"scores": "attention", "select": "salient", "keep": 2}
    assert sorted(chosen(proposals, 1, photo, config=Config(**keys))) == [1, 2]
    best = int(salient(proposals, 1, saliency_map(photo), keep=1)[0])
    # the left one is 900 of 19,200 pixels, 4.7 %; the right one 1,200, 6.3 %
    for changed, rows in (
        ({"keep": 1}, [best]), ({"salient_floor": 1}, [best]), ({"salient_area": 0.05}, [2]),
        ({"salient_area": 0.07}, []),
    ):  # fmt: skip
        assert chosen(proposals, 1, photo, config=Config(**keys | changed)).tolist() == rows
    defaults = {
        name: one.default
        for function in (saliency_map, salient)
        for name, one in inspect.signature(function).parameters.items()
        if one.default is not inspect.Parameter.empty
    }
    words = {"sigma_colour": "colour", "sigma_border": "border", "sigma_place": "place", "least_area": "area"}
    assert {f"salient_{words.get(name, name)}": value for name, value in defaults.items()} == {
        name: value for name, value in Config().model_dump().items() if name.startswith("salient_")
    }


def test_published_salient_instances_are_the_nodes(tmp_path):
    """A COCO document with boxes and scores: photo a has two detections, b none; the second is the better one."""
    masks = [box(10, 10, 40, 40), box(60, 80, 50, 60)]
    for name in "ab":
        Image.fromarray(photo_of(masks, [(200, 60, 40), (60, 60, 170)])).save(tmp_path / f"{name}.png")
    Index.build(
        tmp_path, {5: "cat", 9: "dog"}, image_id=["a", "b"], path=["a.png", "b.png"], size=[(120, 160)] * 2,
        tags=[(5,), (9,)], train=[True] * 2,
    ).save(tmp_path / "index.zarr.zip")  # fmt: skip
    entries = [
        {
            "id": n, "image_id": 31, "category_id": 1, "bbox": rle.to_bbox([one])[0].tolist(), "score": 0.6 + 0.1 * n,
            "segmentation": {"size": [120, 160], "counts": one["counts"].decode()},
        }
        for n, one in enumerate(rle.encode(np.array(masks)))
    ]  # fmt: skip
    images = [{"id": 31, "file_name": "train/a.jpg"}, {"id": 30, "file_name": "train/b.jpg"}]
    path = tmp_path / "salient.json"
    path.write_text(json.dumps({"images": images, "annotations": entries}))
    inputs = SimpleNamespace(index=tmp_path / "index.zarr.zip")
    config = Proposals(source="coco_rle", path=str(path))
    table = propose(inputs, config, Job(shard=0))["proposals"]
    assert isinstance(table, Instances) and table.first.tolist() == [0, 2, 2]
    assert np.array_equal(table.masks(0), np.array(masks[::-1])) and table.bbox[1].tolist() == [10, 10, 40, 40]
    table.save(tmp_path / "proposals.zarr.zip")
    cam = MapsBuilder(np.float16)
    cam.add("a", (120, 160), [(5, np.array([[0.25, 0.75]]))])
    cam.add("b", (120, 160), [(9, np.array([[0.5, 0.5]]))])
    cam.finish().save(tmp_path / "cam.zarr.zip")
    inputs = SimpleNamespace(**{name: tmp_path / f"{name}.zarr.zip" for name in ("index", "proposals", "cam")})
    keys = {"scores": "cam", "select": "ranking", "backbone": "test_efficientnet", "weights": "none", "size": 64}
    found = infer(inputs, Config(**keys, last_conv=False), Job(shard=0))["mil"]
    assert found["row"].tolist() == [0, 1] and found["first"].tolist() == [0, 2, 2]

    path.write_text(json.dumps({"images": images[:1], "annotations": entries}))
    with pytest.raises(UserError, match="no proposal for photo b"):
        propose(SimpleNamespace(index=inputs.index), config, Job(shard=0))
    path.write_text(json.dumps({"annotations": entries}))
    with pytest.raises(UserError, match="`images` and `annotations`"):
        propose(SimpleNamespace(index=inputs.index), config, Job(shard=0))
