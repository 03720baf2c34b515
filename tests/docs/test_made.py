"""What `make docs` makes is what stands in the documents."""

import pytest
from pydantic import Field

from docs import make_dag, make_inputs, make_keys
from tag2mask.run.config import Section
from tag2mask.run.registry import stages

PLANNED = """---
title: DAG
---
flowchart TB
\tid0[all]
\tid1[report]
\tid2[images]
\tid3[cam]
\tid4[proposals]
\tstyle id0 fill:#D95757,stroke-width:2px,color:#333333
\tid1 --> id0
\tid2 --> id1
\tid3 --> id1
\tid4 --> id3
\tid2 --> id3
\tid2 --> id4
"""


class Some(Section):
    share: float = Field(0.5, gt=0, le=1, description="part of a*b; `a|b` | ours")
    sides: list[int] | None = Field(None, description="pixels of <image id>.txt")
    pair: tuple[float, float] = Field((0.5, 1.0), description="least and most")


def test_keys_are_those_of_the_models():
    assert make_keys.page() == make_keys.PAGE.read_text(encoding="utf-8"), "docs/keys.md is stale; run `make docs`"


def test_odd_inputs_are_answered_as_it_stands_there():
    made = make_inputs.page()
    assert made == make_inputs.PAGE.read_text(encoding="utf-8"), "docs/inputs.md is stale; run `make docs`"


def test_every_stage_has_a_section_and_every_key_a_meaning():
    text = make_keys.page()
    for word, stage in stages().items():
        assert f"\n## {stage.section or word}\n" in text and f"(#{stage.section or word})" in text
    assert "|  |\n" not in text


def test_a_table_of_keys_by_hand():
    assert make_keys.table(Some.model_json_schema()["properties"]).splitlines()[2:] == [
        r"| `share` | float, > 0, ≤ 1 | `0.5` | part of a\*b; `a\|b` \| ours |",
        "| `sides` | list of int; or null | `null` | pixels of &lt;image id>.txt |",
        "| `pair` | list of 2 float | `[0.5, 1.0]` | least and most |",
    ]


def test_the_picture_leaves_out_the_index_where_there_is_more():
    graph = make_dag.drawn(PLANNED)
    assert [line.strip() for line in graph.splitlines()[1:-1]] == [
        "flowchart TB", 'r_cam["cam"]', 'r_images["images"]', 'r_proposals["proposals"]', 'r_report["report"]',
        "r_cam --> r_report", "r_images --> r_proposals", "r_proposals --> r_cam",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_picture_is_what_snakemake_plans():
    text = make_dag.PAGE.read_text(encoding="utf-8")
    assert make_dag.page(text, make_dag.drawn(make_dag.planned())) == text, (
        "docs/architecture.md is stale; run `make docs`"
    )
