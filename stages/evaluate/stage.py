"""What `evaluate` measures: labels, predictions and what else a recipe's stages give, against the ground truth."""

from tag2mask.run.registry import Command, Job, Read, Stage, Write

STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "truth": Read("images.truth"),
                "labels": Read("pseudo_labels.labels"),
                "predictions": Read("refine.predictions"),
                "segmentation": Read("segment.predictions"),
            },
            writes={"metrics": Write("")},
            minutes=lambda view, photos: 60 + photos / 1000,
        )
    },
    shared=True,
    runs_for=lambda plan, recipe: plan.writes("truth"),
    peak_mb=300,
    memory_kb=8,  # what is found of every object and label, their masks apart
    commands={"evaluate": Command("stages.evaluate.command", "measure masks against ground truth")},
)
