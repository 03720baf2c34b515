"""The conda environments name the same version ranges as pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

OTHER_NAMES = {"pytorch": "torch", "opencv": "opencv-contrib-python-headless", "detectron2": "pb1-detectron2"}


def ranges():
    with open("pyproject.toml", "rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    return dict(re.match(r"([A-Za-z0-9_-]+)\s*(.*)", one).groups() for one in wanted)


@pytest.mark.parametrize("path", sorted(Path("envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_same_ranges(path):
    known = ranges()
    for entry in yaml.safe_load(path.read_text())["dependencies"]:
        for one in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, versions = one.partition(" ")
            if name in ("python", "pip"):
                continue
            name = OTHER_NAMES.get(name, name)
            assert name in known, f"{name} of {path} is not in pyproject.toml"
            if name != "pb1-detectron2":  # conda-forge has a full build under its own version
                assert versions == known[name]


def test_every_rule_names_an_environment_that_exists():
    for rule in Path("workflow/rules").glob("*.smk"):
        for name in re.findall(r'"\.\./\.\./envs/(\w+\.yaml)"', rule.read_text()):
            assert (Path("envs") / name).is_file()


def test_the_lock_names_no_host():
    text = Path("requirements.txt").read_text()
    assert "://" not in text and "index-url" not in text and "--hash=sha256:" in text
