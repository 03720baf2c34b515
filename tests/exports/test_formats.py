"""Every format read back by a few lines of our own; the tools it is meant for read it in test_tools.py."""

import json
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
import yaml
from conftest import ROOT
from defusedxml import ElementTree
from export_masks import PHOTOS, SIZE, masks
from pycocotools.coco import COCO

from tag2mask.cli import main
from tag2mask.cli.export import validation
from tag2mask.data.formats import FORMATS, Export
from tag2mask.data.formats.label_studio import packed
from tag2mask.data.outlines import chained, one_ring, polygons

pytest_plugins = ("export_run",)  # its fixtures

FILES = list(PHOTOS.values())
FOUND = masks()


def pixels(ring, size=SIZE):
    """The pixels in a ring by the even-odd rule, their middles counted: a slow way of its own."""
    x, y = np.asarray(ring, float).reshape(-1, 2).T
    down, across = np.mgrid[: size[0], : size[1]] + 0.5
    inside = np.zeros(size, bool)
    for x0, y0, x1, y1 in zip(x, y, np.roll(x, -1), np.roll(y, -1)):
        if y0 != y1:
            crossed = (down < y0) != (down < y1)
            inside ^= crossed & (across < x0 + (down - y0) / (y1 - y0) * (x1 - x0))
    return inside


def shoelace(ring):
    x, y = np.asarray(ring, float).T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


# ---- outlines


def test_a_pixel_is_a_square_and_a_hole_is_one_too():
    mask = np.zeros((5, 6), bool)
    mask[1:4, 2:5] = True
    mask[2, 3] = False
    [(outer, [hole])] = polygons(mask)
    assert {tuple(p) for p in outer.tolist()} == {(2, 1), (5, 1), (5, 4), (2, 4)} and len(outer) == 4
    assert {tuple(p) for p in hole.tolist()} == {(3, 2), (4, 2), (4, 3), (3, 3)} and len(hole) == 4
    assert polygons(np.zeros((3, 3), bool)) == []


def test_outlines_of_random_masks_are_exact():
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = rng.random(rng.integers(1, 12, 2)) < rng.choice([0.3, 0.5, 0.7])
        found = polygons(mask)
        assert sum(shoelace(outer) - sum(map(shoelace, holes)) for outer, holes in found) == mask.sum()
        parts = [one_ring(outer, holes) for outer, holes in found]
        if parts:
            assert np.array_equal(np.any([pixels(part, mask.shape) for part in parts], 0), mask)
            assert np.array_equal(pixels(chained(parts), mask.shape), mask)


# ---- formats


@pytest.mark.parametrize("form", ["coco-rle", "coco-polygons"])
def test_coco(exported, form):
    coco = COCO(str(exported(form, "labels.json")))
    assert [coco.imgs[k]["file_name"] for k in sorted(coco.imgs)] == FILES
    for k, name in zip(sorted(coco.imgs), PHOTOS):
        for annotation, (category, score, mask) in zip(coco.loadAnns(coco.getAnnIds([k])), FOUND[name], strict=True):
            assert np.array_equal(coco.annToMask(annotation).astype(bool), mask)
            assert (annotation["category_id"], annotation["score"], annotation["area"]) == (category, score, mask.sum())


def test_yolo_seg(exported, photos):
    out = exported("yolo-seg", "yolo")
    data = yaml.safe_load((out / "data.yaml").read_text())
    assert data["names"] == {0: "cat", 1: "dog & co"} and set(data) == {"train", "val", "names"}
    links = {p.relative_to(out / "images").as_posix(): p.resolve() for p in (out / "images").rglob("*.*")}
    assert links == {
        "train/a.png": photos / "a.png", "train/sub/b.jpg": photos / "sub/b.jpg", "val/val/c.png": photos / "val/c.png"
    }  # fmt: skip
    for link, name in zip(sorted(links), PHOTOS):
        lines = (out / "labels" / link).with_suffix(".txt").read_text().splitlines()
        for line, (category, _, mask) in zip(lines, FOUND[name], strict=True):
            place, *shares = line.split()
            assert int(place) == {2: 0, 7: 1}[category]
            ring = np.array(shares, float).reshape(-1, 2) * SIZE[::-1]
            assert np.array_equal(pixels(ring.round(3)), mask)


def test_yolo_without_a_validation_split_holds_out_the_last_photos(run):
    table = run[1]
    assert validation(table, None, 0.1).tolist() == [False, False, True]
    assert validation(table, None, 0.67).tolist() == [False, True, True]


def test_photos_that_only_their_suffix_tells_apart(run):
    table = run[1]
    export = Export(table, ["x/a.jpg", "x/a.png", "b.png"], None, np.zeros(3, bool), None)
    assert export.stems() == ["x/a_jpg", "x/a_png", "b"]


def test_cvat(exported):
    page = ElementTree.parse(exported("cvat", "labels.xml")).getroot()
    assert [label.findtext("name") for label in page.iter("label")] == ["cat", "dog & co"]
    images = page.findall("image")
    assert [image.get("name") for image in images] == FILES
    for image, found in zip(images, FOUND.values()):
        assert (int(image.get("height")), int(image.get("width"))) == SIZE
        for shape, (category, score, mask) in zip(image.findall("mask"), found, strict=True):
            runs = [int(one) for one in shape.get("rle").split(",")]
            flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            left, top, width, height = (int(shape.get(key)) for key in ("left", "top", "width", "height"))
            again = np.zeros(SIZE, bool)
            again[top : top + height, left : left + width] = flat.reshape(height, width)
            assert np.array_equal(again, mask) and shape.get("label") == {2: "cat", 7: "dog & co"}[category]
            assert float(shape.findtext("attribute")) == score


def test_labelme(exported, photos):
    out = exported("labelme", "labelme")
    for (name, found), path in zip(FOUND.items(), FILES):
        file = out / f"{name}.json"
        content = json.loads(file.read_text())
        assert (file.parent / content["imagePath"]).resolve() == photos / path
        assert (content["imageHeight"], content["imageWidth"], content["imageData"]) == (*SIZE, None)
        for k, (_, score, mask) in enumerate(found, 1):
            shapes = [shape for shape in content["shapes"] if shape["group_id"] == k]
            assert np.array_equal(np.any([pixels(shape["points"]) for shape in shapes], 0), mask)
            assert {shape["score"] for shape in shapes} == {score}


def unpacked(data):
    """Label Studio's run lengths, read bit by bit."""
    stream = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def take(width):
        nonlocal at
        at += width
        return int(stream[at - width : at], 2)

    number, width, sizes = take(32), take(5) + 1, [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < number:
        same, count = take(1), take(sizes[take(2)]) + 1
        values += [take(width)] * count if same else [take(width) for _ in range(count)]
    return np.array(values)


def test_label_studio(exported):
    tasks = json.loads(exported("label-studio", "tasks.json").read_text())
    assert [parse_qs(urlparse(task["data"]["image"]).query)["d"][0] for task in tasks] == FILES
    for task, found in zip(tasks, FOUND.values()):
        for one, (_, score, mask) in zip(task["predictions"][0]["result"], found, strict=True):
            assert (one["original_height"], one["original_width"], one["score"]) == (*SIZE, score)
            channels = unpacked(one["value"]["rle"]).reshape(*SIZE, 4)
            assert np.array_equal(channels, np.repeat(mask[..., None] * 255, 4, 2))


def test_long_runs_of_label_studio_are_cut():
    mask = np.zeros((200, 300), bool)  # 240,000 values
    mask[5, 7] = True
    assert np.array_equal(unpacked(packed(mask)).reshape(200, 300, 4)[..., 3] > 0, mask)


# ---- the command


def test_names_are_relative_to_a_stated_root(run, exported, photos, capsys):
    content = json.loads(exported("coco-rle", "all.json", "--root", str(photos.parent)).read_text())
    assert [image["file_name"] for image in content["images"]] == [f"photos/{path}" for path in FILES]
    assert f"5 instances of 3 photos, named relative to {photos.parent}" in capsys.readouterr().out
    assert main(["export", str(run[0]), "x.json", "--root", str(photos / "sub")]) == 1
    assert f"{photos / 'a.png'} does not lie below {photos / 'sub'}" in capsys.readouterr().err


def test_instances_of_a_low_score_are_left_out_and_photos_stay(exported, capsys):
    content = json.loads(exported("coco-polygons", "few.json", "--min-score", "0.5").read_text())
    assert len(content["images"]) == 3 and [a["score"] for a in content["annotations"]] == [0.75, 0.5, 1.0]
    assert "3 instances of 3 photos" in (said := capsys.readouterr().out) and "2 left out" in said


@pytest.mark.parametrize(("form", "out"), [("yolo-seg", "x.json"), ("cvat", "x"), ("label-studio", "x.xml")])
def test_a_wrong_ending_is_one_sentence(run, form, out, capsys):
    assert main(["export", str(run[0]), out, "--format", form]) == 1
    assert capsys.readouterr().err.startswith(f"{out}: {form} is a ")


def test_every_format_stands_in_the_documents():
    text = (ROOT / "docs/your-photos.md").read_text()
    assert all(f"`{form}`" in text for form in FORMATS)
