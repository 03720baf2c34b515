"""What `prm` reads off the classifier: a map of every peak of `cam`, by peak back-propagation."""

from tag2mask.run.registry import Job, Picture, Read, Stage, Write

STAGE = Stage(
    jobs={
        "run": Job(
            reads={"weights": Read("classifier.weights"), "peaks": Read("cam.peaks")},
            writes={"prm": Write("maps/1")},
            mem_mb=6000,
            minutes=240,
        )
    },
    pictures={"prm": Picture("heat", maps="prm")},
    disk_kb=570,  # maps of all peaks at stride 16, of VOC's photos
    peak_mb=2000,
)
