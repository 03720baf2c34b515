"""Every format in the tool that it is meant for: the same counts and areas. `make test-exports` installs the tools.

FiftyOne's importers are walked through by themselves: a dataset of its own wants a database that its package downloads.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from export_masks import PHOTOS, SIZE, masks

pytest_plugins = ("export_run",)  # its fixtures

FOUND = masks()
NUMBER = sum(map(len, FOUND.values()))
AREAS = {name: sorted(int(mask.sum()) for _, _, mask in found) for name, found in FOUND.items()}
CLASSES = ["cat", "dog & co"]


def tool(name):
    """The module, or a skipped test that says how to get it."""
    return pytest.importorskip(name, reason=f"{name} is not installed; `make test-exports` installs it")


def edge(name):
    """Pixels on the outline of each mask of a photo, the smallest area first: where drawing may differ by rounding."""
    import cv2

    kernel = np.ones((3, 3), np.uint8)
    ordered = sorted((mask.astype(np.uint8) for _, _, mask in FOUND[name]), key=np.sum)
    return [int((cv2.dilate(mask, kernel) - cv2.erode(mask, kernel)).sum()) for mask in ordered]


@pytest.mark.parametrize("form", ["coco-rle", "coco-polygons"])
def test_supervision_reads_coco(exported, photos, form):
    sv = tool("supervision")
    file = exported(form, "labels.json")
    dataset = sv.DetectionDataset.from_coco(str(photos), str(file), force_masks=True)
    assert dataset.classes == CLASSES and len(dataset) == len(PHOTOS)
    for name, path in PHOTOS.items():
        found = dataset.annotations[str(photos / path)]
        areas = sorted(int(mask.sum()) for mask in found.mask) if len(found) else []
        assert len(areas) == len(AREAS[name])
        for ours, theirs, border in zip(AREAS[name], areas, edge(name)):
            assert abs(ours - theirs) <= (0 if form == "coco-rle" else border)


@pytest.mark.parametrize("form", ["coco-rle", "coco-polygons"])
def test_datumaro_reads_coco(exported, photos, tmp_path, form):
    dm = tool("datumaro")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train").symlink_to(photos)
    exported(form, "annotations/instances_train.json")
    dataset = dm.Dataset.import_from(str(tmp_path), "coco_instances")
    assert classes(dm, dataset) == CLASSES
    found = {item.id: [a for a in item.annotations if a.type != dm.AnnotationType.bbox] for item in dataset}
    assert set(found) == set(PHOTOS)
    for name, one in found.items():  # the polygons of an instance are annotations of one group
        groups = {a.group: sum(b.get_area() for b in one if b.group == a.group) for a in one}
        assert sorted(int(area) for area in groups.values()) == AREAS[name]


def classes(dm, dataset):
    return [label.name for label in dataset.categories()[dm.AnnotationType.label]]


@pytest.mark.parametrize("form", ["coco-rle", "coco-polygons"])
def test_fiftyone_reads_coco(exported, photos, form):
    coco = tool("fiftyone.utils.coco")
    given = {"data_path": str(photos), "labels_path": str(exported(form, "labels.json"))}
    with coco.COCODetectionDatasetImporter(**given, label_types=["segmentations"]) as importer:
        assert importer.get_dataset_info()["classes"] == CLASSES
        found = {str(Path(path).relative_to(photos)): label for path, _, label in importer}
    assert set(found) == set(PHOTOS.values())
    for name, path in PHOTOS.items():
        objects = found[path].detections if found[path] else []
        areas = sorted(int(one.mask.sum()) for one in objects)
        assert len(areas) == len(AREAS[name])
        for ours, theirs, border in zip(AREAS[name], areas, edge(name)):
            assert abs(ours - theirs) <= (0 if form == "coco-rle" else border)


def test_fiftyone_reads_yolo(exported):
    yolo = tool("fiftyone.utils.yolo")
    out = exported("yolo-seg", "yolo")
    for split, names in (("train", ["a", "sub/b"]), ("val", ["val/c"])):
        given = {"dataset_dir": str(out), "yaml_path": "data.yaml", "split": split, "label_type": "polylines"}
        with yolo.YOLOv5DatasetImporter(**given) as importer:
            found = {Path(path).stem: label for path, _, label in importer}
        assert set(found) == {Path(name).name for name in names}
        for name in names:
            label = found[Path(name).name]
            assert len(label.polylines if label else []) == len(AREAS[name])


def test_ultralytics_reads_yolo(exported):
    tool("ultralytics")
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    data = check_det_dataset(str(exported("yolo-seg", "yolo") / "data.yaml"), autodownload=False)
    assert list(data["names"].values()) == CLASSES
    seen = 0
    for split, names in (("train", ["a", "sub/b"]), ("val", ["val/c"])):
        dataset = YOLODataset(img_path=data[split], data=data, task="segment", augment=False, imgsz=80)
        labels = {one["im_file"].rpartition(f"images/{split}/")[2].rpartition(".")[0]: one for one in dataset.labels}
        assert set(labels) == set(names)
        for name, one in labels.items():
            areas = sorted(int(polygon2mask(SIZE, [(s * SIZE[::-1]).ravel()]).sum()) for s in one["segments"])
            assert len(areas) == len(AREAS[name])
            # drawn with its border: an outline along the pixels' edges gets a pixel wider at the right and below
            assert all(abs(a - b) <= c for a, b, c in zip(areas, AREAS[name], edge(name)))
            seen += len(areas)
    assert seen == NUMBER


def test_supervision_reads_yolo(exported):
    sv = tool("supervision")
    out = exported("yolo-seg", "yolo")
    dataset = sv.DetectionDataset.from_yolo(
        str(out / "images/val/val"), str(out / "labels/val/val"), str(out / "data.yaml"), force_masks=True
    )
    [found] = dataset.annotations.values()
    areas = sorted(int(mask.sum()) for mask in found.mask)
    assert len(areas) == 3 and all(abs(a - b) <= c for a, b, c in zip(areas, AREAS["val/c"], edge("val/c")))


def test_datumaro_reads_cvat(exported, photos, tmp_path):
    dm = tool("datumaro")
    (tmp_path / "images").symlink_to(photos)
    dataset = dm.Dataset.import_from(str(exported("cvat", "labels.xml")), "cvat")
    assert classes(dm, dataset) == CLASSES
    found = {item.id: item.annotations for item in dataset}
    assert {name: sorted(int(a.image.sum()) for a in one) for name, one in found.items()} == AREAS
    scores = sorted(float(a.attributes["score"]) for one in found.values() for a in one)
    assert scores == [0.0625, 0.25, 0.5, 0.75, 1.0]


def test_labelme_reads_its_own(exported):
    tool("labelme")
    from labelme import LabelFile
    from labelme.utils import shape_to_mask

    out = exported("labelme", "labelme")
    for name, areas in AREAS.items():
        file = LabelFile(str(out / f"{name}.json"))
        assert file.imageData  # it found the photo
        drawn = {}
        for shape in file.shapes:
            mask = shape_to_mask(SIZE, shape["points"], shape["shape_type"])
            drawn[shape["group_id"]] = drawn.get(shape["group_id"], False) | mask
        found = sorted(int(mask.sum()) for mask in drawn.values())
        assert len(found) == len(areas) and all(abs(a - b) <= c for a, b, c in zip(found, areas, edge(name)))


def test_label_studio_reads_its_tasks(exported, tmp_path):
    tool("label_studio_sdk")
    from label_studio_sdk.converter import brush

    tasks = json.loads(exported("label-studio", "tasks.json").read_text())
    assert len(tasks) == len(PHOTOS)
    for task, areas in zip(tasks, AREAS.values()):
        decoded = [brush.decode_rle(one["value"]["rle"]) for one in task["predictions"][0]["result"]]
        assert sorted(int((values.reshape(*SIZE, 4)[..., 3] > 0).sum()) for values in decoded) == areas


@pytest.mark.filterwarnings("error")
def test_xarray_opens_a_label_store_without_a_warning(run):
    xarray = tool("xarray")
    found = xarray.open_zarr(run[0])
    assert dict(found.sizes)["instance"] == NUMBER and dict(found.sizes)["image"] == len(PHOTOS)
    assert found["image_id"].values.tolist() == list(PHOTOS)
    np.testing.assert_array_equal(found["score"], run[1].score)
