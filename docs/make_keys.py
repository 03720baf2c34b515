"""docs/keys.md from the models of the configuration.

    python -m docs.make_keys     # or: make docs

Every stage is found by its folder; what a key is stands in its stage's `config.py`.
"""

import json
import re
import sys
from pathlib import Path

from tag2mask.run.plan import Plan, model_of
from tag2mask.run.registry import stages

PAGE = Path(__file__).with_name("keys.md")
HEAD = """# Keys of the configuration

Made by `make docs` from `stages/<stage>/config.py` and `tag2mask/run/plan.py`; a test says when it is stale.

A file of the configuration is YAML: a section a stage, below it the stage's keys. A variant
(`variants.<stage>.<name>`) sets the same keys for itself alone. Defaults are the papers' values where a paper gives
one, so the files in [config](../config) say only what differs; several files are laid over one another, the last one
wins. Every meaning names unit and source; "ours" is what no paper gives.
"""
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
WORDS = {"integer": "int", "number": "float", "boolean": "true, false", "string": "text", "object": "mapping"}


def kind(schema):
    """What a key may be, in words: "int, ≥ 1", "`pool`, `align`", "list of float, each > 0, ≤ 1; at least 1"."""
    if "anyOf" in schema:
        return "; or ".join("null" if one.get("type") == "null" else kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])} {kind(schema['prefixItems'][0])}"
    if schema["type"] == "array":
        item = kind(schema["items"]).replace(", ", ", each ", 1)
        return f"list of {item}" + (f"; at least {schema['minItems']}" if "minItems" in schema else "")
    return ", ".join(
        [WORDS[schema["type"]], *(form.format(schema[key]) for key, form in BOUNDS.items() if key in schema)]
    )


def plain(text):
    """Text in a cell of a table: what Markdown and HTML would read as their own is escaped outside backticks."""
    parts = str(text).replace("|", "\\|").split("`")
    parts[::2] = [re.sub(r"([*~])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def table(properties):
    """One row a key: its name, what it may be, its default, what it means."""
    rows = ["| key | values | default | meaning, unit, source |", "|---|---|---|---|"]
    for key, schema in properties.items():
        default = json.dumps(schema["default"], ensure_ascii=False).strip('"') if "default" in schema else ""
        cells = (f"`{key}`", plain(kind(schema)), f"`{default}`" if default else "", plain(schema["description"]))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def page():
    """The whole document."""
    top = Plan.model_json_schema()["properties"]
    words = {stage.section or word: word for word, stage in stages().items()}
    links = " · ".join(f"[{name}](#{name})" for name in ("top-level-keys", *words))
    parts = [HEAD, links, "## Top-level keys", table({key: top[key] for key in Plan.TOP})]
    for section, word in words.items():
        model = model_of(word)
        said = model.__doc__ or sys.modules[model.__module__].__doc__
        parts += [f"## {section}", plain(" ".join(said.split())), table(model.model_json_schema()["properties"])]
        if getattr(model, "ONLY_TEST", None):
            names = ", ".join(f"`{key}`" for key in model.model_fields if key in model.ONLY_TEST)
            parts.append(f"Changing {names} trains nothing anew.")
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
