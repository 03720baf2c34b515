"""What `saliency` makes: how much each pixel of a photo stands out, and the instances that do."""

from stages.saliency.packaged import LACKING, weights
from tag2mask.run.registry import Job, Picture, Stage, Write

RESTS_ON = {
    "rbd": "saliency of our own",
    "u2netp": "saliency of U2-Netp (trained on masks of DUTS)",
    "folder": "imported saliency",
    "instances": "imported salient instances",
}


def lacks(view):
    """One sentence where U2-Netp is to be run and its weights are not installed, else ""."""
    return LACKING if view.config["source"] == "u2netp" and weights() is None else ""


STAGE = Stage(
    jobs={
        "run": Job(writes={"saliency": Write("maps/1"), "salient": Write("instances/1")}, mem_mb=2000),
        # one job of all validation photos
        "predict": Job(
            writes={"held_out": Write("maps/1"), "held_out_salient": Write("instances/1")}, mem_mb=2000, minutes=240
        ),
    },
    extras=lambda view: [RESTS_ON[view.config["source"]]],
    lacks=lacks,
    pictures={
        "saliency": Picture("heat", maps="saliency", title="saliency"),
        "salient": Picture("proposals", maps="salient", title="salient instances"),
    },
    alone={"salient": "stages.saliency:alone"},
    disk_kb=40,
    peak_mb=700,
)
