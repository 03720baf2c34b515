"""What `cim` makes: proposals with classes, by a network that mines complete instances while it learns."""

from tag2mask.run.registry import Job, Read, Stage, Write, always


def cues(name):
    """The condition that peaks, or points, say where the objects are; without first labels nothing does."""
    return lambda view: view.config["agpl"] and view.config["cues"] == name


def shelved(view):
    """kB a photo on the disk: its answers and, while it trains, boxes, grids and sets of its proposals."""
    return 2 + 0.26 * min(view.config["most"] or 10_000, view.of("proposals").config["count"])


WEIGHTS = Read("cim.weights")

STAGE = Stage(
    jobs={
        "train": Job(
            reads={
                "proposals": Read("proposals.proposals"),
                "peaks": Read("cam.peaks", when=cues("peaks")),
                "points": Read("images.points", when=cues("points")),
                "classifier": Read("classifier.weights", when=lambda view: view.config["from_classifier"]),
            },
            writes={"weights": Write("weights/1"), "snapshots": Write("mined/1")},
            mem_mb=8000,
            minutes=2880,
            seeded=always,
        ),
        "run": Job(
            reads={"weights": WEIGHTS, "proposals": Read("proposals.proposals")},
            writes={"instances": Write("instances/1")},
            minutes=240,
        ),
        "predict": Job(
            reads={"weights": WEIGHTS, "held_out": Read("proposals.held_out")},
            writes={"predictions": Write("instances/1")},
            minutes=240,
        ),
    },
    labels="instances",
    supervision=lambda view: "points" if cues("points")(view) else "",
    measured={"network": "predictions"},
    schemas={"mined/1": "stages.cim.look"},
    predict="stages.cim.command",
    disk_kb=shelved,
    peak_mb=2000,
    disk_mb=160,
)
