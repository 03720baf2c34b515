"""Bad input as a user meets it, through Snakemake: one sentence, nothing half-written, or the rest goes on."""

import json
import zipfile

import pytest
from conftest import ROOT, Workflow
from PIL import Image

from stages.images.scenes import make_scene
from tag2mask.data.index import Index


@pytest.mark.parametrize("blocked", ["results/tiny", "results/tiny/images"])
def test_results_below_a_regular_file(tmp_path, blocked):
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).write_text("not a folder")
    output = Workflow(tmp_path).run(ok=False)
    assert f"{blocked} is a file, not a folder; move it, or choose another --directory." in output
    assert "Traceback" not in output
    assert (tmp_path / blocked).read_text() == "not a folder"


@pytest.fixture
def photos(tmp_path):
    """A folder of six scenes, the fourth cut off in the middle of its JPEG, and a CSV of their tags."""
    root = tmp_path / "photos"
    root.mkdir()
    lines = ["file,tags"]
    for i in range(6):
        scene = make_scene(0, i, size=96)
        Image.fromarray(scene.photo).save(root / f"{i}.jpg")
        lines.append(f"{i}.jpg,{';'.join(f'class {c}' for c in scene.tags)}")
    (root / "tags.csv").write_text("\n".join(lines) + "\n")
    whole = (root / "3.jpg").read_bytes()
    (root / "3.jpg").write_bytes(whole[: len(whole) // 2])
    return Workflow(tmp_path, config=[ROOT / "config/folder.yaml"])


SHOWN = ["show=[transfer]"]  # needs no package
TARGET = "results/my-photos/images/default/index.zarr.zip"


def test_a_truncated_photo_stops_the_run(photos):
    output = photos.run(TARGET, config=["dataset={root: photos, shards: 2}", *SHOWN], ok=False)
    told = [line for line in output.splitlines() if "3.jpg" in line]
    assert len(told) == 1 and "3.jpg is truncated or damaged" in told[0] and "dataset.on_bad_image: skip" in told[0]
    assert "Traceback" not in output
    log = (photos.folder / "results/my-photos/logs/images.log").read_text()
    assert "3.jpg is truncated or damaged" in log
    assert [path.name for path in (photos.folder / "results").rglob("*") if path.is_file()] == ["images.log"]


def test_a_truncated_photo_is_listed_and_the_rest_goes_on(photos):
    photos.run(TARGET, config=["dataset={root: photos, shards: 2, on_bad_image: skip}", *SHOWN])
    index = Index.load(photos.folder / TARGET)
    assert index.image_id == ["0", "1", "2", "4", "5"] and index.skipped[0][0] == "3"
    manifest = json.loads((photos.folder / TARGET).with_name("index.json").read_text())
    assert manifest["counts"]["skipped"] == 1 and manifest["counts"]["photos"] == 5
    assert "3.jpg is truncated" in manifest["warnings"][0]
    assert not zipfile.ZipFile(photos.folder / TARGET).testzip()
