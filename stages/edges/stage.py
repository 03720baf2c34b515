"""What `edges` makes: how sure each pixel of a photo is on the boundary of something."""

from tag2mask.run.registry import Job, Picture, Stage, Write

RESTS_ON = {"hed": "edges of HED (trained on BSDS500 boundaries)", "folder": "imported edges"}

STAGE = Stage(
    jobs={
        "run": Job(writes={"edges": Write("maps/1")}, minutes=240),
        # one job of all validation photos: 5,000 of COCO at about 2 s
        "predict": Job(writes={"held_out": Write("maps/1")}, minutes=360),
    },
    extras=lambda view: [RESTS_ON[view.config["source"]]],
    pictures={"edges": Picture("heat", maps="edges", title="edges")},
    alone={"edges": "stages.edges:alone"},
    disk_kb=140,
    peak_mb=750,
)
