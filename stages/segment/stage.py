"""What `segment` learns: a DeepLab from the labels of a recipe merged by class, and its label maps."""

from tag2mask.run.registry import Job, Read, Stage, Write, always

STAGE = Stage(
    jobs={
        "train": Job(
            reads={"labels": Read("pseudo_labels.labels")},
            writes={"weights": Write("weights/1")},
            mem_mb=8000,
            minutes=2880,
            seeded=always,
        ),
        "run": Job(reads={"weights": Read("segment.weights")}, writes={"predictions": Write("maps/1")}, mem_mb=8000),
    },
    shared=True,
    runs_for=lambda plan, recipe: recipe in plan.train_segment,
    predict="stages.segment.command",
    disk_kb=8,  # the labels, unpacked while it trains
)
