"""What the branches say of training photos' proposals while the network learns: seeds, mined ones, scores (Fig. 4)."""

from functools import partial

import numpy as np
import torch

from stages.cim.targets import mined_by
from tag2mask.data.tables import Table
from tag2mask.learn import snapshots

SCHEMA = "mined/1"
COLUMNS = {
    "iteration": np.int32, "image": np.int32, "proposal": np.int32, "category": np.int16, "branch": np.int8,
    "score": np.float32, "integrity": np.float32, "seed": np.uint8, "mined": np.uint8,
}  # fmt: skip


class Snapshots:
    """Tables mined/1 of some training photos at config.snapshots equal intervals of the training (CIM, Fig. 4)."""

    def __init__(self, photos, model, *, config, job):
        self.photos, self.model, self.config = photos, model, config
        load = partial(Table.load, schema=SCHEMA)
        self.over_time = snapshots.Snapshots(
            config.iterations, config.snapshots, model=model, take=self.taken, load=load, job=job
        )
        masked = set(photos.index.where("with_masks").tolist())
        wanted = [n for n, number in enumerate(photos.number) if number in masked] or range(len(photos))
        self.chosen = list(wanted)[: config.snapshot_photos] if config.snapshots else []

    def after(self, t):
        """Called after iteration t: takes a snapshot if one is due."""
        self.over_time.after(t)

    @torch.no_grad()
    def taken(self, done):
        """A Table of the chosen photos at the middle one of the sides."""
        side, parts = sorted(self.config.sides)[len(self.config.sides) // 2], []
        for image, position in enumerate(self.chosen):
            (scores,) = self.model(*zip(self.photos.shown(position, side, False)))
            parts.append(self.rows(scores, position) | {"image": image, "iteration": done})
        return Table(SCHEMA, {"image_id": self.names(), **joined(parts)})

    def rows(self, scores, position):
        """Columns of a photo's rows: by branch, tagged class, proposal."""
        tags = torch.from_numpy(self.photos.samples[position].tags).to(scores.t.device)
        overlaps = self.photos.overlaps(position)
        branches, number = scores.t.shape[:2]
        seed, mined = (np.zeros((branches, len(tags), number), np.uint8) for _ in range(2))
        for branch in range(branches):
            found = mined_by(scores, branch, overlaps, tags, config=self.config)
            seed[branch] = found.seeds.T.cpu().numpy()
            mined[branch][torch.searchsorted(tags, found.column).cpu().numpy(), found.index.cpu().numpy()] = 1
        ids = np.array(self.photos.labels)[tags.cpu().numpy()]
        branch, category, proposal = np.broadcast_arrays(
            np.arange(branches)[:, None, None], ids[None, :, None], np.arange(number)[None, None]
        )
        score, integrity = (
            one[:, :, tags].transpose(1, 2).float().cpu().numpy() for one in (scores.log_y.exp(), scores.t)
        )
        found = {"branch": branch, "category": category, "proposal": proposal, "score": score}
        found |= {"integrity": integrity, "seed": seed, "mined": mined}
        return {name: values.ravel() for name, values in found.items()}

    def names(self):
        index = self.photos.index
        return np.array([index.image_id[self.photos.number[n]] for n in self.chosen], dtype=str)

    def table(self):
        """All snapshots, in order of time."""
        parts = [table.values for table in self.over_time.all()]
        return Table(SCHEMA, {"image_id": self.names(), **joined(parts)})


def joined(parts):
    """The columns of several parts, one after another; a number stands for a whole column."""
    sizes = [len(part["proposal"]) for part in parts]
    return {
        name: np.concatenate(
            [np.zeros(0, kind), *(np.broadcast_to(p[name], n).astype(kind) for p, n in zip(parts, sizes))]
        )
        for name, kind in COLUMNS.items()
    }
