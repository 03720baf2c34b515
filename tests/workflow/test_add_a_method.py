"""docs/add-a-method.md, followed to the letter on a copy of the project, gives a row in the table."""

import re
import shutil

from conftest import ROOT, TINY, Workflow

FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```", re.M | re.S)


def test_a_method_is_one_folder_one_rule_file_and_a_recipe(tiny_copy, tmp_path_factory):
    """Nothing that was there is touched; of the finished run only what is new is built."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("config", "profiles", "workflow", "stages", "tag2mask", "envs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "Snakefile", copy / "Snakefile")
    files = dict(FILE.findall((ROOT / "docs/add-a-method.md").read_text()))
    assert len(files) == 5
    for name, text in files.items():
        assert not (copy / name).exists()
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(text)
    workflow = Workflow(tiny_copy.folder, root=copy, config=(TINY, copy / "islands.yaml"))
    new = {"islands": 2, "pseudo_labels": 1, "evaluate": 1, "report": 1, "all": 1}
    assert workflow.planned() == new
    output = workflow.run()
    row = next(line for line in output.splitlines() if line.startswith("| islands"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "tags" and int(cells[5].replace(",", "")) > 0 and float(cells[2]) >= 0
    assert workflow.planned() == {}
