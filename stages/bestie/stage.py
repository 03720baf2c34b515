"""What `bestie` makes: a network learns from transferred instances and refines them, then labels and answers."""

from tag2mask.run.registry import Job, Read, Stage, Write, always


def pointed(view):
    """Whether the instances that it learns from were made from points: then it reads them too."""
    return view.of("transfer").config["cues"] == "points"


POINTS = Read("images.points", when=pointed)
WEIGHTS = Read("bestie.weights")

STAGE = Stage(
    jobs={
        "train": Job(
            reads={
                "transfer": Read("transfer.instances"),
                "semantic": Read("semantic.semantic"),
                "points": POINTS,
            },
            writes={"weights": Write("weights/1"), "snapshots": Write("instances/1")},
            mem_mb=8000,
            minutes=2880,
            seeded=always,
        ),
        "run": Job(
            reads={"weights": WEIGHTS, "points": POINTS}, writes={"instances": Write("instances/1")}, minutes=120
        ),
        "predict": Job(reads={"weights": WEIGHTS}, writes={"predictions": Write("instances/1")}, minutes=120),
    },
    labels="instances",
    measured={"network": "predictions", "snapshots": "snapshots"},
    predict="stages.bestie.command",
    disk_kb=10,  # its answers; while it trains, what it learns from, unpacked
    peak_mb=2000,
    memory_kb=5,  # the semantic map, packed, and the table of instances
)
