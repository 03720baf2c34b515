"""What `match` makes: the proposal of every peak that its response map fits best, less those of the same object."""

from tag2mask.run.registry import Job, Read, Stage, Write

STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "prm": Read("prm.prm", when=lambda view: view.config["maps"] == "prm"),
                "enhanced": Read("icn.enhanced", when=lambda view: view.config["maps"] == "icn"),
                "proposals": Read("proposals.proposals"),
                "cam": Read("cam.cam", when=lambda view: view.config["background_of"] == "class"),
            },
            writes={"instances": Write("instances/1"), "merged": Write("maps/1")},
        )
    },
    labels="instances",
    disk_kb=300,
    peak_mb=1000,
)
