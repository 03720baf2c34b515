"""What `icn` makes: peak response maps that cover whole instances, by a network that learns from proposals."""

from stages.icn.config import RANKING
from tag2mask.run.registry import Job, Picture, Read, Stage, Write, always


def fill(config, view, recipe):
    """Proposals are ranked for the targets as `match` ranks them for the answers (Sec. 3.2): by its section's keys, but
    for those that the variant names itself."""
    if "matching" not in config:
        return config
    keys = view.plan.config("match")
    return config | {"matching": {name: keys[name] for name in RANKING} | config["matching"]}


STAGE = Stage(
    jobs={
        "targets": Job(
            reads={
                "prm": Read("prm.prm"),
                "proposals": Read("proposals.proposals", when=lambda view: view.config["target"] == "proposals"),
                "salient": Read("saliency.salient", when=lambda view: view.config["target"] == "salient"),
            },
            writes={"targets": Write("maps/1")},
        ),
        "train": Job(
            reads={"prm": Read("prm.prm"), "targets": Read("icn.targets")},
            writes={"weights": Write("weights/1")},
            mem_mb=8000,
            minutes=1440,
            seeded=always,
        ),
        "run": Job(
            reads={"prm": Read("prm.prm"), "weights": Read("icn.weights")},
            writes={"enhanced": Write("maps/1")},
            minutes=240,
        ),
    },
    fill=fill,
    pictures={"enhanced": Picture("heat", maps="enhanced")},
    disk_kb=440,  # 40 of enhanced maps and targets, 400 while it trains: what it learns from
    peak_mb=1500,
    disk_mb=15,
)
