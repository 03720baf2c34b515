"""What `semantic` makes: label maps from CAMs (and saliency), imported, or (the bound alone) from the ground truth."""

from tag2mask.run.registry import Job, Picture, Read, Stage, Write


def salient(view):
    """Whether saliency has a share in the scores."""
    return source("cam")(view) and view.config["saliency_share"] > 0


def source(name):
    """The condition that the maps come from `name`."""
    return lambda view: view.config["source"] == name


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "cam": Read("cam.cam", when=source("cam")),
                "saliency": Read("saliency.saliency", when=salient),
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
