"""What `cam` reads off the classifier: a map of every tagged class, and its peaks."""

from tag2mask.run.registry import Job, Picture, Read, Stage, Write

STAGE = Stage(
    jobs={
        "run": Job(
            reads={"weights": Read("classifier.weights")},
            writes={"cam": Write("maps/1"), "peaks": Write("peaks/1")},
        )
    },
    pictures={"cam": Picture("heat", maps="cam"), "peaks": Picture("heat", maps="cam", peaks="peaks")},
    disk_kb=1,
    peak_mb=1250,
)
