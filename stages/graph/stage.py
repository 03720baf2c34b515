"""What `graph` makes: edges between the nearest proposals of photos that share a tag."""

from tag2mask.run.registry import Job, Read, Stage, Write

PAIR_MINUTES = {"tags": 5e-11, "all": 4e-10}  # of two nodes, on one thread; COCO's with 40 a photo took ten hours


def minutes(view, photos):
    """An hour, and the time of all pairs of nodes: nothing is kept of a search that is killed."""
    mil = view.of("mil")
    keep = (mil.of("saliency") if mil.config["nodes"] == "salient" else mil).config["keep"]
    return 60 + PAIR_MINUTES[view.config["pairs"]] * (photos * keep) ** 2


STAGE = Stage(
    jobs={"run": Job(reads={"mil": Read("mil.mil")}, writes={"edges": Write("graph/1")}, mem_mb=8000, minutes=minutes)},
    schemas={"graph/1": "stages.graph.look"},
)
