"""The estimate of a run: from every kind of dataset, before it starts."""

import re
from dataclasses import replace

import pytest

from stages.images.count import training_photos
from tag2mask.run import estimate
from tag2mask.run.estimate import lines
from tag2mask.run.plan import Plan
from tag2mask.run.registry import stages


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
    """`graph_cut` holds the nodes of all photos, 1.5 kB each; of `transfer` what `evaluate` finds, 8 kB a photo."""
    values = {
        "variants": {"mil": {"default": {"keep": 200}}},
        "recipes": {"a": {"transfer": "default"}, "b": {"graph_cut": "default"}},
        "dataset": {"kind": "scenes", "n_train": 1_000_000}, "train": [],
    }  # fmt: skip
    without, with_ = (lines(Plan.load({**values, "show": [name]}))[0] for name in "ab")
    assert "memory about 8.3 GB" in without
    assert "memory about 3e+02 GB" in with_  # 200 x 1.5 kB x 1,000,000 photos, and the job itself


def gigabytes(show="a", **sections):
    """(disk, memory) in GB that the estimate gives for three million scenes, a third the size of photos."""
    values = {
        "recipes": {"a": {"graph_cut": "default"}, "b": {"graph_cut": "default"}}, "show": [*show], "train": [],
        "dataset": {"kind": "scenes", "n_train": 3_000_000}, **sections,
    }  # fmt: skip
    found = re.search(r"disk about (\S+) GB .* memory about (\S+) GB", lines(Plan.load(values))[0])
    return [float(value) for value in found.groups()]


def test_what_is_kept_of_the_proposals_counts():
    """20 more nodes a photo: 0.6 kB of p and f each, 0.25 kB of masks on the disk, 1.5 kB of the cut in memory."""
    (disk, memory), (more_disk, more) = gigabytes(), gigabytes(mil={"keep": 40})
    assert memory == 3_000_000 * 1.5 * 20 / 1e6 and more == 2 * memory
    assert more_disk - disk == pytest.approx(1_000_000 * 20 * 0.85 / 1e6, abs=10)  # two digits are printed


def test_a_training_counts_for_each_of_its_processes(monkeypatch):
    """`bestie` holds 5 kB a photo, and the job itself takes 2 GB; on a machine with one device it is one process."""
    found = {}
    for devices in ("", "stand-in-0", "stand-in-0,stand-in-1"):
        monkeypatch.setenv("TAG2MASK_DEVICES", devices)
        _, found[devices] = gigabytes(recipes={"a": {"bestie": "default"}}, gpus=4, cim={"most": 1})
    assert found == {"": 24, "stand-in-0": 24, "stand-in-0,stand-in-1": 34}


def test_shared_stages_count_for_every_shown_recipe(monkeypatch):
    """What `evaluate` holds and writes counts, though it has no variants: 1,000 GB for each of two recipes."""
    heavy = replace(stages()["evaluate"], disk_kb=1000, memory_kb=lambda view: 100.0 * len(view.recipe))
    found = {**stages(), "evaluate": heavy}
    monkeypatch.setattr(estimate, "stages", lambda: found)
    (one, memory), (two, _) = gigabytes("a"), gigabytes("ab")
    assert two - one == pytest.approx(1000, abs=100) and memory == 300
