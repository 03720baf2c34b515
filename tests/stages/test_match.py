"""match: PRM's retrieval, ICN's Eq. 5 and Algorithm 1 by hand; hard photos; the stage."""

from types import SimpleNamespace

import numpy as np
import pytest

from stages import match
from stages.match.config import Config
from stages.match.photo import matched, suppressed
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.matching import (
    allowed,
    below,
    gradient,
    icn_scores,
    painted,
    prm_scores,
    sums,
    unit,
)
from tag2mask.data.scores import bounded
from tag2mask.run.job import Job

MASKS = np.float32([[1, 1, 0, 0], [1, 1, 1, 0]])
OUTLINES = np.float32([[0, 1, 0, 0], [1, 0, 0, 1]])
BEHIND = np.float32([[0, 0, 1, 1], [1, 0, 0, 0]])
SIDE = 32


def test_prm_s_retrieval_by_hand():
    """Of the map 0.4, 0.3, 0.2, 0.1 the first mask holds 0.7, its outline 0.3, no background; the second 0.9, 0.5, 1
    pixel. The second map is all in the last pixel, which no mask holds and the second outline touches."""
    maps = np.float32([[0.4, 0.3, 0.2, 0.1], [0, 0, 0, 1]])
    scores = prm_scores(MASKS @ maps.T, OUTLINES @ maps.T, MASKS @ BEHIND.T, balance=0.8, penalty=0.1)
    np.testing.assert_allclose(scores, [[0.56 + 0.3, -0.1], [0.72 + 0.5 - 0.1, 1 - 0.1]], rtol=1e-6)
    config = Config()
    assert (config.background, config.penalty, config.balance) == (0.95, 1e-5, 0.8)


def test_eq_5_by_hand():
    """V = 1, 0.5, 0.25, 0: 1.5 of it in the first mask of 2 pixels, 1.75 in the second of 3."""
    maps, edges = np.float32([[1, 0.5, 0.25, 0]]), np.float32([[0.2, 0.4, 0, 0.6]])
    keys = {name: getattr(Config(), name) for name in ("alpha", "beta", "gamma")}
    assert keys == {"alpha": 0.95, "beta": 0.1, "gamma": 0.8}
    found = MASKS @ maps.T, OUTLINES @ edges.T, MASKS @ BEHIND[:1].T, MASKS.sum(1, keepdims=True)
    scores = icn_scores(*found, **keys, rebalance=True)
    first = [0.95 * 1.5 / 2 + 0.1 * 0.4, 0.95 * 1.75 / 3 + 0.1 * 0.8 - 0.8]
    np.testing.assert_allclose(scores[:, 0], first, rtol=1e-6)
    scores = icn_scores(*found, **keys, rebalance=False)
    np.testing.assert_allclose(scores[:, 0], [0.95 * 1.5 + 0.04, 0.95 * 1.75 + 0.08 - 0.8], rtol=1e-6)


def test_rebalancing_prefers_the_mask_that_is_full_of_the_map():
    maps = np.float32([[1, 1, 0.5, 0]])
    none, zero, area = np.zeros((2, 1)), {"alpha": 1, "beta": 0, "gamma": 0}, MASKS.sum(1, keepdims=True)
    with_it, without = (
        icn_scores(MASKS @ maps.T, none, none, area, **zero, rebalance=on)[:, 0] for on in (True, False)
    )
    assert with_it.argmax() == 0 and without.argmax() == 1


def test_outlines_by_hand():
    """Five by five: two pixels inside and two outside of an edge; the photo's border is none."""
    mask = np.zeros((1, 9, 12), np.uint8)
    mask[0, :, :6] = 1
    found = gradient(mask, window=5)
    assert found.dtype == np.uint8 and found[0].any(0).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    ramp = np.arange(12, dtype=np.float32)[None, None].repeat(9, 1)
    assert gradient(ramp, window=3)[0, 4].tolist() == [1, *[2] * 10, 1]
    assert gradient(mask[:0], window=5).shape == (0, 9, 12)


def test_background_and_unit_by_hand():
    maps = np.float32([[0, 1, 2, 5], [3, 3, 3, 3]]).reshape(2, 2, 2)
    assert below(maps, factor=0.95).reshape(2, 4).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]  # below 1.9, below 2.85
    np.testing.assert_allclose(unit(maps).reshape(2, 4), [[0, 0.2, 0.4, 1], [0, 0, 0, 0]], rtol=1e-6)


def test_algorithm_1_by_hand():
    """The best takes in what overlaps it; what overlaps a suppressed one alone stays; the threshold is included."""
    iou = np.array([[1, 0.3, 0, 0.29], [0.3, 1, 0.5, 0], [0, 0.5, 1, 0], [0.29, 0, 0, 1]])
    assert suppressed(iou, [4, 3, 2, 1], threshold=0.3).tolist() == [0, 0, 2, 3]
    assert suppressed(iou, [2, 3, 2, 9], threshold=0.3).tolist() == [1, 1, 1, 3]
    assert suppressed(iou, [1, 1, 1, 1], threshold=0.25).tolist() == [0, 0, 2, 0]
    assert suppressed(np.zeros((0, 0)), [], threshold=0.3).tolist() == []


def box(y, x, height, width, side=SIDE):
    mask = np.zeros((side, side), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def table(*masks, names=("a",)):
    builder = InstancesBuilder({})
    for name in names:
        builder.add(name, (SIDE, SIDE), np.array(masks).reshape(-1, SIDE, SIDE), category=0)
    return builder.finish()


def found(masks, maps, categories=None, classes=None, **keys):
    categories = [1] * len(maps) if categories is None else categories
    classes = {c: np.ones((4, 4)) for c in (1, 2)} if classes is None else classes
    config = Config(**{"side": SIDE, "outline": 3} | keys)
    return matched(table(*masks), 0, categories, [m.astype(np.float16) for m in maps], classes, config=config)


LEFT, RIGHT, WIDE = box(8, 4, 12, 8), box(8, 20, 12, 8), box(8, 4, 12, 24)


@pytest.mark.parametrize("keys", [{}, {"score": "icn", "background_of": "map"}])
def test_every_peak_takes_its_own_object(keys):
    made = found([WIDE, RIGHT, LEFT], [LEFT, RIGHT], [2, 1], **keys)
    assert sorted(made.row.tolist()) == [1, 2] and (np.diff(made.score) <= 0).all()
    assert dict(zip(made.row.tolist(), made.category.tolist())) == {2: 2, 1: 1}
    assert made.maps.shape == (2, SIDE, SIDE) and made.maps.max((1, 2)).tolist() == [1, 1]


def test_the_background_of_the_class_map_keeps_masks_small():
    """The map is even over both; that the right half is background decides with a penalty that counts."""
    classes = {1: np.repeat([[1.0, 0.0]], 2, 0)}
    masks = [box(0, 0, 32, 26), box(0, 0, 32, 16)]
    maps = [np.ones((SIDE, SIDE))]
    assert found(masks, maps, classes=classes, penalty=0).row.tolist() == [0]
    assert found(masks, maps, classes=classes, penalty=0.01).row.tolist() == [1]


def test_maps_of_suppressed_peaks_are_added_whatever_their_class():
    """Three peaks of one object: the maps, each with the sum 1, become one; the best one's class stays."""
    half, other = LEFT.copy(), LEFT.copy()
    half[:, 8:], other[:, :8] = False, False
    made = found([LEFT, RIGHT], [half, other, RIGHT], [1, 2, 2])
    assert sorted(made.row.tolist()) == [0, 1]
    merged = made.maps[made.row.tolist().index(0)]
    np.testing.assert_allclose(merged, LEFT, atol=1e-6)


def test_hard_photos():
    empty = np.zeros((SIDE, SIDE))
    for masks, maps in [([], [LEFT]), ([LEFT], []), ([LEFT], [empty]), ([box(0, 0, 32, 32)], [LEFT])]:
        made = found(masks, maps)
        assert len(made.row) == len(made.maps) == len(made.score) == 0
    assert found([LEFT], [RIGHT, empty]).row.tolist() == [0]  # a set of one: whatever the map says
    for keys in ({}, {"score": "icn", "background_of": "map"}):
        constant = found([LEFT, RIGHT], [np.full((SIDE, SIDE), 0.5)], **keys)
        assert len(constant.row) == 1 and np.isfinite(constant.score).all()
    many = found([LEFT, RIGHT, WIDE], [np.roll(LEFT, k % 16, 1) for k in range(50)])
    assert 1 <= len(many.row) <= 2  # WIDE overlaps both
    corner = found([box(0, 0, 6, 6), RIGHT], [box(0, 0, 3, 3)])
    assert corner.row.tolist() == [0]


def test_which_proposals_take_part():
    """Of the shares 1, 1/4, 1/32, 7/256 least is included, most is not; only the first `most` are looked at."""
    masks = [box(0, 0, 32, 32), box(0, 0, 16, 16), box(0, 0, 4, 8), box(0, 0, 4, 7)]
    given = {"most": 100, "area": (1 / 32, 1)}
    assert allowed(table(*masks), 0, **given).tolist() == [1, 2]
    assert allowed(table(*masks), 0, **given | {"most": 2}).tolist() == [1]
    assert allowed(table(*masks, names=("a", "b")), 1, **given).tolist() == [5, 6]
    for wrong in ({"outline": 4}, {"area": (0.5, 0.2)}):
        with pytest.raises(ValueError, match="must be"):
            Config(**wrong)


def test_chunks_and_the_grid_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    masks = [box(*rng.integers(0, 16, 2), *rng.integers(8, 16, 2)) for _ in range(20)]
    maps = [np.maximum(rng.random((8, 8)), 0.2) for _ in range(6)]
    whole = found(masks, maps)
    monkeypatch.setattr("tag2mask.data.matching.MASKS", 3)
    parts = found(masks, maps)
    assert whole.row.tolist() == parts.row.tolist() and whole.score == pytest.approx(parts.score)
    small = painted(rle.encode(np.array([LEFT])), (SIDE, SIDE), (16, 16))
    assert np.array_equal(small[0], LEFT[1::2, 1::2]) and small.dtype == np.uint8


@pytest.mark.parametrize("size, grid", [((12, 9), (30, 20)), ((31, 40), (17, 12)), ((16, 16), (16, 16))])
def test_sums_by_runs_are_those_of_masks_drawn_on_the_grid(size, grid, monkeypatch):
    """Larger than the photo, smaller, and of its size; masks that are empty, whole, and begin or end at a corner."""
    monkeypatch.setattr("tag2mask.data.matching.MASKS", 3)
    rng = np.random.default_rng(2)
    masks = rng.random((8, *size)) < rng.uniform(0.1, 0.9, (8, 1, 1))
    masks[0], masks[1] = False, True
    masks[2, 0, 0] = masks[3, -1, -1] = True
    values, others = rng.random((3, *grid)), rng.random((2, *grid))
    drawn = painted(rle.encode(masks), size, grid)
    inside, along = sums(rle.encode(masks), values, others, size=size, window=3)
    np.testing.assert_allclose(inside, np.einsum("nhw,qhw->nq", drawn, values), rtol=1e-9)
    np.testing.assert_allclose(along, np.einsum("nhw,qhw->nq", gradient(drawn, window=3), others), rtol=1e-9)


def test_the_scores_are_those_of_a_loop_over_peaks_and_proposals():
    """As the released code has it: one peak, one proposal at a time."""
    rng = np.random.default_rng(1)
    masks = [box(*rng.integers(0, 16, 2), *rng.integers(6, 16, 2)) for _ in range(12)]
    maps = [rng.random((SIDE, SIDE)).astype(np.float16) ** 4 for _ in range(3)]
    classes = {1: rng.random((SIDE, SIDE))}
    for m in maps:
        v = m.astype(np.float64) / m.astype(np.float64).sum()
        low = classes[1] < 0.95 * classes[1].mean()
        best = [
            0.8 * v[mask].sum()
            + v[gradient(mask[None].astype(np.uint8), window=3)[0] > 0].sum()
            - 1e-5 * low[mask].sum()
            for mask in masks
        ]
        made = found(masks, [m], classes=classes)
        assert made.row.tolist() == [int(np.argmax(best))] and made.score[0] == pytest.approx(max(best), rel=1e-4)


def test_the_stage(tmp_path):
    """Three photos: two objects; no peak; no proposal."""
    names, files = ["a", "b", "c"], SimpleNamespace()
    index = Index.build(
        tmp_path, {1: "cat", 2: "dog"}, image_id=names, path=names, size=[(SIDE, SIDE)] * 3, tags=[(1, 2)] * 3,
        train=[True] * 3,
    )  # fmt: skip
    proposals, prm, cam = InstancesBuilder({}), MapsBuilder(np.float16), MapsBuilder(np.float16)
    for name in names:
        masks = np.array([WIDE, LEFT, RIGHT])[: 0 if name == "c" else 3]
        proposals.add(name, (SIDE, SIDE), masks, category=0)
        prm.add(name, (SIDE, SIDE), [] if name == "b" else [(2, LEFT), (1, RIGHT)])
        cam.add(name, (SIDE, SIDE), [(c, np.ones((2, 2))) for c in (1, 2)])
    for key, store in (
        ("index", index),
        ("proposals", proposals.finish()),
        ("prm", prm.finish()),
        ("cam", cam.finish()),
    ):
        setattr(files, key, tmp_path / f"{key}.zarr.zip")
        store.save(getattr(files, key))
    config, job = Config(side=SIDE, outline=3), Job()
    made = match.run(files, config, job)
    table, merged = made["instances"], made["merged"]
    assert table.image_id == names and np.diff(table.first).tolist() == [2, 0, 0]
    assert np.array_equal(table.masks(0)[table.category == 2], [LEFT])
    assert np.array_equal(table.masks(0)[table.category == 1], [RIGHT])
    best = matched(proposals.finish(), 0, *prm.finish().of(0), dict(zip(*cam.finish().of(0))), config=config)
    assert table.score == pytest.approx(bounded(best.score)) and ((table.score > 0) & (table.score < 1)).all()
    assert merged.category.tolist() == table.category.tolist() and merged.data.dtype == np.float16
    assert job.numbers == {"photos": 3, "peaks": 4, "instances": 2} and not job.warnings
    del files.cam  # of the maps themselves the background asks no class map
    assert (
        len(match.run(files, Config(side=SIDE, outline=3, score="icn", background_of="map"), Job())["instances"]) == 2
    )


def test_enhanced_maps_in_the_place_of_naive_ones(tmp_path):
    """The naive map says left, the enhanced one right; binary maps do."""
    index = Index.build(
        tmp_path, {1: "cat"}, image_id=["a"], path=["a"], size=[(SIDE, SIDE)], tags=[(1,)], train=[True]
    )
    files = SimpleNamespace()
    prm, enhanced = MapsBuilder(np.float16), MapsBuilder(np.uint8)
    prm.add("a", (SIDE, SIDE), [(1, LEFT)])
    enhanced.add("a", (SIDE, SIDE), [(1, RIGHT)])
    stores = {"index": index, "proposals": table(LEFT, RIGHT), "prm": prm.finish(), "enhanced": enhanced.finish()}
    for key, store in stores.items():
        setattr(files, key, tmp_path / f"{key}.zarr.zip")
        store.save(getattr(files, key))
    keys = {"side": SIDE, "outline": 3, "score": "icn", "background_of": "map"}
    for maps, mask in (("prm", LEFT), ("icn", RIGHT)):
        made = match.run(files, Config(**keys, maps=maps), Job())["instances"]
        assert np.array_equal(made.masks(0)[0], mask)
