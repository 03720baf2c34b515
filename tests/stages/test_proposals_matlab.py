"""MATLAB files of proposals: both published forms, their order, and a sentence for each fault."""

import json
import types

import numpy as np
import pytest
from PIL import Image
from scipy import sparse
from scipy.io import savemat

from stages.proposals import imported, matlab, predict, run
from stages.proposals.config import Config
from stages.proposals.cues import run_lengths
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.errors import UserError
from tag2mask.run.job import Job

SIZE = (3, 4)
# three masks of 3 x 4 pixels: a column, a row, a corner
MASKS = np.zeros((3, *SIZE), np.uint8)
MASKS[0, :, 1] = MASKS[1, 2] = MASKS[2, 0, 2:] = 1
SUPERPIXELS = np.array([[1, 1, 2, 2], [1, 3, 3, 2], [4, 4, 4, 4]], np.uint16)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mat").mkdir()
    return tmp_path / "mat"


def cells(parts, *, shape=None):
    """An object array, which is written as a cell array; (N, 1) if not told otherwise."""
    held = np.empty(len(parts), object)
    for k, part in enumerate(parts):
        held[k] = part
    return held.reshape(shape or (-1, 1))


def written(folder, variables, name="a.mat", *, packed=True):
    savemat(folder / name, variables, do_compression=packed)
    return read(folder)


def read(folder, image_id="a", size=SIZE):
    """(n, H, W) bool masks, in the order that they are handed on in."""
    found = imported.open_source(Config(source="mat", path=str(folder)))(image_id, size)
    return None if found is None else rle.decode(found, size)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "maskmat",
    [
        cells(list(MASKS)),
        cells(list(MASKS), shape=(1, -1)),
        cells([mask.astype(bool) for mask in MASKS]),
        cells([mask * 255.0 for mask in MASKS]),
        np.moveaxis(MASKS, 0, 2),  # (H, W, N)
        MASKS,  # (N, H, W)
    ],
    ids=["column", "row", "bool", "double", "last", "first"],
)
def test_masks_in_the_file_s_order(folder, maskmat, packed):
    assert (written(folder, {"maskmat": maskmat, "labels": np.ones(3)}, packed=packed) == (MASKS > 0)).all()


def test_one_mask_and_none(folder):
    assert (written(folder, {"maskmat": MASKS[0]}) == (MASKS[:1] > 0)).all()  # MATLAB drops an axis of length 1
    assert (written(folder, {"maskmat": MASKS[:1]}) == (MASKS[:1] > 0)).all()
    for nothing in (np.zeros((0, 0)), np.empty((0, 0), object), np.zeros((3, 4, 0), np.uint8)):
        assert written(folder, {"maskmat": nothing}).shape == (0, 3, 4)


def test_sets_of_superpixels_by_hand(folder):
    labels = cells([np.array([[1.0, 4.0]]), np.array([[3], [2]], np.uint8), np.array([[2]], np.int32)])
    masks = np.array([
        [[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]],
        [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]],
        [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]],
    ], bool)  # fmt: skip
    variables = {"superpixels": SUPERPIXELS, "labels": labels, "bboxes": np.ones((3, 4))}
    assert (written(folder, variables) == masks).all()
    assert (written(folder, {**variables, "superpixels": SUPERPIXELS.astype(float)}) == masks).all()
    scored = written(folder, {**variables, "scores": np.array([[-2.0], [5.0], [-2.0]])})
    assert (scored == masks[[1, 0, 2]]).all()  # equal scores keep the file's order
    assert written(folder, {**variables, "labels": np.empty((0, 0), object)}).shape == (0, 3, 4)


def test_many_sets_are_taken_a_part_at_a_time(folder, monkeypatch):

    sizes = []
    monkeypatch.setattr(matlab, "CHUNK", 2)
    monkeypatch.setattr(
        matlab, "run_lengths", lambda membership, place: sizes.append(len(membership)) or run_lengths(membership, place)
    )
    masks = written(folder, {"superpixels": SUPERPIXELS, "labels": cells([np.array([[k]]) for k in (4, 3, 2, 1, 4)])})
    assert sizes == [2, 2, 1] and (masks == (SUPERPIXELS == np.reshape([4, 3, 2, 1, 4], (5, 1, 1)))).all()


def test_coco_s_files_have_the_names_of_2014(folder):
    assert read(folder) is None
    written(folder, {"maskmat": MASKS[1:2]}, "COCO_val2014_a.mat")
    assert (read(folder) == (MASKS[1:2] > 0)).all()
    written(folder, {"maskmat": MASKS[:1]})
    assert (read(folder) == (MASKS[:1] > 0)).all()


PARTS = {"superpixels": SUPERPIXELS, "labels": cells([np.array([[1.0]]), np.array([[2.0]])])}


@pytest.mark.parametrize(
    ("variables", "part"),
    [
        ({"masks": MASKS}, "has neither `maskmat` nor `superpixels` and `labels`"),
        ({"candidates": PARTS}, "save -struct"),
        ({"superpixels": SUPERPIXELS}, "has neither"),
        ({"maskmat": cells([MASKS[0], MASKS[0].T])}, r"Cell 2 of maskmat of .*a.mat is \[4, 3\].*photo is \[3, 4\]"),
        ({"maskmat": cells([MASKS[0], np.zeros((0, 0))])}, "cell 2 of maskmat is empty"),
        ({"maskmat": cells([cells([MASKS[0]])])}, "cell 1 of maskmat holds no plain numbers"),
        ({"maskmat": cells([sparse.csc_matrix(MASKS[0] * 1.0)])}, "full and not sparse"),
        ({"maskmat": sparse.csc_matrix(MASKS[0] * 1.0)}, "maskmat holds no plain numbers.*full and not sparse"),
        ({"maskmat": "soup"}, "maskmat holds no plain numbers"),
        ({"maskmat": {"a": MASKS}}, "maskmat holds no plain numbers"),
        ({"maskmat": np.full(SIZE, np.nan)}, "maskmat has a value that is not finite"),
        ({"maskmat": np.ones((4, 3, 2))}, r"The array maskmat of .*a.mat is \[4, 3, 2\]"),
        ({"maskmat": np.ones((4, 3))}, r"maskmat of .*a.mat is \[4, 3, 1\]"),
        ({"maskmat": np.ones((3, 4, 2, 2))}, r"is \[3, 4, 2, 2\]"),
        ({**PARTS, "superpixels": SUPERPIXELS.T}, r"The map superpixels of .*a.mat is \[4, 3\].*photo is \[3, 4\]"),
        ({**PARTS, "superpixels": np.zeros((0, 0))}, "superpixels is empty"),
        ({**PARTS, "labels": np.ones((2, 2))}, "labels of .*a.mat is no cell array"),
        ({**PARTS, "labels": cells([np.ones((1, 1)), np.zeros((0, 0))])}, "cell 2 of labels is empty"),
        ({**PARTS, "labels": cells([np.array([[1, 5]])])}, "Cell 1 of labels of .*a.mat names superpixel 5, which"),
        ({**PARTS, "labels": cells([np.array([[0, 1]])])}, r"names superpixel 0.*count from 1"),
        ({**PARTS, "labels": cells([np.array([[1.5]])])}, r"names superpixel 1\.5"),
        ({**PARTS, "scores": np.ones((3, 1))}, "has 2 labels and 3 scores"),
        ({**PARTS, "scores": np.array([[1.0], [np.nan]])}, "scores has a value that is not finite"),
    ],
)
def test_every_fault_is_one_sentence(folder, variables, part):
    with pytest.raises(UserError, match=part) as error:
        written(folder, variables)
    assert "a.mat" in str(error.value) and str(error.value).endswith(".")


def test_masks_that_may_lie_along_any_axis_are_refused(folder):
    savemat(folder / "a.mat", {"maskmat": np.ones((3, 3, 3), np.uint8)})
    with pytest.raises(UserError, match="has equal sides.*cell array"):
        read(folder, size=(3, 3))


def test_files_that_are_none(folder):
    written(folder, {"maskmat": cells(list(MASKS))})
    whole = (folder / "a.mat").read_bytes()
    for content in (b"", b"soup", whole[:100], whole[:150], whole[:-20], b"\x80\x04" + bytes(200)):
        (folder / "a.mat").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.mat is no readable MATLAB file|has neither"):
            read(folder)
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (folder / "a.mat").write_bytes(header + bytes(400) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(UserError, match=r"a\.mat is a MATLAB v7\.3 file.*save -v7"):
        read(folder)


def test_a_damaged_byte_never_ends_the_process(folder):
    """Every byte after the header in turn, of files that are not packed: a sentence, or masks of the photo's size."""
    for variables in ({"maskmat": cells(list(MASKS))}, {**PARTS, "scores": np.ones((2, 1))}):
        savemat(folder / "a.mat", variables)
        whole, refused = (folder / "a.mat").read_bytes(), 0
        for place in range(128, len(whole)):
            for value in (11, 14, 255):
                (folder / "a.mat").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
                try:
                    assert read(folder).shape[1:] == SIZE
                except UserError:
                    refused += 1
        assert refused > 100


def test_files_never_lie_outside_their_folder(folder):
    savemat(folder.parent / "secret.mat", {"maskmat": MASKS})
    (folder / "link.mat").symlink_to(folder.parent / "secret.mat")
    for name in ("../secret", "link", str(folder.parent / "secret")):
        with pytest.raises(UserError, match="lies outside"):
            read(folder, name)
    with pytest.raises(UserError, match="does not exist"):
        read(folder / "none")


def test_as_a_source_of_the_stage(folder, tmp_path):
    """Smallest area, de-duplication and cap as for every source; a photo without a file by its part."""
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    Index.build(
        tmp_path / "photos", {1: "thing"}, image_id=["a", "b"], path=["a.png", "b.png"], size=[SIZE] * 2,
        tags=[(1,)] * 2, train=[True, False], val=[False, True], shards=1,
    ).save(tmp_path / "index.zarr.zip")  # fmt: skip
    inputs = types.SimpleNamespace(index=tmp_path / "index.zarr.zip")
    config = Config(source="mat", path=str(folder), min_area=3, count=2)
    with pytest.raises(UserError, match=r"has no a\.mat; add it or drop the photo"):
        run(inputs, config, Job(shard=0))
    savemat(folder / "a.mat", {"maskmat": MASKS[[2, 1, 1, 0]]})
    table = run(inputs, config, Job(shard=0))["proposals"]
    assert (table.masks(0) == (MASKS[[1, 0]] > 0)).all() and table.score.tolist() == [1, 0.5]
    job = Job()
    assert len(predict(inputs, config, job)["held_out"]) == 0 and "1 of 1 validation photos" in job.warnings[0]
    assert json.dumps(job.numbers)


def test_a_file_that_may_not_be_read_is_not_called_damaged(monkeypatch, tmp_path):
    def refused(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(matlab, "well_formed", refused)
    with pytest.raises(UserError, match=r"a\.mat cannot be read \(Permission denied\)"):
        matlab.load(tmp_path / "a.mat")
