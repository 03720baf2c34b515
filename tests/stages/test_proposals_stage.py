"""proposals as a stage: of training and held-out photos, our own or by COCO run lengths or label maps; their faults."""

import json
import types

import numpy as np
import pytest
from PIL import Image
from proposals_squares import SMALL, two_squares

from stages.proposals import imported, predict, run
from stages.proposals.config import Config
from stages.proposals.hierarchy import propose
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.errors import UserError
from tag2mask.run.job import Job
from tag2mask.run.registry import alone


@pytest.fixture
def index(tmp_path):
    """Two training photos in two shards and one for validation; the path of their index."""
    (tmp_path / "photos").mkdir()
    names = ["000000000007", "b", "c"]
    for name in names:
        Image.fromarray(two_squares()[0]).save(tmp_path / "photos" / f"{name}.png")
    path = tmp_path / "index.zarr.zip"
    Index.build(
        tmp_path / "photos", {1: "square"}, image_id=names, path=[f"{name}.png" for name in names],
        size=[(48, 48)] * 3, tags=[(1,)] * 3, train=[True, True, False], val=[False, False, True], shards=2,
    ).save(path)  # fmt: skip
    return path


def run_shard(index, config, shard=0):
    return run(types.SimpleNamespace(index=index), config, Job(shard=shard, shards=2))["proposals"]


def test_run_on_a_shard(index):
    table = run_shard(index, SMALL, shard=1)
    assert table.image_id == ["b"] and len(table) == 3  # the ground or the whole, and the squares
    assert (table.category == 0).all() and table.score[0] == 1 and (np.diff(table.score) < 0).all()
    membership, labels, _ = propose(two_squares()[0], config=SMALL)
    assert (table.masks(0) == membership[:, labels]).all()


def answered(index, config, job=None):
    return predict(types.SimpleNamespace(index=index), config, job or Job())["held_out"]


def test_held_out_photos_get_the_same_proposals(index):
    table, trained = answered(index, SMALL), run_shard(index, SMALL)
    assert table.image_id == ["c"] and trained.image_id == ["000000000007"]
    assert (table.masks(0) == trained.masks(0)).all() and (table.score == trained.score).all()


def test_any_photo_outside_a_run(index):
    """By the keys of a run, whatever its source was; what a manifest holds of them is enough."""
    table, make, photo = run_shard(index, SMALL), alone("proposals.proposals"), two_squares()[0]
    keys = SMALL.model_dump(mode="json")
    for section in (keys, {**keys, "source": "coco_rle"}, {**keys, "source": "label_png", "path": "maps"}):
        rles, score = make(photo, section)
        assert (rle.decode(rles, (48, 48)) == table.masks(0)).all() and (score == table.score).all()
    assert len(make(photo, {})[0]) > 0
    with pytest.raises(UserError, match="proposals.coutn is not a known key"):
        make(photo, {"coutn": 3})
    with pytest.raises(KeyError):
        alone("proposals.held_out")


def test_held_out_photos_that_an_imported_list_lacks_have_none(index, tmp_path):
    """One warning for all of them; a training photo that is lacking stays an error."""
    job, masks = Job(), two_squares()[1]
    config = coco(tmp_path, [entry(masks[0], 1.0, 7)])
    table = answered(index, config, job)
    assert table.image_id == ["c"] and len(table) == 0
    assert len(job.warnings) == 1 and "1 of 1 validation photos have no proposals" in job.warnings[0]
    assert job.numbers == {"photos": 1, "proposals": 0}
    with pytest.raises(UserError, match="no proposal for photo b"):
        run_shard(index, config, shard=1)
    folder, job = tmp_path / "maps", Job()
    folder.mkdir()
    config = Config(source="label_png", path=str(folder))
    assert len(answered(index, config, job)) == 0 and len(job.warnings) == 1
    Image.fromarray(masks[1].astype(np.uint8)).save(folder / "c.png")
    job = Job()
    assert (answered(index, config, job).masks(0) == masks[1:]).all() and not job.warnings


def entry(mask, score, image_id="000000000007", *, listed=False):
    one = rle.encode(mask[None])[0]
    counts = rle.to_counts(one).tolist() if listed else one["counts"].decode()
    return {"image_id": image_id, "segmentation": {"size": list(mask.shape), "counts": counts}, "score": score}


def coco(tmp_path, entries):
    path = tmp_path / "proposals.json"
    path.write_text(json.dumps(entries))
    return Config(source="coco_rle", path=str(path), min_area=4, count=2)


def test_coco_rle(index, tmp_path):
    _, masks = two_squares()
    nearly = masks[1].copy()
    nearly[26, 24:30] = False
    tiny = np.zeros((48, 48), bool)
    tiny[0, :3] = True
    more = np.zeros((48, 48), bool)
    more[:, 45:] = True
    entries = [
        entry(masks[0], -3.5, 7), entry(masks[1], 0.5, 7, listed=True), entry(nearly, 0.4, 7), entry(tiny, 9, 7),
        entry(more, -4, 7),
    ]  # fmt: skip
    table = run_shard(index, coco(tmp_path, entries))
    # by score: tiny (too small), the blue square, its copy (dropped), the red square, one over the cap of two
    assert (table.masks(0) == masks[::-1]).all()
    assert table.score.tolist() == [1, 0.5]


def test_coco_rle_faults(index, tmp_path):
    good = entry(two_squares()[1][0], 1.0)
    wrong_size = entry(np.ones((48, 40), bool), 1.0)
    damaged = json.loads(json.dumps(good))
    damaged["segmentation"]["counts"] = damaged["segmentation"]["counts"][:-2]
    polygon = {**good, "segmentation": [[0, 0, 5, 5, 0, 5]]}
    for entries, part in [
        ([{**good, "image_id": "other"}], "no proposal for photo 000000000007"),
        ([wrong_size], r"\[48, 40\].*its photo is \[48, 48\]"),
        ([damaged], "do not add up"),
        ([polygon], "convert polygons"),
        ([{**good, "score": "high"}], "finite number"),
        ([{**good, "score": float("nan")}], "finite number"),
        ([{"image_id": 7}], "Entry 0"),
        ({"annotations": []}, "JSON list"),
        ([{**good, "segmentation": {"size": [48, 48], "counts": [-1, 2305]}}], "do not add up"),
        ([{**good, "segmentation": {"size": [48, 48], "counts": "\u00ff\u0007"}}], "do not add up"),
    ]:
        with pytest.raises(UserError, match=part):
            run_shard(index, coco(tmp_path, entries))
    (tmp_path / "proposals.json").write_text("[{")
    with pytest.raises(UserError, match="not JSON"):
        run_shard(index, Config(source="coco_rle", path=str(tmp_path / "proposals.json")))
    with pytest.raises(UserError, match="cannot be read"):
        run_shard(index, Config(source="coco_rle", path=str(tmp_path / "none.json")))


def test_label_png(index, tmp_path):
    _, masks = two_squares()
    labels = masks[0] * 300 + masks[1] * 7  # 300 needs 16 bits
    folder = tmp_path / "maps"
    folder.mkdir()
    Image.fromarray(labels.astype(np.uint16)).save(folder / "000000000007.png")
    config = Config(source="label_png", path=str(folder))
    table = run_shard(index, config)
    assert (table.masks(0) == masks[::-1]).all()  # the larger first
    palette = Image.fromarray((masks[0] * 3).astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 9, 9, 9, 1, 1, 1, 255, 0, 0])
    palette.save(folder / "000000000007.png")
    assert (run_shard(index, config).masks(0) == masks[:1]).all()


def test_label_png_faults(index, tmp_path):
    folder = tmp_path / "maps"
    with pytest.raises(UserError, match="does not exist"):
        run_shard(index, Config(source="label_png", path=str(folder)))
    folder.mkdir()
    config = Config(source="label_png", path=str(folder))
    file = folder / "000000000007.png"
    with pytest.raises(UserError, match="has no 000000000007.png"):
        run_shard(index, config)
    Image.fromarray(np.ones((40, 48), np.uint8)).save(file)
    with pytest.raises(UserError, match=r"\[40, 48\].*its photo is \[48, 48\]"):
        run_shard(index, config)
    Image.fromarray(two_squares()[0]).save(file)
    with pytest.raises(UserError, match="has colours"):
        run_shard(index, config)
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(UserError, match="not a readable PNG"):
        run_shard(index, config)


def test_label_maps_never_leave_their_folder(tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    Image.fromarray(np.ones((4, 4), np.uint8)).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    read = imported.label_png(folder)
    for name in ("../secret", "link", str(tmp_path / "secret")):
        with pytest.raises(UserError, match="lies outside"):
            read(name, (4, 4))


def test_a_photo_of_more_pixels_is_worked_on_at_a_bounded_side(index):
    """Four times as large by repeated pixels, scaled down to what it was: the same masks, four times as large."""
    photo = two_squares()[0].repeat(4, 0).repeat(4, 1)
    masks, scores = alone("proposals.proposals")(photo, SMALL.model_dump() | {"max_side": 48})
    small, same = alone("proposals.proposals")(two_squares()[0], SMALL.model_dump())
    assert rle.decode(masks, (192, 192)).tolist() == rle.decode(small, (48, 48)).repeat(4, 1).repeat(4, 2).tolist()
    assert len(masks) == 3 and scores.tolist() == same.tolist()


def test_photos_that_exif_turns_are_told_where_proposals_come_from_outside(index, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: no size tells
    Image.fromarray(two_squares()[0]).save(tmp_path / "photos/c.png", exif=exif)
    Image.fromarray(np.ones((48, 48), np.uint8)).save(tmp_path / "c.png")
    job = Job()
    answered(index, Config(source="label_png", path=str(tmp_path)), job)
    assert len(job.warnings) == 1 and "1 photos are turned or mirrored" in job.warnings[0]
    assert answered(index, SMALL, quiet := Job()) is not None and quiet.warnings == []
