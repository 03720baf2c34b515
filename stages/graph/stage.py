"""What `graph` makes: edges between the nearest proposals of photos that share a tag."""

from tag2mask.run.registry import Job, Read, Stage, Write

NODE_KB = 1.5  # memory of a node of the cut, at own tags


def memory_kb(view):
    """kB a photo of the cut: of the proposals that `mil` keeps, or of the salient instances."""
    config = view.of("mil").config
    return NODE_KB * (view.of("mil").of("saliency").config if config["nodes"] == "salient" else config)["keep"]


STAGE = Stage(
    jobs={"run": Job(reads={"mil": Read("mil.mil")}, writes={"edges": Write("graph/1")}, mem_mb=8000)},
    schemas={"graph/1": "stages.graph.look"},
    memory_kb=memory_kb,
)
