"""The stage images: what each reader gives, and that what lies between index and truth is a wall."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from images_files import CLASSES, PHOTO, coco, folder, voc, write, xml

from stages.images import run
from stages.images.command import inner_point
from stages.images.config import Config
from stages.images.voc import split_ids
from stages.images.voc_truth import difficult, instances_of
from stages.images.xml import Object, read_objects
from tag2mask.cli import main
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.errors import UserError
from tag2mask.run.job import Job
from tag2mask.store.store import digest

VOC = {"kind": "voc", "train": "Main/train", "classes": list(CLASSES), "shards": 2}
COCO = {"kind": "coco", "train_json": "train.json", "val_json": "val.json", "train_photos": "train",
        "val_photos": "val", "shards": 1}  # fmt: skip


PHOTOS20 = Path(__file__).parents[2] / "../shared/data/photos20"


def read(root, *, job=None, **keys):
    """(index, truth, job) of the stage on the dataset at `root`."""
    job = job or Job()
    made = run(None, Config(root=str(root), **keys), job)
    return made["index"], made["truth"], job


def test_voc_index(tmp_path):
    index, _, job = read(voc(tmp_path), **VOC)
    assert index.image_id == ["a", "b", "c", "d"]
    assert index.categories == {1: "cat", 2: "dog"}
    assert [index.tags(i) for i in range(4)] == [(1,), (2,), (1,), (2,)]  # a's dog is difficult: no tag
    assert index.where("train").tolist() == [0, 1, 2]
    assert index.where("with_masks").tolist() == [0, 1]
    assert index.where("val").tolist() == [3]
    assert index.shard.tolist() == [0, 0, 1, -1] and index.of_shard(0).tolist() == [0, 1]
    assert index.size.tolist() == [list(PHOTO)] * 4
    assert index.photo(2).shape == (*PHOTO, 3)
    assert job.warnings == [] and index.counts()["with_masks"] == 2


def test_voc_truth(tmp_path):
    _, truth, _ = read(voc(tmp_path), **VOC)
    assert truth.image_id == ["a", "b", "d"]
    assert truth.category.tolist() == [1, 2, 2, 2, 2]
    assert truth.ignore.tolist() == [0, 2, 0, 0, 0]  # the difficult dog, found by its place in the file
    assert truth.id.tolist() == [1, 2, 3, 4, 5]
    left, right = truth.masks(0)
    assert left[:, :8].all() and not left[:, 8:].any()
    assert right[:, 12:].all() and not right[:, :12].any()
    assert truth.void_mask(0).sum() == PHOTO[0] and truth.void_mask(0)[:, 8].all()


def test_voc_tags_from_the_main_lists(tmp_path):
    root = voc(tmp_path)
    write(root / "ImageSets/Main/cat_train.txt", "a -1\nb 0\nc  1\n")
    write(root / "ImageSets/Main/dog_train.txt", "a 1\nb  1\nc 1\n")
    index, _, _ = read(root, **VOC)
    assert [index.tags(i) for i in range(4)] == [(2,), (2,), (1, 2), (2,)]  # d is in no list: from the XML


def test_voc_photos_outside_the_main_lists_have_tags_from_the_xml(tmp_path):
    root = voc(tmp_path)
    for name in CLASSES:
        write(root / f"ImageSets/Main/{name}_trainval.txt", "a 1\n")
    write(root / "ImageSets/Segmentation/train_aug.txt", "a\nb\n")
    index, _, _ = read(root, **{**VOC, "train": "augmented"})
    assert [index.tags(i) for i in range(2)] == [(1, 2), (2,)]


def test_augmented_and_liid(tmp_path):
    root = voc(tmp_path)
    with pytest.raises(UserError, match=r"train_aug\.txt"):
        split_ids(root, "augmented", "train")
    for name in "dca":
        (root / "SegmentationClassAug").mkdir(exist_ok=True)
        (root / f"SegmentationClassAug/{name}.png").touch()
    assert split_ids(root, "augmented", "train") == ["a", "c"]  # without Segmentation/val
    write(root / "ImageSets/Segmentation/trainaug.txt", "b\na\n")
    assert split_ids(root, "augmented", "train") == ["b", "a"]
    write(root / "ImageSets/Main/trainval.txt", "a\nb\nd\n")
    assert split_ids(root, "liid", "train") == ["a", "b"]
    write(root / "ImageSets/Segmentation/train.txt", "b\n")
    assert split_ids(root, "liid_ablation", "train") == ["a"]


def test_voc_photos_with_masks_outside_train_get_labels_and_teach_nothing(tmp_path):
    root = voc(tmp_path)
    write(root / "ImageSets/Main/train.txt", "a\nc\n")
    index, truth, job = read(root, **VOC)
    assert index.where("with_masks").tolist() == [0, 1] and truth.image_id == ["a", "b", "d"]
    assert index.where("train").tolist() == [0, 2] and index.of_shard(None).tolist() == [0, 1, 2]
    assert "1 of the 2 photos of dataset.with_masks are not in dataset.train, the first is b" in job.warnings[0]
    write(root / "ImageSets/Segmentation/train.txt", "a\nd\n")  # d is of val
    index, truth, job = read(root, **VOC)
    assert index.where("with_masks").tolist() == [0] and index.of_shard(None).tolist() == [0, 1]
    assert "1 of the 2 photos of dataset.with_masks are in dataset.val" in job.warnings[0]


def test_voc_without_any_mask_or_box_gives_the_same_index(tmp_path):
    whole, _, _ = read(voc(tmp_path / "x"), **VOC)
    bare = voc(tmp_path / "y")
    for name in ("SegmentationObject", "SegmentationClass"):
        shutil.rmtree(bare / name)
    write(bare / "Annotations/a.xml", xml(("cat", 0, None, None), ("dog", 1, None, None)))
    write(bare / "Annotations/b.xml", xml(("dog", 0, None, None)))
    index, truth, job = read(bare, **VOC)
    assert digest(index.arrays()) == digest(whole.arrays())
    assert truth.images == 0 and "no ground truth" in job.warnings[0]


def test_instances_of_majority_and_void():
    objects = np.array([[1, 1, 1, 2], [0, 255, 3, 3]], np.uint8)
    classes = np.array([[5, 5, 4, 255], [0, 255, 7, 6]], np.uint8)
    numbers, category, void = instances_of(objects, classes)
    assert numbers.tolist() == [1, 3] and category.tolist() == [5, 6]  # a tie goes to the lower class
    assert void.tolist() == [[False, False, False, True], [False, True, False, False]]


def test_difficult_by_number_by_place_and_by_box():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 10, 10]], float)
    near, far = (1, 1, 10, 10), (21, 1, 30, 10)
    numbered = [Object("dog", True, far, 1), Object("dog", False, near, 2)]
    assert difficult([1, 2], ["dog", "dog"], boxes, numbered).tolist() == [True, False]
    placed = [Object("dog", False, near, None), Object("dog", True, near, None)]
    assert difficult([1, 2], ["dog", "dog"], boxes, placed).tolist() == [False, False]
    swapped = [Object("dog", True, far, None), Object("dog", False, near, None)]
    assert difficult([1, 2], ["dog", "dog"], boxes, swapped).tolist() == [False, True]
    assert difficult([1, 2], ["cat", "cat"], boxes, swapped).tolist() == [False, False]
    assert difficult([1, 2], ["cat", "cat"], boxes, []).tolist() == [False, False]


def test_coco(tmp_path):
    index, truth, job = read(coco(tmp_path), **COCO)
    assert index.image_id == ["000000000009", "000000000010", "v1", "v2"]
    assert index.categories == {3: "cat", 7: "dog"}
    assert [index.tags(i) for i in range(4)] == [(3,), (7,), (3,), (7,)]  # the crowd gives no tag
    assert index.where("with_masks").tolist() == [0, 1] and index.where("val").tolist() == [2, 3]
    assert truth.image_id == index.image_id and job.warnings == []
    assert truth.id.tolist() == [90, 91, 92, 400, 401, 402]
    assert truth.ignore.tolist() == [0, 1, 0] * 2
    assert truth.area[:3].tolist() == [47.5, 5, 7]
    assert truth.bbox[0].tolist() == [2, 3, 8, 6]
    assert truth.masks(0)[0].sum() == 48 and truth.masks(0)[0][3:9, 2:10].all()


def test_coco_some_classes(tmp_path):
    index, truth, _ = read(coco(tmp_path), **COCO, classes=["dog"], on_untagged="skip")
    assert index.categories == {7: "dog"} and index.image_id == ["000000000010", "v1", "v2"]
    assert [index.tags(i) for i in range(3)] == [(7,), (), (7,)]
    assert truth.id.tolist() == [92, 401, 402]  # a held-out photo stays, with its crowd


def test_coco_annotation_ids_of_two_files_stay_unique(tmp_path):
    def change(split, document):
        for k, one in enumerate(document["annotations"]):
            one["id"] = k + 1

    _, truth, job = read(coco(tmp_path, change), **COCO)
    assert truth.id.tolist() == [1, 2, 3, 4, 5, 6] and "raised by 3" in job.warnings[0]


def test_coco_without_any_mask_or_box_gives_the_same_index(tmp_path):
    def bare(split, document):
        for one in document["annotations"]:
            for key in ("segmentation", "bbox", "area"):
                del one[key]

    whole, _, _ = read(coco(tmp_path / "x"), **COCO)
    index, truth, job = read(coco(tmp_path / "y", bare), **COCO)
    assert digest(index.arrays()) == digest(whole.arrays())
    assert truth.images == 0 and len(job.warnings) == 2


@pytest.mark.parametrize(
    "table",
    [
        "file,tags\na.jpg,dog;cat\nsub/b.png,cat\n",
        "\ufefffile;tags\r\na.jpg;dog;cat\r\nsub/b.png;cat\r\n",
        'file;tags\na.jpg;"dog;cat"\nsub/b.png;cat\n',
        "file,dog,cat\na.jpg,1,1\nsub/b.png,0,1\n",
        "file,tags\na.jpg,dog;cat\nsub/b.png,cat\n,,\n,,\n",
        "file\tcat\tdog\na.jpg\t1\t1\nsub/b.png\t1\t\n",
    ],
)
def test_folder(tmp_path, table):
    index, truth, _ = read(folder(tmp_path, table), kind="folder", shards=1)
    assert truth is None
    assert index.image_id == ["a", "sub/b"] and index.path == ["a.jpg", "sub/b.png"]
    named = [{index.categories[k] for k in index.tags(i)} for i in range(2)]
    assert named == [{"cat", "dog"}, {"cat"}]
    assert index.where("val").size == 0 and index.where("with_masks").size == 0


def test_folder_with_a_list_of_held_out_photos_and_unlisted_ones(tmp_path):
    root = folder(tmp_path, "file,tags\na.jpg,dog\n")
    shutil.copy(root / "a.jpg", root / "c.jpg")
    write(root / "val.txt", "sub/b.png\n")
    index, _, job = read(root, kind="folder", shards=1, val="val.txt")
    assert index.where("val").tolist() == [1] and index.tags(1) == ()
    assert "1 photos have no line in tags.csv and are left out, the first is c.jpg" in job.warnings[0]


def test_scenes(tmp_path):
    keys = {"n_train": 3, "n_val": 2, "size": 64, "shards": 3}
    made = run(None, Config(**keys), Job(seed=5, folder=tmp_path / "one"))
    again = run(None, Config(**keys), Job(seed=5, folder=tmp_path / "two", threads=2))
    other = run(None, Config(**keys), Job(seed=6, folder=tmp_path / "three"))
    index, truth = made["index"], made["truth"]
    assert digest(index.arrays()) == digest(again["index"].arrays())
    assert digest(truth.arrays()) == digest(again["truth"].arrays())
    assert digest(index.arrays()) != digest(other["index"].arrays())
    assert index.train.sum() == index.with_masks.sum() == 3 and index.val.sum() == 2 and index.shards == 3
    for i in range(5):
        assert index.tags(i) == tuple(sorted(set(truth.category[truth.rows(i)].tolist())))
        assert index.photo(i).shape == (64, 64, 3)
    assert len(list((tmp_path / "one/photos").iterdir())) == 5
    more = run(None, Config(**{**keys, "n_train": 4}), Job(seed=5, folder=tmp_path / "one"))["index"]
    assert more.digest[more.where("val")].tolist() == index.digest[index.where("val")].tolist()


def test_index_round_trip_and_what_its_digest_covers(tmp_path):
    root = voc(tmp_path / "data")
    index, _, _ = read(root, **VOC)
    index.save(tmp_path / "index.zarr.zip")
    back = Index.load(tmp_path / "index.zarr.zip")
    assert digest(back.arrays()) == digest(index.arrays())
    assert (back.image_id, back.path, back.categories, back.root) == (
        index.image_id, index.path, index.categories, index.root)  # fmt: skip
    assert back.tags(1) == (2,) and back.shards == 2
    moved, _, _ = read(shutil.copytree(root, tmp_path / "moved"), **VOC)
    assert digest(moved.arrays()) == digest(index.arrays())  # where the photos lie does not count
    with (root / "JPEGImages/a.jpg").open("ab") as file:
        file.write(b"\0")
    changed, _, _ = read(root, **VOC)
    assert digest(changed.arrays()) != digest(index.arrays())  # their bytes do


def test_index_has_nothing_but_tags_and_splits(tmp_path):
    index, _, _ = read(voc(tmp_path), **VOC)
    assert set(index.arrays()) == {
        "image_id", "path", "category_id", "category_name", "size", "train", "with_masks", "val", "shard",
        "tag_first", "tag", "digest",
    }  # fmt: skip
    assert set(index.attrs()) == {"root", "skipped"}


def test_xml_with_a_document_type_is_refused(tmp_path):
    entities = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]>'
    write(tmp_path / "a.xml", f"{entities}<annotation><object><name>&c;</name></object></annotation>")
    with pytest.raises(UserError, match=r"a\.xml is not a VOC annotation \(it declares a document type"):
        read_objects(tmp_path / "a.xml", "a.xml")


def test_xml_in_an_unknown_encoding_is_refused(tmp_path):
    write(tmp_path / "a.xml", '<?xml version="1.0" encoding="nonsense"?><annotation/>')
    with pytest.raises(UserError, match=r"a\.xml is not a VOC annotation \(unknown encoding"):
        read_objects(tmp_path / "a.xml", "a.xml")


def test_inner_point():
    mask = np.zeros((9, 12), bool)
    mask[1:8, 0:7] = True  # touches the left border, which counts as outside
    assert inner_point(mask) == (3, 4)
    ring = np.ones((7, 7), bool)
    ring[2:5, 2:5] = False
    x, y = inner_point(ring)
    assert ring[y, x]
    assert inner_point(np.zeros((3, 3), bool)) is None


def test_points_command(tmp_path, capsys):
    _, truth, _ = read(voc(tmp_path), **VOC)
    truth.save(tmp_path / "truth.zarr.zip")
    assert main(["points", str(tmp_path / "truth.zarr.zip"), str(tmp_path / "points.csv")]) == 0
    with (tmp_path / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["image_id"], row["class"]) for row in rows] == [("a", "cat"), ("b", "dog"), ("b", "dog"), ("d", "dog")]
    loaded = Instances.load(tmp_path / "truth.zarr.zip")
    assert loaded.masks(0)[0][int(rows[0]["y"]), int(rows[0]["x"])]
    assert "4 points" in capsys.readouterr().out
    assert main(["points", str(tmp_path / "none.zarr.zip"), str(tmp_path / "points.csv")]) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.skipif(not PHOTOS20.is_dir(), reason="the photographs in ../shared/data/photos20 are not here")
def test_real_photos_by_both_readers():
    voc_keys = {"train": "Main/train", "with_masks": "Segmentation/train", "val": "Segmentation/val"}
    index, truth, job = read(PHOTOS20, kind="voc", job=Job(threads=2), **voc_keys)
    assert (len(index), index.train.sum(), index.with_masks.sum(), index.val.sum()) == (815, 739, 286, 76)
    assert job.warnings == [] and job.numbers["skipped"] == 0
    assert truth.images == 362 and set(truth.category.tolist()) == set(index.categories) == set(range(1, 21))

    json_keys = {f"{split}_json": f"coco/instances_{split}.json" for split in ("train", "val")}
    folders = {"train_photos": "JPEGImages", "val_photos": "JPEGImages"}
    of_coco, coco_truth, job = read(PHOTOS20, kind="coco", job=Job(threads=2), **json_keys, **folders)
    assert job.warnings == [] and of_coco.image_id == truth.image_id == coco_truth.image_id
    assert len(of_coco.categories) == 80 and (len(coco_truth), (coco_truth.ignore == 1).sum()) == (3622, 40)
    # the same photos and digests, whoever lists them; and the same tags, as far as both have the class
    position = {name: i for i, name in enumerate(index.image_id)}
    for i, name in enumerate(of_coco.image_id):
        assert of_coco.digest[i] == index.digest[position[name]]
        persons = [1 in of_coco.tags(i), 15 in index.tags(position[name])]
        assert persons[0] == persons[1], name
