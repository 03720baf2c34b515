"""The photos that the instance network learns from: their semantic maps, their instances or their points."""

import numpy as np

from stages.bestie.data import NO_MARKS, marks_of, training_sample
from tag2mask.data import rle
from tag2mask.data.labelmaps import VOID, class_numbers
from tag2mask.data.scale import LARGEST
from tag2mask.errors import UserError


class Photos:
    """The photos to train on: training photos of the index with a semantic map that says something, or an instance.

    tags : (n, K) bool, the classes of each. Only instances with a class and ignore 0 count, and of the points those
    of classes of the index. Raises UserError where no photo has an instance (with points: a point), a photo has no
    semantic map, or an id is above 254.
    """

    def __init__(self, index, transfer, semantic, *, points, config):
        self.index, self.transfer, self.semantic, self.config = index, transfer, semantic, config
        self.categories = sorted(index.categories)
        self.number = class_numbers(self.categories)
        if config.undecided == "background":
            self.number[VOID] = 0
        self.column = {category: k for k, category in enumerate(self.categories)}
        place = {name: k for k, name in enumerate(transfer.image_id)}
        used = (transfer.ignore == 0) & (transfer.category > 0)
        self.marks = None if points is None else marks_of(points, self.column)
        self.chosen = []  # (photo of the index, row numbers of its instances)
        for i in index.where("train"):
            name = index.image_id[i]
            if name not in semantic:
                raise UserError(f"bestie: there is no semantic map of the photo {name}; run the stage semantic again.")
            first, end = transfer.first[place[name] : place[name] + 2] if name in place else (0, 0)
            rows = first + np.flatnonzero(used[first:end])
            if len(rows) or (semantic[name] != VOID).any():
                self.chosen.append((int(i), rows))
        found = self.counted()
        if self.marks is not None and not found["photos_with_points"]:
            raise UserError("bestie: no training photo has a point; name the points of this dataset (dataset.points)")
        if self.marks is None and not found["instances"]:
            raise UserError(
                "bestie: no training photo has a transferred instance, so there is nothing to train on; look at the "
                "peaks and the semantic maps (stages cam, semantic), or lower transfer.min_area"
            )
        self.tags = np.zeros((len(self.chosen), len(self.categories)), bool)
        for k, (i, _) in enumerate(self.chosen):
            self.tags[k, [self.column[c] for c in index.tags(i)]] = True

    def __len__(self):
        return len(self.chosen)

    def counted(self):
        """Numbers for the manifest."""
        found = {"instances": int(sum(len(rows) for _, rows in self.chosen))}
        if self.marks is not None:
            names = [self.index.image_id[i] for i, _ in self.chosen]
            found["photos_with_points"] = sum(name in self.marks for name in names)
        return found

    def sample(self, position, *, mean, rng):
        """The training sample of one of the photos; see data.training_sample."""
        i, rows = self.chosen[position]
        name = self.index.image_id[i]
        masks = rle.decode(self.transfer.rles(rows), self.index.size[i], within=LARGEST)
        filled = masks.any((1, 2))
        column = np.array([self.column[int(c)] for c in self.transfer.category[rows]], np.int64)
        label = self.number[self.semantic[name]]
        return training_sample(
            self.index.photo(i), label, masks=masks[filled], column=column[filled], config=self.config, mean=mean,
            rng=rng, points=None if self.marks is None else self.marks.get(name, NO_MARKS),
        )  # fmt: skip
