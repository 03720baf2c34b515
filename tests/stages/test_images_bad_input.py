"""Bad datasets: each is one sentence that names the file or key; bad photos can be listed and left out."""

import json

import numpy as np
import pytest
from images_files import CLASSES, PHOTO, coco, folder, labels, photo, voc, write, xml
from PIL import ExifTags, Image

from stages.images import run
from stages.images.config import Config
from tag2mask.errors import UserError
from tag2mask.run.config import parse
from tag2mask.run.job import Job

VOC = {"kind": "voc", "train": "Main/train", "classes": list(CLASSES), "shards": 1}
COCO = {"kind": "coco", "train_json": "train.json", "val_json": "val.json", "train_photos": "train",
        "val_photos": "val", "shards": 1}  # fmt: skip


def read(root, **keys):
    job = Job()
    made = run(None, Config(root=str(root), **keys), job)
    return made["index"], made["truth"], job


def refused(root, *parts, **keys):
    """The sentence with which the dataset at `root` is refused; it holds all `parts`."""
    with pytest.raises(UserError) as caught:
        read(root, **keys)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    for part in parts:
        assert part in sentence
    return sentence


def truncate(root):
    path = root / "JPEGImages/c.jpg"
    path.write_bytes(path.read_bytes()[:400])


BAD_PHOTOS = {
    "truncated": (truncate, "JPEGImages/c.jpg is truncated"),
    "zero_byte": (lambda root: (root / "JPEGImages/c.jpg").write_bytes(b""), "JPEGImages/c.jpg is empty"),
    "text": (lambda root: (root / "JPEGImages/c.jpg").write_bytes(b"hello"), "JPEGImages/c.jpg is not an image"),
    "one_pixel": (lambda root: photo(root / "JPEGImages/c.jpg", size=(1, 1)), "JPEGImages/c.jpg is 1x1 pixels"),
    "missing": (lambda root: (root / "JPEGImages/c.jpg").unlink(), "JPEGImages/c.jpg does not exist"),
    "untagged": (lambda root: write(root / "Annotations/c.xml", xml()), "JPEGImages/c.jpg has no tag"),
    "only_difficult": (lambda root: write(root / "Annotations/c.xml", xml(("cat", 1, None, None))), "has no tag"),
    "unknown_tag": (
        lambda root: write(root / "Annotations/c.xml", xml(("horse", 0, None, None))),
        "Annotations/c.xml has the tag 'horse', which is not in the class list (cat, dog)",
    ),
    "no_xml": (lambda root: (root / "Annotations/c.xml").unlink(), "Annotations/c.xml cannot be read"),
    "damaged_xml": (
        lambda root: write(root / "Annotations/c.xml", "<annotation><obj"),
        "c.xml is not a VOC annotation",
    ),
}


@pytest.mark.parametrize("case", BAD_PHOTOS)
def test_a_bad_photo_is_refused_or_listed_and_left_out(tmp_path, case):
    root = voc(tmp_path)
    spoil, sentence = BAD_PHOTOS[case]
    spoil(root)
    refused(root, sentence, "dataset.on_bad_image: skip", **VOC)
    index, truth, job = read(root, **VOC, on_bad_image="skip")
    assert index.image_id == ["a", "b", "d"] and truth.image_id == ["a", "b", "d"]
    assert job.numbers["skipped"] == 1 and job.numbers["photos"] == 3
    assert len(job.warnings) == 1 and "1 bad photos are left out" in job.warnings[0] and sentence in job.warnings[0]
    assert index.skipped[0][0] == "c" and sentence in index.skipped[0][1]


def test_all_bad_photos_are_in_the_log(tmp_path, caplog):
    root = voc(tmp_path)
    for name in "bc":
        (root / f"JPEGImages/{name}.jpg").write_bytes(b"")
    refused(root, "b.jpg is empty", "1 more bad photos are in the log", **VOC)
    assert "c.jpg is empty" in caplog.text


def test_untagged_photos_can_be_left_out_alone(tmp_path):
    root = voc(tmp_path)
    write(root / "Annotations/c.xml", xml())
    index, _, job = read(root, **VOC, on_untagged="skip")
    assert index.image_id == ["a", "b", "d"] and job.numbers["untagged"] == 1
    (root / "JPEGImages/b.jpg").write_bytes(b"")
    refused(root, "b.jpg is empty", **VOC, on_untagged="skip")


def test_a_held_out_photo_needs_no_tag(tmp_path):
    root = voc(tmp_path)
    write(root / "Annotations/d.xml", xml())
    index, truth, _ = read(root, **VOC)
    assert index.tags(3) == () and "d" in truth.image_id


def test_grey_cmyk_and_16_bit_photos_are_fine(tmp_path):
    root = voc(tmp_path)
    Image.new("L", PHOTO[::-1], 90).save(root / "JPEGImages/a.jpg")
    Image.new("CMYK", PHOTO[::-1], (0, 255, 255, 0)).save(root / "JPEGImages/b.jpg")
    (root / "JPEGImages/c.jpg").unlink()
    Image.fromarray(np.full(PHOTO, 257 * 40, np.uint16)).save(root / "JPEGImages/c.png")
    index, _, _ = read(root, **VOC)
    assert all(index.photo(i).shape == (*PHOTO, 3) for i in range(4))
    assert index.path[2] == "JPEGImages/c.png" and np.all(index.photo(2) == 40)


def test_size_after_exif_rotation_is_what_masks_are_compared_with(tmp_path):
    root = voc(tmp_path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo(root / "JPEGImages/a.jpg", size=PHOTO[::-1], exif=exif)  # stored 24x20, seen 20x24 as its masks
    index, truth, _ = read(root, **VOC)
    assert index.size[0].tolist() == list(PHOTO) == truth.size[0].tolist()
    assert index.photo(0).shape == (*PHOTO, 3)
    photo(root / "JPEGImages/a.jpg", size=PHOTO, exif=exif)
    refused(root, "SegmentationObject/a.png is 24x20 pixels, but its photo is 20x24 (after EXIF rotation)", **VOC)


@pytest.mark.parametrize("name", ["SegmentationObject", "SegmentationClass"])
def test_mask_of_another_size(tmp_path, name):
    whole, _, _ = read(voc(tmp_path / "x"), **VOC)
    root = voc(tmp_path / "y")
    labels(root / f"{name}/b.png", np.ones((5, 5)))
    refused(root, f"{name}/b.png is 5x5 pixels, but its photo is 24x20", **VOC)
    index, truth, job = read(root, **VOC, on_bad_image="skip")
    assert truth.image_id == ["a", "d"] and f"{name}/b.png" in job.warnings[0]
    np.testing.assert_array_equal(index.with_masks, whole.with_masks)  # a mask never changes the index


def test_mask_that_is_no_label_image(tmp_path):
    root = voc(tmp_path)
    Image.new("RGB", PHOTO[::-1]).save(root / "SegmentationClass/b.png")
    refused(root, "SegmentationClass/b.png has mode RGB", **VOC)
    (root / "SegmentationClass/b.png").write_bytes(b"no")
    refused(root, "SegmentationClass/b.png is not a readable PNG", **VOC)
    labels(root / "SegmentationClass/b.png", np.full(PHOTO, 9))
    refused(root, "has the class value 9, but the class list has only 2 names", **VOC)


@pytest.mark.parametrize(
    ("file", "text", "parts"),
    [
        ("Main/train", "a\nb\na\n", ("ImageSets/Main/train.txt lists a twice",)),
        ("Main/train", "", ("ImageSets/Main/train.txt lists no photo",)),
        ("Main/train", "a\n../../etc/passwd\n", ("ImageSets/Main/train.txt", "'../../etc/passwd'", "leads out")),
        ("Main/train", "a\n/etc/passwd\n", ("'/etc/passwd'", "leads out")),
        ("Main/train", "a\nC:\\x\n", ("leads out",)),
        ("Main/train", "a\n..\\..\\x\n", ("leads out",)),
        ("Main/train", "a 1\nb -1\n", ("must have one id a line, not 'a 1'",)),
        ("Main/train", "a\nd\n", ("The splits train and val share the id d",)),
        ("Segmentation/val", "\n\n", ("ImageSets/Segmentation/val.txt lists no photo",)),
        ("Segmentation/train", "", ("ImageSets/Segmentation/train.txt lists no photo",)),
        ("Main/cat_train", "a 1\n", ("dog_train.txt does not exist",)),
    ],
)
def test_bad_lists(tmp_path, file, text, parts):
    root = voc(tmp_path)
    write(root / f"ImageSets/{file}.txt", text)
    refused(root, *parts, **VOC)
    refused(root, *parts, **VOC, on_bad_image="skip")


def test_bad_main_list(tmp_path):
    root = voc(tmp_path)
    write(root / "ImageSets/Main/cat_train.txt", "a 1\nb 2\nc 1\n")
    write(root / "ImageSets/Main/dog_train.txt", "a 1\nb 1\nc 1\n")
    refused(root, "cat_train.txt has the line 'b 2'", **VOC)


def test_bad_names_in_the_configuration(tmp_path):
    root = voc(tmp_path / "VOC2012")
    refused(root, "dataset.train", "ImageSets/Main/none.txt", **{**VOC, "train": "Main/none"})
    refused(root, "dataset.val", "leads out", **VOC, val="../x")
    refused(tmp_path, "has no folder JPEGImages; give", "VOC2012, which has", **VOC)
    refused(tmp_path / "none", "dataset.root", "is not a folder", **VOC)
    refused(root, "dataset.shards is 9", "only 3 training photos", **{**VOC, "shards": 9})
    for values, part in (({"kind": "voc"}, "root must name"), ({"classes": ["a", "a"]}, "different"),
                         ({"kind": "video"}, "dataset.kind"), ({"colour": 1}, "dataset.colour")):  # fmt: skip
        with pytest.raises(UserError, match=part):
            parse(Config, values, where="dataset")


def test_a_split_of_bad_photos_only(tmp_path):
    root = voc(tmp_path)
    (root / "JPEGImages/d.jpg").write_bytes(b"")
    refused(root, "The split val has no usable photo", **VOC, on_bad_image="skip")


def coco_change(key, position, **values):
    def change(split, document):
        if split == "train":
            document[key][position].update(values)

    return change


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (coco_change("annotations", 0, category_id=5), ("annotation 90 has the category 5", "not in its list")),
        (coco_change("annotations", 0, image_id=77), ("annotation 90 names the image 77",)),
        (coco_change("images", 0, id=10), ("train.json lists 10 twice",)),
        (coco_change("images", 0, file_name="../../x.jpg"), ("'../../x.jpg'", "leads out")),
        (coco_change("images", 0, file_name="none.jpg"), ("train/none.jpg does not exist",)),
        (coco_change("images", 0, height=24, width=20), ("train.json has masks of 20x24 pixels", "which is 24x20")),
        (coco_change("annotations", 0, segmentation=[["a"] * 6]), ("annotation 90", "segmentation")),
        (coco_change("annotations", 2, segmentation={"size": [9, 9], "counts": [81]}), ("annotation 92", "[9, 9]")),
        (coco_change("categories", 0, id=7), ("has a category twice",)),
        (coco_change("categories", 0, name="horse"), ("have different categories",)),
        (lambda split, document: document.pop("categories"), ("has no list 'categories'",)),
        (lambda split, document: document["annotations"][0].pop("category_id"), ("without 'category_id'",)),
        (lambda split, document: document.update(annotations=[]), ("has no tag",)),
        (lambda split, document: document.update(images=[], annotations=[]), ("lists no photo",)),
    ],
)
def test_bad_coco(tmp_path, change, parts):
    refused(coco(tmp_path, change), *parts, **COCO)


def test_coco_files_that_are_none(tmp_path):
    root = coco(tmp_path)
    refused(root, "dataset.val_json", "none.json", **{**COCO, "val_json": "none.json"})
    write(root / "train.json", "{")
    refused(root, "dataset.train_json", "is no JSON file", **COCO)
    write(root / "train.json", json.dumps([1]))
    refused(root, "has no list 'images'", **COCO)
    refused(coco(tmp_path), "dataset.train_photos", "leads out", **{**COCO, "train_photos": "../x"})
    refused(root, "dataset.classes has the tag 'horse'", **COCO, classes=["horse"])


def test_coco_mask_of_another_size_is_skipped_on_demand(tmp_path):
    root = coco(tmp_path, coco_change("images", 0, height=24, width=20))
    index, truth, job = read(root, **COCO, on_bad_image="skip")
    assert len(index) == 4 and truth.images == 3 and "train.json has masks of 20x24" in job.warnings[0]


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("a.jpg,dog\n", ("tags.csv must begin with the line",)),
        ("", ("tags.csv must begin with the line",)),
        ("file,tags\n", ("lists no photo",)),
        ("file,dog,cat\na.jpg,1,0\na.jpg,1,1\n", ("lists a.jpg twice with other tags (line 3)",)),
        ("file,tags\na.jpg,dog\nA.jpg,cat\n", ("lists a.jpg twice",)),
        ("file,tags\na.jpg,dog\na.png,cat\n", ("a.png does not exist",)),
        ("file,tags\na.jpg,\nsub/b.png,cat\n", ("a.jpg has no tag",)),
        ("file,tags\na.jpg,\n", ("tags.csv has no tag at all",)),
        ("file,tags\nnone.jpg,dog\n", ("none.jpg does not exist",)),
        ("file,tags\n../a.jpg,dog\n", ("leads out",)),
        ("file,tags\n,dog\n", ("',dog' without a file name",)),
        ("file,tags\n/,dog\n", ("'/,dog' without a file name",)),
        ("file,dog,cat\na.jpg,1\n", ("the line of 'a.jpg' needs 2 cells",)),
        ("file,dog,cat\na.jpg,1,maybe\n", ("the line of 'a.jpg' needs 2 cells of 1, 0 or nothing",)),
        ("file,dog,dog\na.jpg,1,1\n", ("different class names",)),
    ],
)
def test_bad_tables(tmp_path, table, parts):
    refused(folder(tmp_path, table), *parts, kind="folder", shards=1)


def test_folder_tag_unknown_to_the_class_list(tmp_path):
    keys = {"kind": "folder", "shards": 1, "classes": ["cat"]}
    refused(folder(tmp_path), "tags.csv: a.jpg has the tag 'dog', which is not in the class list (cat)", **keys)
    index, _, job = read(tmp_path, **keys, on_bad_image="skip")
    assert index.image_id == ["sub/b"] and "has the tag 'dog'" in job.warnings[0]


def test_folder_without_table_or_photos(tmp_path):
    refused(tmp_path, "dataset.tags", "tags.csv cannot be read", kind="folder")
    refused(tmp_path, "dataset.photos", "is not a folder", kind="folder", photos="none")


def test_a_photo_that_changed_after_the_index_was_made(tmp_path):
    root = voc(tmp_path)
    index, _, _ = read(root, **VOC)
    photo(root / "JPEGImages/a.jpg", size=(30, 30))
    with pytest.raises(UserError, match=r"a\.jpg changed its size since the index was made"):
        index.photo(0)
