"""The picture of the rules in docs/architecture.md, from what Snakemake plans.

    python -m docs.make_dag     # or: make docs

`snakemake --rulegraph mermaid-js` of a run whose recipes need every stage, less its colours, and less the arrows from
`images` wherever there are others, for every rule reads the index.
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from tag2mask.run.registry import dataset

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- dag: made by `make docs` -->\n", "<!-- /dag -->"


def planned():
    """What Snakemake draws of all recipes that need nothing from outside, in Mermaid's language."""
    recipes = yaml.safe_load((ROOT / "config/recipes.yaml").read_text(encoding="utf-8"))["recipes"]
    show = ",".join(name for name in recipes if "points" not in name)
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--rulegraph", "mermaid-js",
        "--config", f"show=[{show}]", "train_segment=[full]",
    ]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def drawn(text):
    """The Mermaid graph of `text`, rules by name, edges sorted."""
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", text, re.M))
    edges = [(names[a], names[b]) for a, b in re.findall(r"^\s*(id\d+) --> (id\d+)", text, re.M)]
    first = dataset().word
    fed = {b for a, b in edges if a != first}
    kept = sorted({(a, b) for a, b in edges if b != "all" and (a != first or b not in fed)})
    return "\n".join(["```mermaid", "flowchart TB", *(f"    {a} --> {b}" for a, b in kept), "```"]) + "\n"


def page(text, graph):
    """The document `text` with `graph` between its marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + graph + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), drawn(planned())), encoding="utf-8")
