"""What `reference` makes: bounds for every table, two from ground truth, two from tags and proposals alone."""

from tag2mask.run.registry import Job, Read, Stage, Write


def kind(*names):
    """The condition that the reference is one of `names`."""
    return lambda view: view.config["kind"] in names


def regions(nodes):
    """The condition that the reference reads these regions."""
    return lambda view: kind("oracle_boxes", "top_proposal")(view) and view.config["nodes"] == nodes


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "truth": Read("images.truth", when=kind("full", "oracle_boxes")),
                "proposals": Read("proposals.proposals", when=regions("proposals")),
                "salient": Read("saliency.salient", when=regions("salient")),
            },
            writes={"instances": Write("instances/1")},
            mem_mb=2000,
        )
    },
    labels="instances",
    whole_proposals=kind("oracle_boxes"),
    kind=lambda view: {"full": "full", "oracle_boxes": "bound"}.get(view.config["kind"], "baseline"),
    supervision=lambda view: {"full": "masks", "oracle_boxes": "boxes"}.get(view.config["kind"], ""),
    disk_kb=3,
)
