"""The estimate of a run: from every kind of dataset, before it starts."""

import pytest

from stages.images.count import training_photos
from tag2mask.run.estimate import lines
from tag2mask.run.plan import Plan


def dataset(**keys):
    return Plan.load({"recipes": {"a": {"transfer": "default"}}, "show": ["a"], "dataset": keys})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"kind": "scenes", "n_train": 7}, 7),
        ({"kind": "voc", "train": "Main/trainval"}, 3),
        ({"kind": "voc", "train": "liid"}, 2),
        ({"kind": "voc", "train": "augmented"}, 4),
        ({"kind": "voc", "train": "Main/none"}, None),
        ({"kind": "coco"}, 2),
        ({"kind": "folder"}, 1),
    ],
)
def test_photos_of_every_kind_of_dataset(tmp_path, keys, expected):
    files = {
        "ImageSets/Main/trainval.txt": "a\nb\nc\n", "ImageSets/Segmentation/val.txt": "c\n",
        "ImageSets/Segmentation/train_aug.txt": "a\nb\nd\ne\n", "train2017/1.jpg": "", "train2017/2.jpg": "",
        "tags.csv": "file,tags\na.jpg,cat\n\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    root = {} if keys["kind"] == "scenes" else {"root": str(tmp_path)}
    plan = dataset(**keys, **root)
    assert training_photos(plan.config("images")) == expected
    assert (f"{expected} training photos" in lines(plan)[0]) == (expected is not None)


def test_only_what_is_shown_counts():
    """`cim` holds the proposals of all photos, 0.26 kB each; `transfer` holds nothing."""
    values = {
        "variants": {"cim": {"default": {"most": 400}}},
        "recipes": {"a": {"transfer": "default"}, "b": {"cim": "default"}},
        "dataset": {"kind": "scenes", "n_train": 1_000_000}, "train": [],
    }  # fmt: skip
    without, with_ = (lines(Plan.load({**values, "show": [name]}))[0] for name in "ab")
    assert "memory about 4.9 GB" in without  # the classifier's job
    assert "memory about 1.1e+02 GB" in with_  # 400 x 0.26 kB x 1,000,000 photos, and the job itself
