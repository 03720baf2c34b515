"""Decisions of people: applied by hand-made numbers, read from the page's file and from other tools' COCO JSON."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from stages.pseudo_labels import corrections, run
from stages.pseudo_labels.config import Config
from stages.pseudo_labels.corrections import Decided, photo_of
from stages.pseudo_labels.settle import settle
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.data.instances import CORRECTIONS, InstancesBuilder
from tag2mask.data.names import Names
from tag2mask.errors import UserError
from tag2mask.run import recipes
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan

SIZE = (10, 20)
CAT, DOG = 1, 2


def box(x, y, w, h):
    mask = np.zeros(SIZE, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def code(mask):
    return rle.encode(mask[None])[0]


@pytest.fixture
def made(tmp_path):
    """(index, labels, inputs of the stage): photo a with two cats and a dog, photo b with a cat, photo v held out."""
    index = Index.build(
        tmp_path, {CAT: "cat", DOG: "dog"}, image_id=["a", "sub/b", "v"], path=["a.jpg", "sub/b.jpg", "v.jpg"],
        size=[SIZE] * 3, tags=[(CAT, DOG), (CAT,), (CAT,)], train=[1, 1, 0], val=[0, 0, 1],
    )  # fmt: skip
    builder = InstancesBuilder(index.categories)
    masks = np.stack([box(0, 0, 10, 10), box(3, 0, 10, 10), box(15, 0, 5, 5)])
    builder.add("a", SIZE, masks, category=[CAT, CAT, DOG], score=[0.5, 0.25, 0.75])
    builder.add("sub/b", SIZE, box(0, 0, 4, 4)[None], category=CAT, score=[0.125])
    labels = builder.finish()
    index.save(tmp_path / "index.zarr.zip")
    labels.save(tmp_path / "0.zarr.zip")
    return index, labels, SimpleNamespace(index=tmp_path / "index.zarr.zip", instances=tmp_path / "0.zarr.zip")


def seen(labels):
    """{photo: [(class, score, pixels)]}."""
    return {
        name: [(int(labels.category[n]), float(labels.score[n]), int(labels.mask(n).sum()))
               for n in range(len(labels))[labels.rows(i)]]
        for i, name in enumerate(labels.image_id)
    }  # fmt: skip


def test_decisions_by_hand(made):
    """The cats overlap by 70 of 130 pixels, 0.54."""
    labels = made[1]
    accepted = Decided(settled=[(CAT, 0.5, code(box(0, 0, 10, 10)))])
    found, numbers = settle(labels, {"a": accepted}, iou=0.5)
    assert seen(found) == {"a": [(DOG, 0.75, 25), (CAT, 0.5, 100)], "sub/b": [(CAT, 0.125, 16)]}
    assert numbers == {"settled": 1, "gone": 2, "missed": 0}  # the accepted one gives way to itself
    found, _ = settle(labels, {"a": accepted}, iou=0.6)
    assert seen(found)["a"] == [(CAT, 0.25, 100), (DOG, 0.75, 25), (CAT, 0.5, 100)]
    rejected = Decided(rejected={(CAT, code(box(0, 0, 10, 10))["counts"]), (DOG, code(box(0, 0, 10, 10))["counts"])})
    found, numbers = settle(labels, {"a": rejected}, iou=0.5)
    assert seen(found)["a"] == [(CAT, 0.25, 100), (DOG, 0.75, 25)]  # the dog of that mask is no label
    assert numbers == {"settled": 0, "gone": 1, "missed": 1}


def test_doubt_stays_but_where_a_photo_is_given_whole(made):
    _, labels, _ = made
    void = rle.to_counts(code(box(5, 5, 3, 3)))
    first = np.array([0, len(void), 2 * len(void)])
    doubted = labels.replaced(void=np.concatenate([void, void]), void_first=first)
    settled, _ = settle(doubted, {"a": Decided([], set(), True)}, iou=0.5)
    assert not settled.void_mask(0).any() and np.array_equal(settled.void_mask(1), box(5, 5, 3, 3))
    assert np.array_equal(settle(doubted, {"a": Decided([], set(), False)}, iou=0.5)[0].void_mask(0), box(5, 5, 3, 3))


def test_a_drawn_mask_of_another_class_takes_nothing_away(made):
    drawn = Decided(settled=[(DOG, 1.0, code(box(0, 0, 10, 10)))])
    found, _ = settle(made[1], {"a": drawn}, iou=0.5)
    assert len(seen(found)["a"]) == 4


def test_a_photo_given_whole_has_nothing_else(made):
    found, numbers = settle(made[1], {"a": Decided(whole=True), "sub/b": Decided([(DOG, 1.0, code(box(1, 1, 2, 2)))],
                                                                                whole=True)}, iou=0.5)  # fmt: skip
    assert seen(found) == {"a": [], "sub/b": [(DOG, 1.0, 4)]} and numbers["gone"] == 4


def reviewed(**changes):
    """What the page saves: one of the cats accepted, the dog rejected."""
    photo = {
        "image_id": "a", "size": list(SIZE),
        "accepted": [{"category": "cat", "score": 0.5, "counts": code(box(0, 0, 10, 10))["counts"].decode()}],
        "rejected": [{"category": "dog", "counts": code(box(15, 0, 5, 5))["counts"].decode()}],
        **changes,
    }  # fmt: skip
    return {"schema": CORRECTIONS, "photos": [photo]}


def test_the_stage_takes_the_pages_file_in(made, tmp_path):
    file = tmp_path / "corrections.json"
    file.write_text(json.dumps(reviewed()))
    job = Job()
    out = run(made[2], Config(box_nms=None, corrections=str(file)), job)
    assert seen(out["labels"]) == {"a": [(CAT, 0.5, 100)], "sub/b": [(CAT, 0.125, 16)]}
    assert out["labels"].id.tolist() == [1, 2]
    assert {key: job.numbers[key] for key in ("corrected_photos", "settled", "gone")} == {
        "corrected_photos": 1, "settled": 1, "gone": 3,
    }  # fmt: skip
    assert len(run(made[2], Config(box_nms=None), Job())["labels"]) == 4


def document(names, **more):
    """A COCO JSON of another tool: ids and order of its own, crowds for brushed masks, an unused class."""
    runs = rle.to_counts(code(box(1, 1, 3, 3))).tolist()
    return {
        "images": [{"id": k, "file_name": n, "height": SIZE[0], "width": SIZE[1]} for k, n in enumerate(names, 5)],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 0, "segmentation": {"size": list(SIZE), "counts": runs},
             "iscrowd": 1, "bbox": [1, 1, 3, 3], "area": 9},
            {"id": 2, "image_id": 5, "category_id": 3, "segmentation": [[0, 0, 8, 0, 8, 2, 0, 2]], "iscrowd": 0},
        ],
        "categories": [{"id": 0, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 9, "name": "not used"}],
        **more,
    }  # fmt: skip


@pytest.mark.parametrize("names", [
    ["a.jpg", "sub/b.jpg"],  # CVAT
    ["images/0123abcd-a.jpg", "images/89abcdef-b.jpg"],  # Label Studio, uploaded
    ["/data/local-files/?d=a.jpg", "/data/local-files/?d=sub%2Fb.jpg"],  # and served
    ["a.jpg", "b.jpg"],  # X-AnyLabeling
])  # fmt: skip
def test_a_corrected_coco_json_says_all_of_its_photos(made, tmp_path, names):
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(document(names)))
    labels = run(made[2], Config(box_nms=None, corrections=str(file)), Job())["labels"]
    assert seen(labels) == {"a": [(DOG, 1.0, 9), (CAT, 1.0, 16)], "sub/b": []}
    assert labels.ignore.tolist() == [0, 0]


def test_numbers_as_text_and_windows_paths_are_read(made, tmp_path):
    """As every other COCO JSON is: ids and sizes that are text, a path with an upload's letters in front."""
    content = document(["images\\0123abcd-a.jpg", "sub\\b.jpg"])
    for part in ("images", "annotations", "categories"):
        for one in content[part]:
            one.update({k: str(one[k]) for k in ("id", "image_id", "category_id", "height", "width") if k in one})
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    labels = run(made[2], Config(box_nms=None, corrections=str(file)), Job())["labels"]
    assert seen(labels) == {"a": [(DOG, 1.0, 9), (CAT, 1.0, 16)], "sub/b": []}


def test_equal_labels_of_a_rejected_mask_all_go_and_none_is_missed(made):
    labels = InstancesBuilder({CAT: "cat"})
    labels.add("a", SIZE, np.stack([box(0, 0, 4, 4)] * 2), category=CAT, score=[0.5, 0.25])
    rejected = Decided(rejected={(CAT, code(box(0, 0, 4, 4))["counts"])})
    found, numbers = settle(labels.finish(), {"a": rejected}, iou=0.5)
    assert len(found) == 0 and numbers == {"settled": 0, "gone": 2, "missed": 0}


def test_photos_are_known_by_names_that_only_one_has():
    photos = Names(["x/a.jpg", "y/a.jpg", "b.jpg"])
    found = [photo_of(name, photos) for name in ("a.jpg", "top/y/a.jpg", "y/a.jpg", "y\\a.jpg", "./b.jpg", "c.jpg")]
    assert found == [None, "y/a.jpg", "y/a.jpg", "y/a.jpg", "b.jpg", None]
    assert photo_of("p%41.jpg", Names(["p%41.jpg"])) == "p%41.jpg"  # that is its name


@pytest.mark.parametrize(("content", "sentence"), [
    ("{", "is no JSON file"),
    ("[]", "is neither what `tag2mask review` saves nor a COCO JSON"),
    (json.dumps(reviewed(image_id="z")), "z is no photo of this dataset"),
    (json.dumps(reviewed(size=[20, 10])), "a is 10 x 20 there and 20 x 10 here; masks are in upright pixels"),
    (json.dumps(reviewed(rejected=[{"category": "cow", "counts": "0"}])), r"'cow' is no class .* \(cat, dog\)"),
    (json.dumps(reviewed(rejected=[{"category": "cat", "counts": "4"}])), "do not add up"),
    (json.dumps(document(["a.jpg"], images=[{"id": 5, "file_name": "a.jpg"}])), "a.jpg has no height and width there"),
    (json.dumps(document(["a.jpg"], annotations=[{"image_id": 5, "category_id": 0}])), r"x\.json.*annotation 1"),
    (json.dumps(document(["z.jpg"])), "z.jpg is no photo of this dataset, or several"),
    (json.dumps(document(["a.jpg"], categories=[{"id": 0, "name": "cow"}])), "'cow' is no class"),
])  # fmt: skip
def test_what_does_not_fit_is_one_sentence(made, tmp_path, content, sentence):
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(UserError, match=sentence):
        corrections.read(file, made[0])


def test_decisions_about_nothing_are_said(made, tmp_path):
    file, job = tmp_path / "corrections.json", Job()
    stray = {"category": "cat", "counts": code(box(9, 9, 1, 1))["counts"].decode()}
    content = reviewed(rejected=[stray])
    content["photos"].append({"image_id": "v", "size": list(SIZE), "accepted": [], "rejected": []})
    file.write_text(json.dumps(content))
    run(made[2], Config(box_nms=None, corrections=str(file)), job)
    said = " ".join(job.warnings)
    assert "1 rejected masks are no labels any more" in said and "1 corrected photos are not for training" in said


def test_corrections_are_for_methods_and_stand_in_the_table():
    config = {
        "recipes": {"transfer": {"transfer": "default"}, "full": {"reference": "full"}},
        "variants": {"reference": {"full": {"kind": "full"}}}, "show": ["transfer", "full"],
        "pseudo_labels": {"corrections": "away.json"},
    }  # fmt: skip
    plan = Plan.load(config)
    assert [recipes.supervision(plan, name) for name in plan.show] == ["corrected", "masks"]
    assert plan.section("pseudo_labels", recipe="full")["config"]["corrections"] is None
    assert plan.outside("pseudo_labels", recipe="transfer") == {"corrections": "away.json"}
    assert plan.outside("pseudo_labels", recipe="full") == {}
    with pytest.raises(UserError, match=r"pseudo_labels.corrections \(default\): away.json does not exist"):
        plan.look_outside()
