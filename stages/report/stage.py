"""What `report` makes: one page of everything that a run has."""

from tag2mask.run import recipes
from tag2mask.run.code_digest import module_digest
from tag2mask.run.registry import Command, Job, Read, Stage, Write


def fill(config, view, recipe):
    """What the page must know of the recipes, the pictures and the panels."""
    drawn = [{"kind": one.kind, "title": one.title} for one, _, _ in recipes.pictures(view.plan)]
    panels = [{"module": module, "code": module_digest(module)} for module, _ in recipes.panels(view.plan)]
    return {**config, "recipes": recipes.table(view.plan), "pictures": drawn, "panels": panels}


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "truth": Read("images.truth"),
                "labels": Read("pseudo_labels.labels"),
                "added": Read("refine.added"),
                "predictions": Read("refine.predictions"),
                "segmentation": Read("segment.predictions"),
                "metrics": Read("evaluate.metrics"),
            },
            writes={"report": Write(""), "table": Write("")},
            minutes=30,
        )
    },
    shared=True,
    fill=fill,
    peak_mb=300,
    memory_kb=1,
    commands={"picture": Command("stages.report.command", "draw a small grid of one run's pictures")},
)
