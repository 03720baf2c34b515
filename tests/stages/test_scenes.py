"""Generated scenes: what they promise (shape alone tells the classes apart) and what must not change."""

import cv2
import numpy as np
import pytest
import torch

from stages.images.scenes import CLASSES, GROUND_CONTRAST, VAL_FIRST, Scene, make_scene, scene_numbers
from stages.images.shapes import SHAPES

WINDOW = np.ones((3, 3), np.uint8)


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(3, i) for i in range(300)]


def _same(a, b):
    return (
        a.photo.tobytes() == b.photo.tobytes()
        and a.masks.tobytes() == b.masks.tobytes()
        and a.category.tolist() == b.category.tolist()
    )


def _dilated(mask, times=1):
    return cv2.dilate(mask.view(np.uint8), WINDOW, iterations=times).view(bool)


def test_same_seed_same_bytes_and_another_seed_or_number_another_scene():
    first = make_scene(5, 2)
    make_scene(5, 7)  # what was made before leaves no trace
    np.random.seed(0)  # noqa: NPY002 - nor does the global generator
    assert _same(first, make_scene(5, 2))
    photos = {make_scene(s, i).photo.tobytes() for s, i in [(5, 2), (5, 3), (6, 2), (2, 5), (5, VAL_FIRST + 2)]}
    assert len(photos) == 5


def test_numbers_of_the_splits_do_not_meet_and_grow_at_the_end():
    numbers = scene_numbers(40, 30, 20)
    assert [len(own) for own in numbers.values()] == [40, 30, 20] and len(set().union(*numbers.values())) == 90
    more = scene_numbers(60, 50, 40)
    assert all(more[split][: len(own)] == own for split, own in numbers.items())


def test_arrays_and_counts(scenes):
    for scene in scenes:
        n = len(scene.category)
        assert scene.photo.shape == (160, 160, 3) and scene.photo.dtype == np.uint8
        assert scene.masks.shape == (n, 160, 160) and scene.masks.dtype == bool
        assert scene.category.dtype == np.int64 and set(scene.category.tolist()) <= set(CLASSES)
        assert scene.tags == tuple(sorted(set(scene.category.tolist()))) and 1 <= len(scene.tags) <= 2
    counts = np.bincount([len(s.category) for s in scenes], minlength=6)
    assert counts[0] == 0 and len(counts) == 6 and (counts[1:] > 0.05 * len(scenes)).all()


def test_at_least_five_classes_all_frequent_numbered_from_one(scenes):
    assert len(CLASSES) >= 5 and sorted(CLASSES) == list(range(1, len(CLASSES) + 1))
    for category in CLASSES:
        assert np.mean([category in s.tags for s in scenes]) > 0.15


def test_masks_are_disjoint_and_show_enough(scenes):
    for scene in scenes:
        assert scene.masks.sum(0).max() <= 1
        assert scene.masks.sum((1, 2)).min() >= 90


def test_objects_touch_their_own_class(scenes):
    """At least 30 % of all objects lie within a pixel's dilation of an object of their class; not nearly all do."""
    touching = total = 0
    for scene in scenes:
        grown = np.stack([_dilated(m) for m in scene.masks]).reshape(len(scene.masks), -1).astype(np.int64)
        meet = (grown @ grown.T > 0) & (scene.category[:, None] == scene.category)
        np.fill_diagonal(meet, False)
        touching += meet.any(1).sum()
        total += len(meet)
    assert 0.30 <= touching / total <= 0.60


def test_touch_is_the_share_that_it_says():
    def objects_in_contact(touch):
        return sum(
            (_dilated(a) & b).any()
            for i in range(60)
            for s in [make_scene(9, i, touch=touch)]
            for k, a in enumerate(s.masks)
            for m, b in enumerate(s.masks)
            if k != m and s.category[k] == s.category[m]
        )

    assert objects_in_contact(1.0) > 1.5 * objects_in_contact(0.0)


def test_several_scales_and_occlusion(scenes):
    areas = np.concatenate([s.masks.sum((1, 2)) for s in scenes])
    small, large = np.percentile(areas, [5, 95])
    assert large >= 4 * small
    # an object in several pieces is one that another object lies across
    pieces = [cv2.connectedComponents(m.view(np.uint8))[0] - 1 for s in scenes for m in s.masks]
    assert sum(p > 1 for p in pieces) >= 0.02 * len(pieces)


def test_area_does_not_tell_the_class(scenes):
    """Mean visible areas lie within 25 % of each other: a class of larger objects would show in a histogram."""
    areas = [[m.sum() for s in scenes for m, c in zip(s.masks, s.category) if c == k] for k in CLASSES]
    means = np.array([np.mean(a) for a in areas])
    assert means.max() / means.min() < 1.25


def test_photo_edges_lie_on_mask_edges(scenes):
    """The gradient of the photo is largest at the mask's border and drops 3 pixels away from it on both sides."""
    on, inside, outside = [], [], []
    for scene in scenes[:100]:
        grey = cv2.cvtColor(scene.photo, cv2.COLOR_RGB2LAB).astype(np.float32)
        steep = np.sqrt(sum(cv2.Sobel(grey[..., c], -1, *d) ** 2 for c in range(3) for d in [(1, 0), (0, 1)]))
        everything = scene.masks.any(0)
        for mask in scene.masks:
            eroded = ~_dilated(~mask)
            core, far = ~_dilated(~mask, 3), _dilated(mask, 4) & ~_dilated(mask, 3) & ~_dilated(everything, 1)
            on.append(steep[mask & ~eroded].mean())
            if core.any() and far.any():
                inside.append(steep[core & _dilated(~mask, 4)].mean())
                outside.append(steep[far].mean())
    assert np.median(on) > 2.5 * np.median(inside) and np.median(on) > 2.5 * np.median(outside)


def test_objects_stand_out_from_the_ground(scenes):
    """An object's median colour differs from the ground's beside it; texture, light and noise included."""
    away = []
    for scene in scenes[:150]:
        lab = cv2.cvtColor(scene.photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        ground = ~_dilated(scene.masks.any(0), 4)
        for mask in scene.masks:
            beside = _dilated(mask, 12) & ground
            if beside.sum() > 30:
                away.append(np.linalg.norm(np.median(lab[mask], 0) - np.median(lab[beside], 0)))
    assert np.percentile(away, 5) > 0.6 * GROUND_CONTRAST and np.median(away) > GROUND_CONTRAST


def test_mask_is_the_drawn_shape():
    """A mug's handle and a key's bow have holes, which are not in their masks; a house has none."""
    holes = {}
    for i in range(400):
        scene = make_scene(11, i)
        border = np.concatenate([scene.masks[:, [0, -1]].ravel(), scene.masks[..., [0, -1]].ravel()])
        if len(scene.category) == 1 and not border.any():
            ground = (~scene.masks[0]).view(np.uint8)
            parts = cv2.connectedComponents(ground, connectivity=4)[0] - 1
            holes.setdefault(CLASSES[int(scene.category[0])], []).append(parts - 1)
    assert np.mean(holes["mug"]) > 0.9 and np.mean(holes["key"]) > 0.9
    assert max(holes["house"]) == 0 and max(holes["fish"]) == 0


def test_details_add_nothing_to_the_outline_box():
    """Marks painted on an object lie within its parts' extent, so that the mask needs the parts alone."""
    rng = np.random.default_rng(0)
    for shape in SHAPES.values():
        for _ in range(20):
            parts = shape(rng)
            solid = np.concatenate([o for p in parts if not p.detail for o in p.outlines])
            marks = np.concatenate([o for p in parts if p.detail for o in p.outlines])
            assert (marks >= solid.min(0)).all() and (marks <= solid.max(0)).all()


@pytest.mark.parametrize("size", [64, 200, 320])
def test_other_sizes(size):
    for i in range(6):
        scene = make_scene(1, i, size=size)
        assert scene.photo.shape == (size, size, 3) and scene.masks.any((1, 2)).all()


def test_too_small_a_size_is_refused():
    with pytest.raises(ValueError, match="at least 64"):
        make_scene(0, 0, size=32)


# --------------------------------------------------------------------------------------- colours do not tell the tags


def _histograms(scene):
    """Shares of a photo's pixels by colour: 6^3 joint RGB bins and 16 bins of each of L, a, b."""
    coarse = scene.photo.reshape(-1, 3) // 43 @ np.array([36, 6, 1])
    joint = np.bincount(coarse, minlength=216)
    lab = cv2.cvtColor(scene.photo, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    single = [np.bincount(lab[:, c] // 16, minlength=16) for c in range(3)]
    return np.sqrt(np.concatenate([joint, *single]) / len(lab))


def _average_precision(score, positive):
    hit = positive[np.argsort(-score, kind="stable")]
    return (np.cumsum(hit) / np.arange(1, len(hit) + 1))[hit].mean()


def _held_out_map(features, tags, n_train):
    """mAP of K logistic regressions (L2, full batch) fitted to the first n_train rows, on the other rows."""
    mean, spread = features[:n_train].mean(0), features[:n_train].std(0) + 1e-3
    x = torch.from_numpy((features - mean) / spread).float()
    y = torch.from_numpy(tags).float()
    weight = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)
    bias = torch.zeros(y.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=80, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        logits = x[:n_train] @ weight + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y[:n_train]) + 0.01 * (weight**2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    scores = (x[n_train:] @ weight + bias).detach().numpy()
    return np.mean([_average_precision(scores[:, k], tags[n_train:, k]) for k in range(tags.shape[1])])


@pytest.fixture(scope="module")
def dataset():
    """1,000 scenes, the first half for training, and their tags (1000, K) bool."""
    numbers = scene_numbers(500, 500)
    made = [make_scene(21, i) for i in numbers["train"] + numbers["val"]]
    return made, np.array([[c in s.tags for c in CLASSES] for s in made])


@pytest.mark.slow
def test_colour_histograms_do_not_tell_the_tags(dataset):
    """Held-out tag mAP of a linear classifier on colours is within 0.10 of the mean tag frequency, which is chance."""
    made, tags = dataset
    found = _held_out_map(np.stack([_histograms(s) for s in made]), tags, 500)
    assert abs(found - tags[500:].mean()) <= 0.10


@pytest.mark.slow
def test_the_colour_test_would_notice_coloured_classes(dataset):
    """The same classifier, where every object of the first class has one colour: it finds that class's tag."""
    made, tags = dataset
    painted = []
    for scene in made:
        photo = scene.photo.copy()
        photo[scene.masks[scene.category == 1].any(0)] = (255, 0, 255)
        painted.append(Scene(photo, scene.masks, scene.category))
    found = _held_out_map(np.stack([_histograms(s) for s in painted]), tags[:, :1], 500)
    assert found > tags[500:, 0].mean() + 0.5
