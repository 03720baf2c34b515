"""What the instance network says of training photos while it learns (BESTIE, Fig. 6)."""

import numpy as np

from stages.bestie import infer
from stages.bestie.data import NO_MARKS
from tag2mask.data.instances import Instances, InstancesBuilder


class Snapshots:
    """Refined labels of training photos at config.snapshots equal intervals of the training, the last at its end.

    A table's image ids are "<iterations done, six digits>/<image id>". Each is kept beside the checkpoints, so that a
    resumed training has the earlier ones too. Source: BESTIE, Fig. 6.
    """

    def __init__(self, index, model, *, marks, total, config, mean, std, job):
        self.marks = marks
        self.index, self.model, self.config, self.mean, self.std, self.job = index, model, config, mean, std, job
        self.at = sorted({max(1, round(total * (k + 1) / config.snapshots)) for k in range(config.snapshots)})
        photos = index.where("with_masks")
        self.photos = (photos if len(photos) else index.where("train"))[: config.snapshot_photos]
        self.kept = {}

    def after(self, t):
        """Called after iteration t: takes a snapshot if one is due."""
        if t + 1 not in self.at:
            return
        self.model.eval()
        table = self.taken(t + 1)
        self.model.train()
        if self.job.checkpoints is None:
            self.kept[t + 1] = table
        else:
            table.save(self.path(t + 1))

    def taken(self, done):
        """Instances of the chosen photos by the rules of the refinement."""
        names = self.index.image_id
        photos = (
            (f"{done:06d}/{names[i]}", self.index.photo(i), self.index.tags(i), self.points_of(names[i]))
            for i in self.photos
        )
        return infer.instances_of(
            self.model, photos, config=self.config, mean=self.mean, std=self.std, categories=self.index.categories,
            rule="refine",
        )  # fmt: skip

    def points_of(self, name):
        return None if self.marks is None else self.marks.get(name, NO_MARKS)

    def path(self, done):
        return self.job.checkpoints / f"snapshot-{done:06d}.zarr.zip"

    def table(self):
        """All snapshots, in order of time."""
        if not self.at:
            return InstancesBuilder(self.index.categories).finish()
        parts = [self.kept[k] if k in self.kept else Instances.load(self.path(k)) for k in self.at]
        whole = Instances.concat(parts)
        return whole.replaced(id=np.arange(1, len(whole) + 1))
