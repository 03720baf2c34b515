"""COCO JSON to instance tables and back: nothing changes on the way, and every fault has its sentence."""

import json

import numpy as np
import pytest

from tag2mask.data import rle
from tag2mask.data.coco import from_coco, image_numbers, to_coco
from tag2mask.data.instances import InstancesBuilder
from tag2mask.errors import UserError


def square(size, top, left, side):
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def table(names=("000000000007", "000000000019", "000000000100")):
    """Three images: objects, a crowd, a difficult one; none at all; void pixels and a zero-area mask."""
    builder = InstancesBuilder({3: "cat", 7: "dog"})
    masks = np.stack([square((9, 11), 1, 2, 4), square((9, 11), 0, 0, 9), square((9, 11), 5, 5, 3)])
    builder.add(names[0], (9, 11), masks, category=[7, 3, 3], score=[0.1, 0.7, 1 / 3], ignore=[0, 1, 2])
    builder.add(names[1], (4, 6), np.zeros((0, 4, 6), bool), category=3)
    masks = np.stack([square((8, 5), 0, 0, 0), square((8, 5), 2, 1, 2)])
    boxes = [[0, 0, 0, 0], [0.25, 1.1, 3.3, 4.7]]
    void = square((8, 5), 6, 0, 2)
    builder.add(names[2], (8, 5), masks, category=[3, 7], bbox=boxes, area=[0, 12.34567], id=[90, 80], void=void)
    return builder.finish()


def same(a, b):
    assert a.image_id == b.image_id and a.categories == b.categories
    for name, values in a.arrays().items():
        if name != "image_id":
            assert values.dtype == getattr(b, name).dtype, name
            np.testing.assert_array_equal(values, getattr(b, name), err_msg=name)


@pytest.mark.parametrize(
    "names", [("000000000007", "000000000019", "000000000100"), ("b", "a", "c"), ("9", "10", "7"), ("05", "5", "7")]
)
def test_round_trip_is_exact(tmp_path, names):
    before = table(names)
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(to_coco(before)))
    same(before, from_coco(path))


def test_json_is_what_coco_tools_expect(tmp_path):
    from pycocotools.coco import COCO

    document = to_coco(table(), file_names={"000000000019": "photos/19.png"})
    assert [image["id"] for image in document["images"]] == [7, 19, 100]
    assert document["images"][1]["file_name"] == "photos/19.png"
    assert [a["id"] for a in document["annotations"]] == [1, 2, 3, 90, 80]
    assert [a["iscrowd"] for a in document["annotations"]] == [0, 1, 0, 0, 0]
    assert document["annotations"][2]["ignore"] == 1
    assert document["annotations"][0]["bbox"] == [2, 1, 4, 4] and document["annotations"][0]["area"] == 16
    assert isinstance(document["annotations"][0]["segmentation"]["counts"], str)
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(document))
    coco = COCO(str(path))
    np.testing.assert_array_equal(coco.annToMask(coco.loadAnns([1])[0]), square((9, 11), 1, 2, 4))
    assert coco.getCatIds() == [3, 7]


def test_names_that_are_no_rising_numbers_are_counted():
    assert image_numbers(["007", "19"]) == [7, 19]
    assert image_numbers(["19", "007"]) == [1, 2]
    assert image_numbers(["007", "7"]) == [1, 2]
    assert image_numbers(["a", "7"]) == [1, 2]


def test_equal_ids_are_refused():
    before = table()
    with pytest.raises(ValueError, match="unique"):
        to_coco(before.replaced(id=np.ones(len(before), np.int64)))


def document(**annotation):
    one = {"id": 5, "image_id": 1, "category_id": 2, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], **annotation}
    return {
        "images": [{"id": 4, "file_name": "x/b.jpg", "height": 5, "width": 6},
                   {"id": 1, "file_name": "x/a.v2.jpg", "height": 4, "width": 6}],
        "annotations": [one],
        "categories": [{"id": 2, "name": "cup"}],
    }  # fmt: skip


def test_polygons_several_parts_own_area_and_box():
    parts = [[1, 1, 4, 1, 4, 3, 1, 3], [4, 0, 6, 0, 6, 1, 4, 1]]
    read = from_coco(document(segmentation=parts, area=7.25, bbox=[1, 0.5, 5, 3]))
    assert read.image_id == ["x/a.v2", "x/b"] and read.first.tolist() == [0, 1, 1]
    expected = np.zeros((4, 6), bool)
    expected[1:3, 1:4] = True
    expected[0, 4:6] = True
    np.testing.assert_array_equal(read.mask(0), expected)
    assert read.area.tolist() == [7.25] and read.bbox.tolist() == [[1, 0.5, 5, 3]] and read.score.tolist() == [1]


def test_uncompressed_runs_are_column_major_and_crowds_are_marked():
    read = from_coco(document(segmentation={"size": [4, 6], "counts": [5, 2, 17]}, iscrowd=1))
    expected = np.zeros((4, 6), bool)
    expected[1:3, 1] = True  # pixels 5 and 6 of columns of four
    np.testing.assert_array_equal(read.mask(0), expected)
    assert read.ignore.tolist() == [1] and read.area.tolist() == [2]


def test_own_area_is_not_counted_when_missing_and_no_polygon_is_no_pixel():
    assert from_coco(document()).area.tolist() == [6]
    assert from_coco(document(segmentation=[])).area.tolist() == [0]


def test_result_lists_take_images_and_order_from_their_ground_truth(tmp_path):
    mask = rle.encode(square((5, 6), 1, 1, 2)[None])[0]
    result = {
        "image_id": 4,
        "category_id": 2,
        "segmentation": {**mask, "counts": mask["counts"].decode()},
        "score": 0.5,
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps([result, {**result, "score": 0.25}]))
    read = from_coco(path, like=document())
    assert read.image_id == ["x/a.v2", "x/b"] and read.first.tolist() == [0, 0, 2]
    assert read.score.tolist() == [0.5, 0.25] and read.id.tolist() == [1, 2] and read.area.tolist() == [4, 4]
    truth = table(("a", "b", "c"))
    small = rle.encode(square((4, 6), 1, 1, 2)[None])[0]
    for name in ("b", 2):  # a store is named by its image names or by the numbers that to_coco gives them
        read = from_coco([{**result, "image_id": name, "category_id": 3, "segmentation": small}], like=truth)
        assert read.image_id == truth.image_id and read.first.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"category_id": 9}, "annotation 5 has category 9, which is not listed"),
        ({"image_id": 9}, "annotation 5 names image 9"),
        ({"segmentation": None}, "annotation 5 has no mask"),
        ({"segmentation": [[1, 1, 4, 1]]}, "at least 3 points"),
        ({"segmentation": {"size": [6, 4], "counts": [24]}}, r"size \[6, 4\]; its image is \[4, 6\]"),
        ({"segmentation": {"size": [4, 6], "counts": [23]}}, "do not add up to the image's 24"),
        ({"segmentation": {"size": [4, 6], "counts": rle.from_counts([23], (1, 23))["counts"]}}, "do not add up"),
    ],
)
def test_faults_are_one_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        from_coco(document(**change))


def test_files_that_are_no_coco(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        from_coco(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"bad\.json is no JSON"):
        from_coco(tmp_path / "bad.json")
    with pytest.raises(UserError, match="no list `categories`"):
        from_coco({"images": [], "annotations": []})
    with pytest.raises(UserError, match="name its ground truth"):
        from_coco([])
    twice = document()
    twice["images"][1]["id"] = 4
    with pytest.raises(UserError, match="two images of the id 4"):
        from_coco(twice)
