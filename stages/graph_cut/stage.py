"""What `graph_cut` makes: one label for every proposal of the dataset, with a certificate of how good the cut is."""

from tag2mask.run.registry import Command, Job, Read, Stage, Write

NODE_KB = 1.5  # memory of a node, at own tags
MASK_KB = 0.5  # of a node on the disk, half of which at most get a class


def salient(view):
    """Whether the nodes are salient instances, not proposals."""
    return view.of("mil").config["nodes"] == "salient"


def nodes(view):
    """Nodes a photo: the proposals that `mil` keeps, or the salient instances."""
    return (view.of("saliency") if salient(view) else view.of("mil")).config["keep"]


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "mil": Read("mil.mil"),
                "edges": Read("graph.edges", when=lambda view: view.config["solver"] != "argmax"),
                "proposals": Read("proposals.proposals", when=lambda view: not salient(view)),
                "salient": Read("saliency.salient", when=salient),
            },
            writes={"instances": Write("instances/1"), "labels": Write("labels/1")},
            mem_mb=8000,
        )
    },
    labels="instances",
    whole_proposals=lambda view: True,
    panel="stages.graph_cut.panel",
    schemas={"labels/1": "stages.graph_cut.look"},
    disk_kb=lambda view: MASK_KB / 2 * nodes(view),
    memory_kb=lambda view: NODE_KB * nodes(view),
    commands={"cut": Command("stages.graph_cut.command", "label any graph by the multi-way cut")},
)
