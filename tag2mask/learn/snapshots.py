"""What a network says of some photos while it learns; a resumed training has the earlier ones too."""


class Snapshots:
    """An artifact at `times` equal intervals of `total` iterations, the last at the end.

    model : shown to `take` in evaluation mode. take : iterations done -> artifact. load : path -> such an artifact.
    Each is kept beside the checkpoints of the job, or where it has none in memory. Of processes that train together
    the first takes them; the others have none.
    """

    def __init__(self, total, times, *, model, take, load, job):
        self.model, self.take, self.load, self.folder = model, take, load, job.checkpoints
        times = times if job.rank == 0 else 0
        self.at, self.kept = sorted({max(1, round(total * (k + 1) / times)) for k in range(times)}), {}

    def after(self, t):
        """Called after iteration t: takes one if it is due."""
        if t + 1 not in self.at:
            return
        self.model.eval()
        taken = self.take(t + 1)
        self.model.train()
        if self.folder is None:
            self.kept[t + 1] = taken
        else:
            taken.save(self.path(t + 1))

    def path(self, done):
        return self.folder / f"snapshot-{done:06d}.zarr.zip"

    def all(self):
        """All of them, in order of time."""
        return [self.kept[k] if k in self.kept else self.load(self.path(k)) for k in self.at]
