"""Saliency without learning: synthetic photos, border connectivity by hand."""

import inspect

import numpy as np
import pytest

from stages.saliency.config import Config
from tag2mask.data.saliency import border_connectivity, optimised, saliency_map


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


def test_the_defaults_of_the_configuration_are_those_of_the_function():
    parameters = inspect.signature(saliency_map).parameters.values()
    words = {"sigma_colour": "colour", "sigma_border": "border", "sigma_place": "place"}
    defaults = {words.get(one.name, one.name): one.default for one in parameters if one.name != "photo"}
    section = Config().model_dump()
    assert {f"rbd_{name}": value for name, value in defaults.items()} == {
        name: value for name, value in section.items() if name.startswith("rbd_")
    }
