"""Which proposals are kept: the first of the ranking, or HCP's filter."""

import numpy as np
import pytest

from stages.mil.config import Config
from stages.mil.select import chosen, hcp, normalised_cut
from tag2mask.data import rle
from tag2mask.data.instances import InstancesBuilder

# ranks 0 to 6 in a photo of 100 x 100 px: two around the left object, three around the right one, a speck, a strip
BOXES = np.array(
    [[10, 10, 30, 30], [60, 10, 30, 60], [12, 10, 30, 30], [60, 12, 30, 60], [5, 5, 5, 5], [0, 80, 90, 10],
     [62, 10, 28, 60]], float,
)  # fmt: skip
KEYS = {"area": 0.005, "aspect": 4.0}


@pytest.fixture
def proposals():
    """Photo a with the seven boxes as masks, b with none, c with the first of them."""
    masks = np.zeros((len(BOXES), 100, 100), bool)
    for mask, (x, y, w, h) in zip(masks, BOXES.astype(int)):
        mask[y : y + h, x : x + w] = True
    builder = InstancesBuilder({1: "cat"})
    for name, part in (("a", masks), ("b", masks[:0]), ("c", masks[:1])):
        builder.add(name, (100, 100), part, category=0)
    return builder.finish()


def test_ranking_keeps_the_first(proposals):
    assert [chosen(proposals, i, config=Config(keep=3)).tolist() for i in range(3)] == [[0, 1, 2], [], [7]]


def test_hcp_by_hand(proposals):
    """Speck (25 of 10,000 px) and strip (9 to 1) go; of the clusters {0, 2} and {1, 3, 6} the best-ranked stay."""
    assert hcp(BOXES, (100, 100), keep=2, **KEYS).tolist() == [0, 1]
    assert hcp(BOXES, (100, 100), keep=7, **KEYS).tolist() == [0, 1, 2, 3, 6]  # no more than that are usable
    assert [chosen(proposals, i, config=Config(select="hcp", keep=2)).tolist() for i in range(3)] == [
        [0, 1], [], [7],
    ]  # fmt: skip
    turned = BOXES[::-1]
    assert hcp(turned, (100, 100), keep=2, **KEYS).tolist() == [0, 4]  # ranks now: right object first, then left


def test_hcp_thresholds_count_what_is_equal_and_never_drop_everything():
    boxes = np.array([[0, 0, 10, 5], [0, 0, 40, 10], [0, 0, 41, 10]], float)
    assert hcp(boxes, (100, 100), keep=3, **KEYS).tolist() == [0, 1]  # 50 px = 0.005; 40 : 10 = 4
    assert hcp(boxes[:1], (1000, 1000), keep=3, **KEYS).tolist() == [0]
    assert hcp(np.zeros((0, 4)), (9, 9), keep=3, **KEYS).tolist() == []


def test_normalised_cut_separates_groups_whatever_their_order():
    """Three groups of boxes that overlap within and hardly across: one cluster each, in any order of the boxes."""
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [12, 3, 7])
    boxes = np.concatenate(
        [rng.uniform(-3, 3, (22, 2)) + np.array([[0], [38], [80]])[group], np.full((22, 2), 40.0)], 1
    )
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(22)
        found = normalised_cut(rle.box_iou(boxes[order], boxes[order]), 3)
        pairs = {(int(a), int(b)) for a, b in zip(group[order], found)}
        assert len(pairs) == 3 and len({b for _, b in pairs}) == 3


def test_of_equal_boxes_the_best_ranked_alone_counts():
    boxes = BOXES[[0, 0, 0, 1, 1, 2]]
    assert hcp(boxes, (100, 100), keep=3, **KEYS).tolist() == [0, 3, 5]
    assert hcp(boxes, (100, 100), keep=2, **KEYS).tolist() == [0, 3]


def test_normalised_cut_of_separate_pairs():
    apart = np.kron(np.eye(4), np.ones((2, 2)))  # four pairs
    assert sorted(np.bincount(normalised_cut(apart, 4)).tolist()) == [2, 2, 2, 2]


def test_hcp_spreads_over_more_objects_than_the_ranking():
    """300 boxes on 6 objects, the ranking's first 30 all on one: HCP with keep 6 has one box of each object."""
    rng = np.random.default_rng(1)
    which = np.concatenate([np.zeros(30, int), rng.integers(0, 6, 270)])
    place = np.array([[x, y] for x in (40, 240, 440) for y in (40, 240)])
    boxes = np.concatenate([place[which] + rng.uniform(-12, 12, (300, 2)), rng.uniform(90, 110, (300, 2))], 1)
    found = hcp(boxes, (400, 600), keep=6, **KEYS)
    assert sorted(which[found].tolist()) == [0, 1, 2, 3, 4, 5] and found[0] == 0
    assert np.array_equal(found, hcp(boxes, (400, 600), keep=6, **KEYS))
