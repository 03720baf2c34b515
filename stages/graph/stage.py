"""What `graph` makes: edges between the nearest proposals of photos that share a tag."""

from tag2mask.run.registry import Job, Read, Stage, Write

STAGE = Stage(
    jobs={"run": Job(reads={"mil": Read("mil.mil")}, writes={"edges": Write("graph/1")}, mem_mb=8000)},
    schemas={"graph/1": "stages.graph.look"},
)
