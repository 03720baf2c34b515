"""What `graph` makes: edges between the nearest proposals of photos that share a tag."""

from tag2mask.run.registry import Job, Read, Stage, Write

NODE_KB = 1.5  # memory of a node of the cut, at own tags

STAGE = Stage(
    jobs={"run": Job(reads={"mil": Read("mil.mil")}, writes={"edges": Write("graph/1")}, mem_mb=8000)},
    schemas={"graph/1": "stages.graph.look"},
    memory_kb=lambda view: NODE_KB * view.of("mil").config["keep"],
)
