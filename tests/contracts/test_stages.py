"""What every stage must keep to: its declaration, its rules, and that nobody else holds its name."""

import importlib
import inspect
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from tag2mask.run.registry import alone, dataset, rules, stages

NAMELESS = [
    *("tag2mask/run/" + name for name in ("registry.py", "plan.py", "recipes.py", "estimate.py", "adapter.py")),
    "tag2mask/view/inspect.py", "tag2mask/view/describe.py",
    "workflow/rules/common.smk", "workflow/rules/jobs.smk", "Snakefile",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "tag2mask/cli").glob("*.py"))),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "stages/report").glob("*.py")) if path.name != "stage.py"),
]  # fmt: skip
# words of the language, and names of artifacts and keys too: as a stage's name they are compared, or part of a path
COMMON = {
    "images",
    "proposals",
    "report",
    "graph",
    "reference",
    "match",
    "segment",
    "semantic",
    "transfer",
    "refine",
    "evaluate",
}


@pytest.mark.parametrize("file", NAMELESS)
def test_who_serves_all_stages_names_none(file):
    """Neither as a string of its own nor as the first part of a path, an attribute or an import."""
    text = (ROOT / file).read_text()
    text = re.sub(r'"""(?:.|\n)*?"""', "", text)  # documentation may give an example
    text = re.sub(r"#.*", "", text)
    if file.startswith("stages/report"):
        text = text.replace("stages.report", "").replace("stages/report", "")
    for word in stages():
        if word == "report" and file in ("Snakefile", "workflow/rules/jobs.smk"):
            continue  # the page is what a run is for
        named = rf'[=!]= "{word}"|/{word}/|/ "{word}"|stages\.{word}\b|at\("{word}"'
        found = re.search(named if word in COMMON else rf"\b{word}\b", text)
        assert found is None, f"{file} holds the stage's name in {found.group()}"


@pytest.mark.parametrize("word", stages())
def test_a_declaration_is_sound(word):
    """Its functions exist with the arguments of a stage; what it reads is written; what it shows it writes."""
    stage = stages()[word]
    module = importlib.import_module(f"stages.{word}")
    assert importlib.import_module(f"stages.{word}.config").Config.model_fields is not None
    written = {name for job in stage.jobs.values() for name in job.writes}
    for function, job in stage.jobs.items():
        assert list(inspect.signature(getattr(module, function)).parameters) == ["inputs", "config", "job"]
        for read in job.reads.values():
            assert read.artifact in {name for one in stages()[read.stage].jobs.values() for name in one.writes}
        assert all(re.fullmatch(r"[a-z]+/\d+|", write.schema) for write in job.writes.values())
    assert written >= {*stage.measured.values(), *stage.pictures, *([stage.labels] if stage.labels else [])}
    assert written >= {name for one in stage.pictures.values() for name in (one.maps, one.peaks) if name}
    assert written >= set(stage.alone)
    for name in stage.alone:
        assert list(inspect.signature(alone(f"{word}.{name}")).parameters) == ["photo", "section"]
    modules = [stage.panel, *stage.schemas.values()]
    assert all(importlib.util.find_spec(name) is not None for name in modules if name)


def test_the_order_of_the_work():
    words = list(stages())
    assert words[0] == dataset().word
    for word, stage in stages().items():
        assert all(words.index(read) < words.index(word) for read in stage.upstream)


@pytest.fixture(scope="module")
def described():
    """rule -> its text in the rule files."""
    found = {}
    for word in stages():
        text = (ROOT / f"workflow/rules/{word}.smk").read_text()
        for part in re.split(r"^use rule ", text, flags=re.M)[1:]:
            found[re.match(r"\w+ as (\w+) with:", part).group(1)] = part
    return found


@pytest.mark.parametrize("name", rules())
def test_a_rule_is_what_its_stage_declares(described, name):
    """Outputs by name, one file of rules a stage, log and benchmark called as the rule and its wildcards."""
    stage, function = rules()[name]
    text = described[name]
    outputs = re.search(r"    output:\n((?:        .*\n)+)", text).group(1)
    if stage.section != "dataset":  # whose outputs depend on the dataset
        names = {one for one in re.findall(r"^ {8}(\w+)=", outputs, re.M) if "manifest" not in one}
        assert names == set(stage.jobs[function].writes)
    wildcards = list(dict.fromkeys(re.findall(r"\{(\w+)\}", outputs)))
    assert f'job="{".".join([name, *("{" + one + "}" for one in wildcards)])}"' in text
    assert f'**job("{name}")' in text
    assert set(described) == set(rules())


def test_what_a_rule_reads_is_a_file_that_a_rule_makes():
    text = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    made = {f"{word}/{name}" for word, name in re.findall(r'"<out>/(\w+)/\{(?:variant|recipe)\}/([^"]+)"', text)}
    read = set(re.findall(r'^ {12}\w+="(\w+/[^"]+)",$', text, re.M))
    assert len(made) > 50
    assert len(read) > 30
    assert {file for file in read - made if not file.startswith(f"{dataset().word}/")} == set()


def test_the_declarations_are_read_without_heavy_libraries():
    """`tag2mask --help` and a dry run look at every stage."""
    code = "import sys; from tag2mask.run.registry import stages; stages(); print({'torch', 'cv2'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
