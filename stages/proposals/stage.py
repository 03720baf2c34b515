"""What `proposals` makes: class-agnostic masks of every photo, from the photos or from elsewhere."""

from tag2mask.run.registry import Job, Picture, Read, Stage, Write


def leads(key):
    """The condition that learned edges, or salient instances, lead the proposals that are made here."""
    return lambda view: view.config["source"] == "hierarchy" and view.config[key]


def fill(config, view, recipe):
    """The sections of what leads, so that `alone` makes the same of a photo of no run."""
    read = [stage for key, stage in (("edges", "edges"), ("salient", "saliency")) if leads(key)(view)]
    return config | {"upstream": {stage: view.of(stage).config for stage in read}}


RESTS_ON = {"hierarchy": [], "sam": ["proposals of SAM (trained on 1.1 billion masks)"]}


def network(view):
    """Whether a network makes them."""
    return view.config["source"] == "sam"


STAGE = Stage(
    jobs={
        "run": Job(
            reads={
                "edges": Read("edges.edges", when=leads("edges")),
                "salient": Read("saliency.salient", when=leads("salient")),
            },
            writes={"proposals": Write("instances/1")},
            mem_mb=2000,
            device=network,
        ),
        # one job of all validation photos: 5,000 of COCO at about 1.5 s
        "predict": Job(
            reads={
                "held_out_edges": Read("edges.held_out", when=leads("edges")),
                "held_out_salient": Read("saliency.held_out_salient", when=leads("salient")),
            },
            writes={"held_out": Write("instances/1")},
            mem_mb=2000,
            minutes=360,
            device=network,
        ),
    },
    extras=lambda view: RESTS_ON.get(view.config["source"], ["imported proposals"]),
    fill=fill,
    measured={"proposals": "proposals"},
    pictures={"proposals": Picture("proposals", maps="proposals", title="proposals")},
    alone={"proposals": "stages.proposals:alone"},
    disk_kb=140,
    peak_mb=700,
)
