"""What `transfer` makes: instances where a component of the semantic map holds exactly one peak, or point."""

from tag2mask.run.registry import Job, Read, Stage, Write


def cues(name):
    """The condition that peaks, or points, say where the objects are."""
    return lambda view: view.config["cues"] == name


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "peaks": Read("cam.peaks", when=cues("peaks")),
                "points": Read("images.points", when=cues("points")),
                "semantic": Read("semantic.semantic"),
            },
            writes={"instances": Write("instances/1")},
            mem_mb=2000,
        )
    },
    labels="instances",
    supervision=lambda view: "points" if cues("points")(view) else "",
    disk_kb=1,
)
