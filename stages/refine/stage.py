"""What `refine` learns: a Mask R-CNN from the labels of a recipe, and what it predicts."""

from tag2mask.run import recipes
from tag2mask.run.registry import Job, Read, Stage, Write, always

STAGE = Stage(
    jobs={
        "train": Job(
            reads={
                "labels": Read("pseudo_labels.labels"),
                "semantic": Read("semantic.semantic", when=lambda view: view.config["ignore"] is not None),
            },
            writes={"weights": Write("weights/1"), "added": Write("instances/1")},
            mem_mb=8000,
            minutes=2880,
            seeded=always,
        ),
        "run": Job(
            reads={"weights": Read("refine.weights")}, writes={"predictions": Write("instances/1")}, mem_mb=8000
        ),
    },
    shared=True,
    runs_for=recipes.trains,
    of_recipe=("ignore", "score_weight", "rounds", "round_score", "round_iou"),
    predict="stages.refine.command",
    disk_kb=8,  # the labels, unpacked while it trains
    disk_mb=50,
    peak_mb=2600,
    memory_kb=lambda view: 5 if view.config["ignore"] is not None else 2,  # the table; the semantic map, packed
)
