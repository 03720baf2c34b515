"""What `images` makes of a dataset: the index for all, the ground truth for few, points where a file names them."""

from tag2mask.run.registry import Command, Job, Stage, Write


def generated(view):
    """Whether the dataset is made here, from the seed."""
    return view.config["kind"] == "scenes"


def count(dataset):
    """Number of training photos of a section `dataset`, or None; see `stages.images.count`."""
    from stages.images.count import training_photos

    return training_photos(dataset)


def settle(dataset):
    """The section as the photos make it; see `stages.images.count.settled`."""
    from stages.images.count import settled

    return settled(dataset)


def check(dataset):
    """UserError for a dataset that cannot be read; see `stages.images.count.look`."""
    from stages.images.count import look

    look(dataset)


STAGE = Stage(
    section="dataset",
    jobs={
        "run": Job(
            writes={
                "index": Write("index/1"),
                "truth": Write(
                    "instances/1",
                    when=lambda view: view.config["kind"] != "folder",
                    missing="needs ground truth, which a folder of photos has not; leave it out.",
                ),
                "points": Write(
                    "peaks/1",
                    when=lambda view: bool(view.config["points"]),
                    missing="learns from points: name their file in dataset.points, or leave it out.",
                ),
            },
            minutes=lambda view, photos: 60 + photos / 1000,  # every photo is decoded
            seeded=generated,
        )
    },
    commands={"points": Command("stages.images.command", "make a file of points, one inside every true object")},
    memory_kb=lambda view: 20 if view.config["kind"] == "coco" else 0,  # its JSON as text, masks as run lengths
    count=count,
    settle=settle,
    check=check,
)
