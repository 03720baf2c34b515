"""What the instance network says of training photos while it learns (BESTIE, Fig. 6)."""

import numpy as np

from stages.bestie import infer
from stages.bestie.data import NO_MARKS
from tag2mask.data.instances import Instances, InstancesBuilder
from tag2mask.learn import snapshots


class Snapshots:
    """Refined labels of training photos at config.snapshots equal intervals of the training.

    A table's image ids are "<iterations done, six digits>/<image id>". Source: BESTIE, Fig. 6.
    """

    def __init__(self, index, model, *, marks, total, config, mean, std, job):
        self.index, self.model, self.marks, self.config, self.mean, self.std = index, model, marks, config, mean, std
        self.over_time = snapshots.Snapshots(
            total, config.snapshots, model=model, take=self.taken, load=Instances.load, job=job
        )
        photos = index.where("with_masks")
        self.photos = (photos if len(photos) else index.where("train"))[: config.snapshot_photos]

    def after(self, t):
        """Called after iteration t: takes a snapshot if one is due."""
        self.over_time.after(t)

    def taken(self, done):
        """Instances of the chosen photos by the rules of the refinement."""
        index, names = self.index, self.index.image_id
        photos = (
            infer.Shown(
                f"{done:06d}/{names[i]}", index.photo(i), index.size[i], index.tags(i), self.points_of(names[i])
            )
            for i in self.photos
        )
        return infer.instances_of(
            self.model, photos, config=self.config, mean=self.mean, std=self.std, categories=self.index.categories,
            rule="refine",
        )  # fmt: skip

    def points_of(self, name):
        return None if self.marks is None else self.marks.get(name, NO_MARKS)

    def table(self):
        """All snapshots, in order of time."""
        parts = self.over_time.all()
        if not parts:
            return InstancesBuilder(self.index.categories).finish()
        whole = Instances.concat(parts)
        return whole.replaced(id=np.arange(1, len(whole) + 1))
