"""Refined labels of a batch: by hand, special photos, points, and random maps against slow parts put together."""

import numpy as np
import pytest
import torch
from test_bestie_components import flooded
from test_bestie_grouping import slow_centers, slow_clusters, slow_group

from stages.bestie.config import Config
from stages.bestie.labels import Points
from stages.bestie.refine import allowed_classes, refined, tagged

SMALL = Config(min_area=1, window=3, cluster=False)


def maps(classes, *, columns=2, sure=0.8):
    """(probability, centre map of zeros, offsets of zeros) for maps of classes (B, H, W), 0 the background."""
    classes = torch.tensor(classes)
    batch, height, width = classes.shape
    probability = torch.full((batch, columns + 1, height, width), (1 - sure) / columns)
    probability.scatter_(1, classes[:, None], sure)
    return probability, torch.zeros(batch, columns, height, width), torch.zeros(batch, 2, height, width)


def every(probability):
    return torch.ones(len(probability), probability.shape[1] - 1, dtype=torch.bool)


def test_defaults_are_the_released_codes():
    config = Config()
    assert (config.refine_threshold, config.window, config.refine_most, config.min_area) == (0.3, 41, 5, 50)
    assert (config.cluster_offset, config.cluster_area) == (2.5, (19, 23))
    assert (config.cluster_threshold, config.cluster_distance) == (0.05, 100.0)
    assert (config.refine, config.cluster) == (True, True)


def test_where_the_paper_says_otherwise_the_defaults_are_the_papers():
    assert (Config().refine_center, Config().refine_weight) == ("centroid", "center")


def test_two_touching_objects_by_hand():
    probability, center, offset = maps([[[0, 1, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 2]]])
    center[0, 0, 0, 1], center[0, 0, 1, 5], center[0, 1, 2, 6] = 0.6, 1.3, 0.4
    center[0, 1, 0, 3] = 0.9  # of the other class: not looked at here
    offset[0, 1, 0, 3] = 1.5  # (0, 3) points at (0, 4.5): nearer to (1, 5); (1, 3) at itself: 2.24 from (0, 1), 2 away
    center[0, 0, 0, 4], center[0, 0, 1, 4], center[0, 0, 0, 2], center[0, 0, 1, 2] = 1.2, 0.1, 0.5, 0.2
    labels = refined(probability, center, offset, every(probability), config=SMALL)
    assert labels.number.tolist() == [[[0, 2, 2, 1, 1, 1, 0], [0, 2, 2, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 3]]]
    # the strongest first: columns 3, 4, 5 of two rows, centroid (0.5, 4); then (0.5, 1.5)
    assert labels.center.tolist() == [[0.5, 4.0], [0.5, 1.5], [2.0, 6.0]]
    # halves go to the even side: C at (0, 4), 1.2, counts as 1; at (0, 2) 0.5; the last at its own pixel
    assert labels.weight.tolist() == pytest.approx([1.0, 0.5, 0.4])
    assert labels.photo.tolist() == [0, 0, 0] and labels.column.tolist() == [0, 0, 1]


def test_a_peak_as_the_centre_is_the_first_of_the_largest_of_its_pixels():
    probability, center, offset = maps([[[1] * 7] * 2])
    center[0, 0, 0, 1], center[0, 0, 0, 5], center[0, 1] = 0.9, 0.8, 0.95  # found at (0, 1), (0, 5); the other class
    center[0, 0, 0, 2] = center[0, 0, 1, 0] = 0.2
    center[0, 0, 1, 2], center[0, 0, 0, 4] = 0.15, -0.05
    offset[0, 1, 0, 1] = 4  # the pixel (0, 1) points at (0, 5)
    config = SMALL.model_copy(update={"refine_center": "peak"})
    labels = refined(probability, center, offset, every(probability), config=config)
    # column 3 is as far from 1 as from 5: to the stronger
    assert labels.number.tolist() == [[[1, 2, 1, 1, 2, 2, 2], [1, 1, 1, 1, 2, 2, 2]]]
    # the first has 0.2 at (0, 2) and (1, 0): the first in row order; the second 0.9 at (0, 1), which is its own now
    assert labels.center.tolist() == [[0, 2], [0, 1]] and labels.weight.tolist() == pytest.approx([0.2, 0.9])
    labels = refined(probability, center, offset, every(probability), config=SMALL)
    # centroids: (4 / 7, (0 + 2 + 3 + 0 + 1 + 2 + 3) / 7), pixel (1, 2); (3 / 7, (1 + 4 + 5 + 6 + 4 + 5 + 6) / 7), pixel
    # (0, 4), where C is below 0
    assert labels.center.flatten().tolist() == pytest.approx([4 / 7, 11 / 7, 3 / 7, 31 / 7])
    assert labels.weight.tolist() == pytest.approx([0.15, 0.0])


def test_weight_with_the_mean_probability():
    probability, center, offset = maps([[[1, 1, 0, 2]]], sure=0.8)
    probability[0, :, 0, 1] = torch.tensor([0.2, 0.6, 0.2])
    center[0, 0, 0, 0], center[0, 1, 0, 3] = 0.5, 0.9
    config = SMALL.model_copy(update={"refine_weight": "center_semantic"})
    labels = refined(probability, center, offset, every(probability), config=config)
    # C at pixel 0, the even one beside the centroid 0.5; (0.8 + 0.6) / 2 over its own two pixels
    assert labels.weight.tolist() == pytest.approx([0.5 * 0.7, 0.9 * 0.8])


def test_the_most_probable_of_background_and_tagged_classes():
    # background, three classes; three pixels
    probability = torch.tensor([[[[0.2, 0.3, 0.25]], [[0.5, 0.1, 0.25]], [[0.3, 0.2, 0.25]], [[0.0, 0.4, 0.25]]]])
    for tags, expected in (
        ((1, 1, 1), [1, 3, 0]),
        ((0, 1, 1), [2, 3, 0]),
        ((0, 1, 0), [2, 0, 0]),
        ((0, 0, 0), [0] * 3),
    ):
        found = allowed_classes(probability, torch.tensor([tags], dtype=torch.bool))
        assert found.tolist() == [[expected]]  # of equals the smallest


def test_classes_without_a_tag_give_nothing():
    probability, center, offset = maps([[[1, 1, 0, 2]], [[1, 1, 0, 2]]])
    center[:] = 0.5
    tags = torch.tensor([[True, False], [False, True]])
    labels = refined(probability, center, offset, tags, config=SMALL)
    # where class 1 is not allowed, background and class 2 are equally probable (0.1): background
    assert labels.number.tolist() == [[[1, 1, 0, 0]], [[0, 0, 0, 2]]]
    assert labels.photo.tolist() == [0, 1] and labels.column.tolist() == [0, 1]


def test_no_centre_empty_map_and_a_good_photo_in_one_batch():
    probability, center, offset = maps([[[1, 1, 1, 0, 2]], [[0] * 5], [[0, 2, 2, 2, 0]]])
    center[0] = 0.29  # below the threshold everywhere
    center[1] = 0.9  # no region
    center[2, 1, 0, 2] = 0.9
    labels = refined(probability, center, offset, every(probability), config=SMALL)
    assert labels.number.tolist() == [[[0] * 5], [[0] * 5], [[0, 1, 1, 1, 0]]]
    assert labels.photo.tolist() == [2] and labels.column.tolist() == [1] and labels.center.tolist() == [[0.0, 2.0]]
    nothing = refined(probability[:2], center[:2], offset[:2], every(probability[:2]), config=Config(min_area=1))
    assert not nothing.number.any() and [len(column) for column in nothing[1:]] == [0] * 4
    assert nothing.center.shape == (0, 2)


def test_an_object_of_five_pixels():
    plus = [[0, 1, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0]]  # and a sixth that touches it by a corner
    probability, center, offset = maps([plus])
    center[0, 0, 1, 1] = 0.7
    for least, pixels in ((1, 6), (6, 6), (7, 0)):
        config = SMALL.model_copy(update={"min_area": least})
        labels = refined(probability, center, offset, every(probability), config=config)
        assert int((labels.number > 0).sum()) == pixels  # 8-connected: six pixels
    plus[0][3] = 0
    probability, center, offset = maps([plus])
    center[0, 0, 1, 1] = 0.7
    labels = refined(probability, center, offset, every(probability), config=SMALL.model_copy(update={"min_area": 5}))
    assert labels.center.tolist() == [[1.0, 1.0]] and int((labels.number == 1).sum()) == 5
    assert not refined(probability, center, offset, every(probability), config=Config()).number.any()


def test_a_centre_that_no_pixel_points_to_is_no_instance():
    probability, center, offset = maps([[[1, 1, 1, 1, 1, 0, 1]]])
    center[0, 0, 0, 0], center[0, 0, 0, 4], center[0, 0, 0, 6], center[0, 0, 0, 2] = 0.9, 0.8, 0.7, 0.2
    offset[0, 1, 0, :5] = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0])  # all point to x = 4, the second centre
    labels = refined(probability, center, offset, every(probability), config=SMALL)
    assert labels.number.tolist() == [[[1, 1, 1, 1, 1, 0, 2]]]
    assert labels.center.tolist() == [[0.0, 2.0], [0.0, 6.0]]
    assert labels.weight.tolist() == pytest.approx([0.2, 0.7])  # C at the centroids


def test_clusters_add_what_the_centre_map_misses():
    probability, center, offset = maps(np.ones((1, 11, 150), np.int64))
    center[0, 0, 5, 20], center[0, 0, 5, 130] = 0.9, 0.1
    center[0, 0, 5, 37], center[0, 0, 5, 74], center[0, 0, 5, 112] = 0.2, 0.25, 0.15  # below the threshold of 0.3
    x = torch.arange(150.0)
    offset[0, 0] = 5 - torch.arange(11.0)[:, None]
    offset[0, 1] = torch.where(x < 75, 20 - x, 130 - x)
    alone = refined(probability, center, offset, every(probability), config=Config(cluster=False))
    # columns 0 to 149: the centroid 74.5 is read at 74
    assert alone.weight.tolist() == pytest.approx([0.25]) and (alone.number == 1).all()
    both = refined(probability, center, offset, every(probability), config=Config())
    assert both.weight.tolist() == pytest.approx([0.2, 0.15])
    assert (both.number[..., :75] == 1).all() and (both.number[..., 75:] == 2).all()
    assert both.center.tolist() == [[5.0, 37.0], [5.0, 112.0]]  # columns 0..74 and 75..149


def points_of(*rows):
    """Points of rows (photo, column, y, x, score)."""
    photo, column, y, x, score = zip(*rows)
    return Points(
        torch.tensor(photo), torch.tensor(column), *(torch.tensor(v, dtype=torch.float32) for v in (y, x, score))
    )


def test_points_are_the_centres():
    probability, center, offset = maps([[[1, 1, 1, 1, 0, 2, 2]], [[1, 1, 0, 2, 2, 2, 2]]])
    center[:] = 0.9  # not looked at
    points = points_of(
        (0, 0, 0.4, 0.4, 0.5), (0, 0, 0, 3, 1), (0, 1, 0, 1, 0.8), (0, 0, 0, 5, 1), (1, 1, 0, 6, 0.7), (1, 1, 0, 7, 1),
        (1, 1, -1, 4, 0.9), (1, 0, 0, 2, 0.6),
    )  # fmt: skip
    labels = refined(probability, center, offset, every(probability), config=SMALL, points=points)
    # class 1 of the first photo: (0.4, 0.4) is pixel (0, 0), x = 2 is nearer to 3; no pixel is nearest to 5, which lies
    # on class 2. The point of class 2 on pixels of class 1 has all of class 2. In the second photo x = 2 is background
    # and has class 1; of class 2 x = 7 lies outside and is nobody's nearest, (-1, 4) too, but it is nearest to x = 3
    # (1 + 1 against 9) and 4 (1 against 4), not to 5 (1 + 1 against 1)
    assert labels.number.tolist() == [[[1, 1, 2, 2, 0, 3, 3]], [[4, 4, 0, 6, 6, 5, 5]]]
    assert labels.weight.tolist() == pytest.approx([0.5, 1.0, 0.8, 0.6, 0.7, 0.9])  # the scores
    assert labels.photo.tolist() == [0, 0, 0, 1, 1, 1] and labels.column.tolist() == [0, 0, 1, 0, 1, 1]
    # the points, not the centroids
    assert labels.center.tolist() == [[0, 0], [0, 3], [0, 1], [0, 2], [0, 6], [-1, 4]]


def test_a_point_has_all_pieces_of_its_class_and_a_class_without_a_point_gives_nothing():
    probability, center, offset = maps([[[1, 1, 0, 2, 1]]])
    center[:] = 0.9
    points = points_of((0, 0, 0, 0, 0.5))
    for refine_weight, weight in (("center", 0.5), ("center_semantic", 0.5 * 0.8)):
        config = Config(refine_weight=refine_weight)  # pieces of 2 and 1 pixels, min_area 50
        labels = refined(probability, center, offset, every(probability), config=config, points=points)
        assert labels.number.tolist() == [[[1, 1, 0, 0, 1]]] and labels.column.tolist() == [0]
        assert labels.center.tolist() == [[0, 0]] and labels.weight.tolist() == pytest.approx([weight])


def test_a_point_in_a_hole_of_its_object_keeps_the_object_from_its_neighbour():
    # one piece of two objects; the middle of the right one is background
    probability, center, offset = maps([[[1] * 7, [1, 1, 1, 1, 1, 0, 1], [1] * 7]])
    points = points_of((0, 0, 1, 1, 0.7), (0, 0, 1, 5, 0.6))
    labels = refined(probability, center, offset, every(probability), config=SMALL, points=points)
    # column 3 is 2 from both: the first
    side = [1, 1, 1, 1, 2, 2, 2]
    assert labels.number.tolist() == [[side, [1, 1, 1, 1, 2, 0, 2], side]]
    assert labels.center.tolist() == [[1, 1], [1, 5]] and labels.weight.tolist() == pytest.approx([0.7, 0.6])


def test_all_points_of_a_class_count_and_two_on_one_pixel_are_the_first():
    probability, center, offset = maps([[[1] * 21]])
    points = points_of(*((0, 0, 0, x, 1) for x in (*range(0, 21, 3), 0)))
    labels = refined(probability, center, offset, every(probability), config=SMALL, points=points)
    assert len(labels.photo) == 7 and labels.number[0, 0, :5].tolist() == [1, 1, 2, 2, 2]  # more than refine_most
    none = Points(*(column[:0] for column in points))
    assert not refined(probability, center, offset, every(probability), config=SMALL, points=none).number.any()


def test_the_foreground_may_be_given():
    probability, center, offset = maps([[[1, 1, 0, 0]]])
    center[0, :, 0, 2] = 0.9
    config = SMALL.model_copy(update={"cluster": False})
    assert not refined(probability, center, offset, every(probability), config=config).number.any()
    given = torch.tensor([[[0, 0, 2, 2]]])
    labels = refined(probability, center, offset, every(probability), config=config, classes=given)
    assert labels.number.tolist() == [[[0, 0, 1, 1]]] and labels.column.tolist() == [1]


def test_a_given_foreground_shows_tagged_classes_alone():
    probability, center, offset = maps([[[0] * 4]] * 2)
    center[:] = 0.9
    given, tags = torch.tensor([[[1, 0, 2, 2]], [[1, 0, 2, 2]]]), torch.tensor([[False, True], [True, False]])
    assert tagged(given, tags).tolist() == [[[0, 0, 2, 2]], [[1, 0, 0, 0]]]
    assert given.tolist() == [[[1, 0, 2, 2]]] * 2  # not modified
    for points in (None, points_of(*((b, k, 0, x, 1) for b in (0, 1) for k, x in ((0, 0), (1, 2))))):
        labels = refined(probability, center, offset, tags, config=SMALL, classes=given, points=points)
        assert labels.number.tolist() == [[[0, 0, 1, 1]], [[2, 0, 0, 0]]] and labels.column.tolist() == [1, 0]


@pytest.mark.parametrize("seed", range(6))
def test_random_maps_against_slow_parts(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.random((2, 4, 5, 6)).repeat(4, 2).repeat(4, 3)  # B, K + 1, H, W: blocks of 4 x 4
    probability = torch.from_numpy((coarse / coarse.sum(1, keepdims=True)).astype(np.float32))
    center = torch.from_numpy((rng.integers(0, 9, (2, 3, 20, 24)) / 8).astype(np.float32))
    offset = torch.from_numpy((rng.integers(-16, 17, (2, 2, 20, 24)) / 4).astype(np.float32))
    tags = torch.tensor([[True, False, True], [True, True, True]])
    config = Config(
        min_area=17, window=9, refine_most=3, cluster_area=(2, 9), cluster_distance=5,
        refine_threshold=(0.9, 1)[seed // 2 % 2], refine_weight="center_semantic",
        refine_center=("centroid", "peak")[seed % 2],
    )  # fmt: skip
    before = [map_.clone() for map_ in (probability, center, offset, tags)]
    labels = refined(probability, center, offset, tags, config=config)
    assert all(torch.equal(a, b) for a, b in zip(before, (probability, center, offset, tags)))

    allowed = np.concatenate([np.ones((2, 1), bool), tags.numpy()], 1)
    classes = np.where(allowed[..., None, None], probability.numpy(), -1).argmax(1)
    number, count = flooded(classes, 8)
    for k in range(1, count + 1):
        if (number == k).sum() < 17:
            number[number == k] = 0
    value = np.zeros(number.shape, np.float32)
    for b, y, x in np.argwhere(number):
        value[b, y, x] = center[b, classes[b, y, x] - 1, y, x]
    classes = np.where(number > 0, classes, 0)
    centers = slow_centers(value, number, window=9, threshold=config.refine_threshold, most=3)
    centers = slow_clusters(
        centers, value, offset.numpy(), number, classes, most=3, length=2.5, area=(2, 9), threshold=0.05, distance=5
    )
    grouped = slow_group(number, offset.numpy(), centers)
    kept = [row for row in range(1, len(centers) + 1) if (grouped == row).any()]
    assert len(labels.photo) == len(kept) > 3
    for n, row in enumerate(kept):
        mask = grouped == row
        _, b, y, x, _ = centers[row - 1]
        assert ((labels.number.numpy() == n + 1) == mask).all() and labels.photo[n] == b
        column = classes[b, y, x] - 1
        assert labels.column[n] == column
        pixels = np.argwhere(mask[b]).tolist()
        middle = np.mean(pixels, 0)
        if config.refine_center == "peak":
            middle = max(pixels, key=lambda p: center[b, column, p[0], p[1]])  # of equals the first
        assert labels.center[n].tolist() == pytest.approx(list(middle))
        value = float(center[b, column, round(middle[0]), round(middle[1])])  # halves go to the even side
        mean = probability.numpy()[b, column + 1][mask[b]].mean()
        assert float(labels.weight[n]) == pytest.approx(value * mean, rel=1e-5)
    assert int((labels.number > 0).sum()) == int((grouped > 0).sum())


def test_nothing_is_differentiated():
    probability, center, offset = maps([[[1, 1, 1]]])
    center[0, 0, 0, 1] = 0.9
    labels = refined(probability.requires_grad_(), center.requires_grad_(), offset, every(probability), config=SMALL)
    assert not labels.weight.requires_grad and not labels.center.requires_grad
