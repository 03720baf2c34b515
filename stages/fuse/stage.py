"""What `fuse` makes: one set of instances from those of several recipes for the same photos."""

from tag2mask.run.registry import Job, Read, Stage, Write

SOURCES = {  # -> what its masks are cut from: sources of the same are kin
    "bestie": "semantic",
    "cim": "proposals",
    "graph_cut": "proposals",
    "match": "proposals",
    "transfer": "semantic",
}
MAPS = {"cam": "cam.cam", "semantic": "semantic.semantic", "saliency": "saliency.saliency"}


def named(stage):
    """The condition that the variant's `from` names this stage: what it does not name is not read."""
    return lambda view: view.names(stage)


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                **{word: Read(f"{word}.instances", when=named(word)) for word in SOURCES},
                **{word: Read(artifact, when=named(word)) for word, artifact in MAPS.items()},
            },
            writes={"instances": Write("instances/1")},
        )
    },
    labels="instances",
    disk_kb=3,
    peak_mb=500,
)
