"""Proposals: cues, trees, the ranking on hand-worked sets, special photos."""

import numpy as np
import pytest
from proposals_squares import SMALL, two_squares
from scipy import sparse

from stages.proposals import cues, ranking, trees
from stages.proposals.config import Config
from stages.proposals.hierarchy import propose
from tag2mask.data import regions, rle
from tag2mask.errors import UserError
from tag2mask.run.config import parse


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def all_iou(masks):
    flat = masks.reshape(len(masks), -1).astype(np.float64)
    inner = flat @ flat.T
    area = flat.sum(1)
    return inner / (area[:, None] + area[None] - inner)


def test_edge_strength_of_a_step_stays_and_of_texture_fades():
    step = np.zeros((64, 64, 3), np.float32)
    step[:, 32:, 0] = 10
    texture = np.zeros((64, 64, 3), np.float32)
    texture[:, ::2, 0] = 10
    fine, coarse = (cues.edge_strength(step, sigmas=(s,))[32, 32] for s in (1.0, 4.0))
    assert coarse == pytest.approx(10 / np.sqrt(2 * np.pi), rel=0.05)
    assert fine > 0.7 * coarse
    inner = slice(16, 48)
    assert cues.edge_strength(texture, sigmas=(4.0,))[inner, inner].max() < 0.05 * coarse


def test_run_lengths_equal_encoded_masks():
    rng = np.random.default_rng(3)
    labels = regions.superpixels(regions.lab(noise((23, 31))), sigma=1.0, count=12)
    membership = rng.random((6, labels.max() + 1)) < 0.5
    membership[4], membership[5] = True, False
    wanted = [rle.to_counts(one).tolist() for one in rle.encode(membership[:, labels])]
    assert [runs.tolist() for runs in cues.run_lengths(membership, labels)] == wanted


CHAIN = np.array([4, 4, 5, 6, 5, 6, 6])  # ((0, 1), 2), 3: nodes 4, 5, 6


def test_node_spans_of_a_chain():
    order, first, last = trees.node_spans(CHAIN)
    sets = [sorted(order[a:b].tolist()) for a, b in zip(first, last)]
    assert sets == [[0], [1], [2], [3], [0, 1], [0, 1, 2], [0, 1, 2, 3]]


def test_contours_of_a_chain():
    # four strips side by side in a photo two pixels high and eight wide: every inner edge 2 long, values 1, 2, 3
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    border = np.array([6.0, 4, 4, 6])
    assert trees.contour_sums(CHAIN, edges, np.full(3, 2.0), border).tolist() == [8, 8, 8, 8, 12, 16, 20]
    strength = trees.contour_sums(CHAIN, edges, np.array([2.0, 4, 6]), np.zeros(4))
    assert strength.tolist() == [2, 6, 10, 6, 4, 6, 0]


def test_candidates_of_one_chain_by_hand():
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    given = dict(
        sizes=np.array([8, 8, 16, 32]), edges=edges, length=np.full(3, 2.0), strength=np.array([1.0, 2, 3]),
        border=np.zeros(4), min_area=16,
    )  # fmt: skip
    sets, area, weight = trees.candidates([CHAIN], contour_power=0.0, **given)
    assert area.tolist() == [64, 32, 32, 16, 16]  # the leaves of 8 are too small
    assert sets.toarray().astype(int).tolist() == [[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 0], [0, 0, 1, 0], [1, 1, 0, 0]]
    half = np.log(2)
    assert weight == pytest.approx([0, half / 2, half / 2, half / 4, half / 4])  # area / 64 * ln(parent / area)
    # the same tree twice: equal sets once, the same weights
    twice = trees.candidates([CHAIN, CHAIN], contour_power=0.0, **given)
    assert twice[1].tolist() == area.tolist() and twice[2] == pytest.approx(weight)


def test_contours_change_weights_within_an_octave_only():
    chance, area = np.array([0.2, 0.2, 0.1]), np.array([70.0, 100, 20])
    weight = trees.weigh(chance, area, np.array([1.0, 3, 5]), power=1.0)
    assert weight == pytest.approx([0.1, 0.3, 0.1])
    assert trees.weigh(chance, area, np.array([1.0, 3, 5]), power=0.0) == pytest.approx(chance)
    assert trees.weigh(chance, area, np.zeros(3), power=1.0).tolist() == [0, 0, 0]


def test_overlaps_of_three_sets():
    sizes = np.array([10.0, 10, 20, 1])
    sets = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]], np.float32)
    iou = ranking.overlaps(sparse.csr_matrix(sets), sets @ sizes, sizes).toarray()
    assert iou.tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("dense", [0, 30, np.inf])
def test_overlaps_are_those_of_all_pairs_whichever_product(monkeypatch, dense):
    monkeypatch.setattr(ranking, "DENSE", dense)
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 40, 30).astype(float)
    sets = (rng.random((80, 30)) < rng.random((80, 1))).astype(np.float32)
    sets[:, 0] = 1
    area = sets @ sizes
    order = np.argsort(-area, kind="stable")
    sets, area = sets[order], area[order]
    inner = (sets * sizes) @ sets.T
    wanted = (inner / (area[:, None] + area[None] - inner)).astype(np.float32)
    wanted[wanted < 0.25] = 0
    found = ranking.overlaps(sparse.csr_matrix(sets), area, sizes)
    assert found.has_sorted_indices and (found != found.T).nnz == 0 and np.array_equal(found.toarray(), wanted)


IOU = sparse.csr_matrix(np.array([[1, 0.8, 0.5, 0], [0.8, 1, 0, 0], [0.5, 0, 1, 0.4], [0, 0, 0.4, 1]]))


def test_rank_by_hand():
    # gains at first 2.3, 1.8, 1.9, 1.4: 0 is taken; then 1: 0.2, 2: 0.5 + 0.4, 3: 1 (2 has 0.5 already): 3, 2, 1
    weight = np.ones(4)
    assert ranking.rank(IOU, weight, count=4, nms_iou=1.0).tolist() == [0, 3, 2, 1]
    assert ranking.rank(IOU, weight, count=4, nms_iou=0.7).tolist() == [0, 3, 2]  # 1 overlaps 0 by 0.8
    assert ranking.rank(IOU, weight, count=2, nms_iou=0.7).tolist() == [0, 3]
    # only 1 and 2 count: gains 0: 1.3, 1: 1, 2: 1; then 1: 0.2, 2: 0.5, 3: 0
    assert ranking.rank(IOU, np.array([0.0, 1, 1, 0]), count=4, nms_iou=1.0).tolist() == [0, 2, 1, 3]


def test_rank_equals_the_plain_greedy():
    rng = np.random.default_rng(5)
    sets = (rng.random((60, 20)) < 0.3).astype(np.float64)
    sets[:, 0] = 1
    inner = sets @ sets.T
    iou = inner / (sets.sum(1)[:, None] + sets.sum(1)[None] - inner)
    weight = rng.random(60)
    best, left, wanted = np.zeros(60), np.ones(60, bool), []
    while left.any():
        gain = np.where(left, np.maximum(iou - best, 0) @ weight, -1)
        wanted.append(int(gain.argmax()))
        best = np.maximum(best, iou[wanted[-1]])
        left &= iou[wanted[-1]] <= 0.6
        left[wanted[-1]] = False
    assert ranking.rank(sparse.csr_matrix(iou), weight, count=60, nms_iou=0.6).tolist() == wanted


def test_scores():
    assert ranking.scores(3, count=4) == pytest.approx([1, 0.75, 0.5])
    assert ranking.scores(4, count=4)[-1] == pytest.approx(0.25)


def test_squares_are_found_first():
    photo, masks = two_squares()
    membership, labels, score = propose(photo, config=SMALL)
    found = membership[:, labels]
    for mask in masks:
        iou = (found & mask).sum((1, 2)) / (found | mask).sum((1, 2))
        assert iou[:5].max() > 0.8
    assert score[0] == 1 and (np.diff(score) < 0).all()


def test_cap_dedupe_and_smallest_area():
    membership, labels, _ = propose(noise((60, 60)), config=SMALL.model_copy(update={"count": 30}))
    masks = membership[:, labels]
    assert len(masks) == 30
    assert np.triu(all_iou(masks), 1).max() <= 0.7 + 1e-6
    assert masks.sum((1, 2)).min() >= 4
    other, _, _ = propose(noise((60, 60)), config=SMALL)
    assert (other[:30] == membership).all()  # a larger cap keeps the order


def test_the_same_photo_gives_the_same_proposals():
    one, two = (propose(noise((50, 40), seed=1), config=SMALL) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one, two))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 3), (40, 60)])
def test_one_colour_gives_the_whole_photo(size):
    membership, labels, score = propose(np.full((*size, 3), 90, np.uint8), config=Config())
    assert membership.tolist() == [[True]] and labels.shape == size and score.tolist() == [1]


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (1, 30), (30, 2)])
def test_tiny_photos_of_noise(size):
    config = Config(min_area=1, superpixel_area=1)
    membership, labels, _ = propose(noise(size), config=config)
    assert len(membership) >= 1 and labels.shape == size and membership.any(1).all()


def test_config_names_what_is_wrong():
    for values, part in [
        ({"trees": ["lab+smell"]}, "lab\\+smell"),
        ({"source": "coco_rle"}, "needs `path`"),
        ({"nms_iuo": 0.5}, "nms_iuo is not a known key"),
        ({"contour_sigmas": [0.0]}, "above 0"),
    ]:
        with pytest.raises(UserError, match=part):
            parse(Config, values, where="proposals")
