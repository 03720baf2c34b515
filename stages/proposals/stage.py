"""What `proposals` makes: class-agnostic masks of every photo, from the photos alone or from elsewhere."""

from tag2mask.run.registry import Job, Picture, Stage, Write

STAGE = Stage(
    jobs={
        "run": Job(writes={"proposals": Write("instances/1")}, mem_mb=2000),
        # one job of all validation photos: 5,000 of COCO at about 1.5 s
        "predict": Job(writes={"held_out": Write("instances/1")}, mem_mb=2000, minutes=360),
    },
    extras=lambda view: ["imported proposals"] if view.config["source"] != "hierarchy" else [],
    measured={"proposals": "proposals"},
    pictures={"proposals": Picture("proposals", maps="proposals", title="proposals")},
    alone={"proposals": "stages.proposals:alone"},
    disk_kb=140,
    peak_mb=700,
)
