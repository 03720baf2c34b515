"""What `proposals` makes: class-agnostic masks of every photo, from the photos alone or from elsewhere."""

from tag2mask.run.registry import Job, Picture, Stage, Write

RESTS_ON = {"hierarchy": [], "sam": ["proposals of SAM (trained on 1.1 billion masks)"]}


def network(view):
    """Whether a network makes them."""
    return view.config["source"] == "sam"


STAGE = Stage(
    jobs={
        "run": Job(writes={"proposals": Write("instances/1")}, mem_mb=2000, device=network),
        # one job of all validation photos: 5,000 of COCO at about 1.5 s
        "predict": Job(writes={"held_out": Write("instances/1")}, mem_mb=2000, minutes=360, device=network),
    },
    extras=lambda view: RESTS_ON.get(view.config["source"], ["imported proposals"]),
    measured={"proposals": "proposals"},
    pictures={"proposals": Picture("proposals", maps="proposals", title="proposals")},
    alone={"proposals": "stages.proposals:alone"},
    disk_kb=140,
    peak_mb=700,
)
