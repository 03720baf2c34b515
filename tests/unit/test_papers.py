"""docs/papers.md: every function, key, default and test that it names exists."""

import ast
import functools
import importlib
import re

import pytest
import yaml
from conftest import ROOT
from pydantic import TypeAdapter

HEADER = "| paper, section, equation | what | file:function | config key | test |"
METHODS = (
    "proposals", "classifier", "cam", "semantic", "transfer", "mil", "graph", "graph_cut", "reference",
    "pseudo_labels", "refine", "segment", "evaluate", "bestie", "cim",
    "prm", "match", "icn", "saliency", "edges", "fuse",
)  # fmt: skip
NONE = "–"
SOURCE = r"`((?:stages|tag2mask)/[\w/]+\.py):([\w.]+)`"
KEY = r"`(\w+)\.(\w+)(?:: ([^`]+))?`(?: = (\[[^\]]*\]|[^\s,]+))?"
TEST = r"`(tests/[\w/]+\.py)::(\w+)`"


def rows():
    """(line number, cells) of every row of every table; a table with another header is an error of its own."""
    found, inside = [], False
    for number, line in enumerate((ROOT / "docs/papers.md").read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("|"):
            inside = False
        elif not inside:
            assert line == HEADER, f"line {number} begins a table with another header"
            inside = True
        elif not re.fullmatch(r"\|[-|]+\|", line):
            found.append((number, tuple(cell.strip() for cell in line.strip("|").split(" | "))))
    return found


ROWS = rows()


@functools.cache
def names(file):
    """All functions, classes and methods of a file: "find_peaks", "Index", "Index.build"."""
    found = set()
    for node in ast.parse((ROOT / file).read_bytes()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else ()
            found |= {f"{node.name}.{part.name}" for part in inner if isinstance(part, ast.FunctionDef)}
    return found


def several(cell, pattern):
    """The groups of every match, where the cell is nothing but matches with ", " between them."""
    assert re.fullmatch(f"{pattern}(, {pattern})*", cell), cell
    return re.findall(pattern, cell)


def test_there_are_rows_of_every_paper():
    papers = " ".join(cells[0] for _, cells in ROWS)
    assert len(ROWS) > 80
    for name in (
        "LIID",
        "BESTIE",
        "Fan",
        "PRM",
        "ICN",
        "Mask R-CNN",
        "FPN",
        "Grady",
        "Calinescu",
        "IRN",
        "COCO",
        "VOC",
        "ours",
    ):
        assert name in papers


@pytest.mark.parametrize("stage", METHODS)
def test_every_key_of_a_method_stands_in_a_row(stage):
    keys = " ".join(cells[3] for _, cells in ROWS)
    fields = importlib.import_module(f"stages.{stage}.config").Config.model_fields
    missing = [key for key in fields if not re.search(rf"`{stage}\.{key}[:`]", keys)]
    assert not missing, f"add a row for {', '.join(missing)} to docs/papers.md"


@pytest.mark.parametrize(("number", "cells"), ROWS, ids=lambda value: value if isinstance(value, int) else "")
def test_row(number, cells):
    assert len(cells) == 5 and all(cells), f"line {number} is malformed"
    _, _, source, keys, tests = cells
    for file, name in several(source, SOURCE):
        assert (ROOT / file).is_file() and name in names(file), f"line {number}: {file} has no {name}"
    for section, key, value, default in several(keys, KEY) if keys != NONE else ():
        stage = "images" if section == "dataset" else section
        fields = importlib.import_module(f"stages.{stage}.config").Config.model_fields
        assert key in fields, f"line {number}: {section} has no key {key}"
        if value:
            TypeAdapter(fields[key].annotation).validate_python(yaml.safe_load(value))
        if default:
            plain = fields[key].default
            plain = list(plain) if isinstance(plain, tuple) else plain
            assert plain == yaml.safe_load(default), f"line {number}: the default of {section}.{key} is {plain}"
    for file, name in several(tests, TEST):
        assert name.startswith("test_") and name in names(file), f"line {number}: {file} has no {name}"
