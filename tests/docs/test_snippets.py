"""The commands and the Python lines of the documents run as they stand there, on a finished tiny run.

Left out are the blocks under a line `<!-- not run by tests: reason -->`; what `snakemake` would compute anew is only
planned (`-n`).
"""

import os
import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT, TINY
from PIL import Image

from stages.images.scenes import CLASSES, make_scene

DOCUMENTS = ("README.md", "docs/stores.md", "docs/your-photos.md", "docs/running.md")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$", re.M | re.S)
MARKER = re.compile(r"<!-- not run by tests: \S.* -->\s*\Z")
REPLACED = (("results/demo", "results/tiny"), ("results/my-photos", "results/tiny"))


def blocks():
    """[(document, line, language, lines, whether it is run)] of all bash and Python blocks."""
    found = []
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match["language"] not in ("bash", "python"):
                continue
            number = text.count("\n", 0, match.start()) + 1
            lines = [line.removeprefix(match["indent"]) for line in match["body"].splitlines()]
            found.append((name, number, match["language"], lines, not MARKER.search(text[: match.start()])))
    return found


BLOCKS = blocks()
RUN = [block[:4] for block in BLOCKS if block[4]]


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """A copy of the finished run, beside a folder of tagged photos and one of other tagged photos."""
    folder = tmp_path_factory.mktemp("snippets")
    subprocess.run(["cp", "-a", f"{tiny.folder}/.", str(folder)], check=True)
    for name, first, count in (("my-photos", 0, 8), ("other-photos", 100, 2)):
        (folder / name).mkdir()
        table = ["file,tags"]
        for i in range(first, first + count):
            scene = make_scene(0, i, size=96)
            Image.fromarray(scene.photo).save(folder / name / f"{i}.png")
            table.append(f"{i}.png,{';'.join(CLASSES[c] for c in scene.tags)}")
        (folder / name / "tags.csv").write_text("\n".join(table) + "\n")
    (folder / "my-photos/points.csv").write_text("image_id,x,y,class\n")
    (folder / "corrections.json").write_text('{"schema": "corrections/1", "photos": []}')
    return folder


def replaced(text):
    for old, new in REPLACED:
        text = text.replace(old, new)
    return text


def commands(lines):
    """The argument lists of a bash block; a backslash continues a line, # begins a comment."""
    text = replaced("\n".join(lines)).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def as_run(words):
    """The words of a command as run here: this Python, this Snakefile; Snakemake plans only."""
    program, *rest = words
    if program == "python":
        return [sys.executable, *rest]
    if program == "tag2mask":
        return [sys.executable, "-m", "tag2mask", *rest]
    assert program == "snakemake", f"{program} is not run by the tests; mark its block"
    rest = [str(ROOT / word) if word.startswith("config/") else word for word in rest]
    own = [] if "--configfile" in rest else ["--configfile", str(TINY)]
    plan = [] if "-n" in rest else ["-n"]
    return [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), *plan, *rest, *own]


@pytest.mark.parametrize(("name", "line", "language", "lines"), RUN, ids=[f"{b[0]}:{b[1]}" for b in RUN])
def test_block(place, name, line, language, lines):
    given = commands(lines) if language == "bash" else [["python", "-c", replaced("\n".join(lines))]]
    assert given
    for words in given:
        process = subprocess.run(
            as_run(words), cwd=place, capture_output=True, text=True, timeout=600,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        output = process.stdout + process.stderr
        assert process.returncode == 0, f"{shlex.join(words)}\n{output[-3000:]}"
        assert "Traceback" not in output
        if words[0] == "snakemake" and "--config" in words:
            assert "Nothing to be done" not in output, f"{shlex.join(words)} would rerun nothing"


def test_every_document_has_blocks_that_run():
    assert {block[0] for block in RUN} == set(DOCUMENTS)
    assert len(RUN) >= 8


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path", [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))], ids=lambda path: path.name
)
def test_links_and_pictures_exist(path):
    """Relative targets of links and pictures are files of this repository, and headings in them."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            other = path.parent / file if file else path
            assert other.exists(), f"{path.name} links to {target}"
            assert not anchor or anchor in anchors(other), f"{path.name} links to {target}"
