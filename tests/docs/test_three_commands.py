"""From a folder of photos and a CSV to labels for YOLO: the block of docs/your-photos.md, typed as it stands there."""

import os
import re
import subprocess

import pytest
import yaml
from conftest import ROOT
from PIL import Image

from stages.images.scenes import CLASSES, make_scene

PAGE = (ROOT / "docs/your-photos.md").read_text(encoding="utf-8")
BLOCK = re.search(r"```bash\n(make photos .*?)```", PAGE, re.S).group(1)


def test_the_block_is_three_commands():
    lines = BLOCK.strip().splitlines()
    assert len(lines) == 3 and lines[2].endswith("--format yolo-seg")


def test_make_photos_names_the_run_after_the_folder():
    """What make would type, without doing it; without a folder it says what is missing."""
    typed = subprocess.run(
        ["make", "-n", "photos", "ROOT=tests/docs", "SHOW=transfer,cim"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert "--config 'dataset={root: tests/docs}' run=docs 'show=[transfer,cim]'" in typed
    assert "--configfile config/folder.yaml config/" in typed or "folder.yaml  --config" in typed  # with a GPU


@pytest.mark.slow
def test_a_folder_becomes_labels_for_yolo_in_three_commands(tmp_path):
    """24 photos, one column a class, as Roboflow exports tags."""
    folder = tmp_path / "my-photos"
    folder.mkdir()
    rows = [",".join(["file", *CLASSES.values()])]
    for i in range(24):
        scene = make_scene(0, i, size=160)
        Image.fromarray(scene.photo).save(folder / f"{i:03}.png")
        rows.append(",".join([f"{i:03}.png", *(str(int(c in scene.tags)) for c in CLASSES)]))
    (folder / "tags.csv").write_text("\n".join(rows) + "\n")
    for name in os.listdir(ROOT):  # the commands name files beside them, and results are to lie here
        if name not in ("results", ".snakemake", ".git"):
            (tmp_path / name).symlink_to(ROOT / name)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(["bash", "-euc", BLOCK], cwd=tmp_path, env=env, check=True)
    out = tmp_path / "yolo"
    names = yaml.safe_load((out / "data.yaml").read_text())["names"]
    assert sorted(names.values()) == sorted(CLASSES.values())
    labels = sorted(out.glob("labels/*/*.txt"))
    assert len(labels) == 24 - 5 and len(list(out.glob("labels/val/*"))) == 2  # a fifth is held out, and has no labels
    assert sum(len(label.read_text().splitlines()) for label in labels) > 0
    assert all(image.resolve().parent == folder for image in out.glob("images/*/*"))
