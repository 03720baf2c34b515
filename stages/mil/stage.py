"""What `mil` makes: class probabilities and a feature for the best proposals of every photo."""

from tag2mask.run.registry import Job, Read, Stage, Write, always


def proposal_network(view):
    """Whether it trains LIID's network, which learns from proposals and their CAM; Fan's extractor needs neither."""
    return view.config["scores"] == "network"


def learns(view):
    """Whether it trains anything: with `scores: cam`, p and f come from the CAMs and the ImageNet backbone."""
    return view.config["scores"] != "cam"


def salient(view):
    """Whether p and f are those of salient instances (LIID, Sec. 6.1; Fan, Sec. 3), not of proposals."""
    return view.config["nodes"] == "salient"


def extras(view):
    """What Fan's extractor was trained on."""
    config = view.config
    if config["scores"] == "attention" and config["epochs"]:
        return [f"features trained on {config['labelled_folder'] or 'single-tag training photos'}"]
    return []


STAGE = Stage(
    jobs={
        "train": Job(
            reads={
                "proposals": Read("proposals.proposals", when=proposal_network),
                "cam": Read("cam.cam", when=proposal_network),
            },
            writes={"weights": Write("weights/1", when=learns)},
            mem_mb=8000,
            minutes=1440,
            seeded=always,
        ),
        "run": Job(
            reads={
                "weights": Read("mil.weights", when=learns),
                "proposals": Read("proposals.proposals", when=lambda view: not salient(view)),
                "salient": Read("saliency.salient", when=salient),
                "cam": Read("cam.cam"),
            },
            writes={"mil": Write("mil/1")},
        ),
    },
    extras=extras,
    schemas={"mil/1": "stages.mil.look"},
    disk_kb=lambda view: 0.6 * (view.of("saliency") if salient(view) else view).config["keep"],
    peak_mb=1500,
)
