"""What `classifier` learns: from photos and tags alone, a multi-label classifier."""

from tag2mask.run.registry import Job, Stage, Write, always

STAGE = Stage(
    jobs={"train": Job(writes={"weights": Write("weights/1")}, mem_mb=6000, minutes=600, seeded=always)},
    peak_mb=4900,
)
