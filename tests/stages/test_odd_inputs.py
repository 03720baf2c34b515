"""Data as other tools write them (docs/odd_kinds.py): every photo, tag and mask right, or one sentence."""

import numpy as np
import pytest

from docs.make_inputs import answer
from docs.odd_inputs import BOXES, SHOWN, mask
from docs.odd_kinds import KINDS
from tag2mask.data.photo import read_photo

ALL = [odd for kinds in KINDS.values() for odd in kinds]
READ = [(odd, odd.keys) for odd in ALL if not odd.refused] + [(odd, odd.keys | odd.way) for odd in ALL if odd.way]


@pytest.mark.parametrize("odd", [odd for odd in ALL if odd.refused], ids=lambda odd: odd.what)
def test_what_is_refused_is_one_sentence(odd, tmp_path):
    odd.make(tmp_path)
    said, made = answer(tmp_path, odd.keys)
    assert made is None and "\n" not in said and said.endswith(".")
    for key, value in odd.way.items():
        assert f"dataset.{key}: {value}" in said or value == "negative"


@pytest.mark.parametrize(("odd", "keys"), READ, ids=[f"{odd.what} {list(keys)[-1]}" for odd, keys in READ])
def test_what_is_read_is_right(odd, keys, tmp_path):
    odd.make(tmp_path)
    said, made = answer(tmp_path, keys)
    assert made is not None, said
    index, truth = made["index"], made["truth"]
    place = {0: 0, 1: 3} if "damaged" in odd.what else {i: i for i in range(len(SHOWN))}  # of the index -> of SHOWN
    assert len(index) - index.val.sum() == len(place) and len(index.categories) == 2
    for i, k in place.items():
        if index.negative[i]:
            assert odd.way == {"on_untagged": "negative"} and k == 3 and index.tags(i) == () and not index.train[i]
            continue
        assert {odd.names.get(name, name).lower() for name in map(index.categories.get, index.tags(i))} == set(SHOWN[k])
        np.testing.assert_array_equal(index.photo(i), read_photo(index.file(i), upright=keys.get("exif") != "ignore"))
        if truth is None or index.image_id[i] not in truth.image_id:
            continue
        rows = truth.rows(truth.image_id.index(index.image_id[i]))
        names = [truth.categories[int(category)] for category in truth.category[rows]]
        assert names == list(SHOWN[k]) and not truth.ignore[rows].any()
        for name, found, box, area in zip(names, truth.masks(truth.image_id.index(index.image_id[i])),
                                          truth.bbox[rows], truth.area[rows]):  # fmt: skip
            x, y, right, bottom = BOXES[name]
            np.testing.assert_array_equal(found, mask(name))
            assert box.tolist() == [x, y, right - x, bottom - y] and area == found.sum()
    masked = len(SHOWN) if truth is not None and "mask" not in odd.what else None
    assert masked is None or truth.images - index.val.sum() == masked


def test_one_class_is_one_class_and_what_was_guessed_is_said(tmp_path):
    """Words that are told: the guesses that could be wrong."""
    told = {"parted by spaces": "'cat dog' is read as 2 tags", "capitals and not": "all are read as 'cat'",
            "composed and not": "writes one class as", "Windows-1252": "read as Windows-1252",
            "another case": "4 names in tags.csv differ", "upside down": "dataset.exif: ignore",
            "from 0": "all ids are one higher", "two points": "1 polygons of fewer than 3 points",
            "start again": "numbered anew"}  # fmt: skip
    for number, (words, sentence) in enumerate(told.items()):
        odd = next(odd for odd in ALL if words in odd.what)
        root = tmp_path / str(number)
        root.mkdir()
        odd.make(root)
        assert sentence in answer(root, odd.keys)[0]
