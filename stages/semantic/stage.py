"""What `semantic` makes: label maps from CAMs, or imported ones, or (the upper bound alone) from the ground truth."""

from tag2mask.run.registry import Job, Picture, Read, Stage, Write


def source(name):
    """The condition that the maps come from `name`."""
    return lambda view: view.config["source"] == name


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "cam": Read("cam.cam", when=source("cam")),
                "truth": Read("images.truth", when=source("truth")),
            },
            writes={"semantic": Write("maps/1")},
        )
    },
    supervision=lambda view: "semantic masks" if source("truth")(view) else "",
    extras=lambda view: ["imported maps"] if source("folder")(view) else [],
    pictures={"semantic": Picture("labels", maps="semantic", title="semantic map")},
    disk_kb=3,
)
