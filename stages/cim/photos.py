"""The photos that CIM learns from: their proposals as boxes, grids and sets, and their first labels. Made once."""

from dataclasses import dataclass

import numpy as np

from stages.cim.agpl import FirstLabels, first_labels
from stages.cim.mining import BACKGROUND, LEFT_OUT, Overlaps, big_ones
from stages.cim.sets import Sets, grids, sets_of
from tag2mask.errors import UserError
from tag2mask.learn.crops import corners, mirrored, resize
from tag2mask.learn.shelf import Shelf

KEPT = 2**30  # bytes of overlaps that stay on the training device; what does not fit is made again


@dataclass
class Sample:
    """A training photo with n proposals. shares : (n, 4) float32 corners x0, y0, x1, y1 in [0, 1]. grid : (n, bins,
    bins) float16, see `sets.grids`. tags : (T,) int64, class columns from 1 on, rising."""

    shares: np.ndarray
    grid: np.ndarray
    sets: Sets
    first: FirstLabels
    tags: np.ndarray


class Photos:
    """All training photos that have proposals, in the order of their stores.

    shards : Instances of proposals, read one after another. cues : {image id: (columns (P,), yx (P, 2))}, strongest
    first, see `cues_of`. number : list of int, their places in the index. samples : Shelf of their Sample. Overlaps are
    made at first use and stay on the device as far as KEPT goes.
    """

    def __init__(self, index, shards, cues, *, config, job):
        self.index, self.config, self.device = index, config, job.device
        self.labels = [0, *sorted(index.categories)]
        column = {category: k for k, category in enumerate(self.labels)}
        place = {name: i for i, name in enumerate(index.image_id)}
        self.number, self.samples, self.kept, self.room = [], Shelf(), {}, KEPT
        found = dict.fromkeys(("without_proposals", "without_cues", "cues", "foreground", "background", "left_out"), 0)
        for proposals in shards:
            for k, name in job.progress(
                enumerate(proposals.image_id), total=proposals.images, what="CIM's first labels"
            ):
                if name not in place:
                    raise UserError(f"The proposals hold the photo {name}, which the index lacks: build them again.")
                if not index.train[place[name]]:
                    continue
                rows = chosen(proposals, k, config.most)
                if not len(rows):
                    found["without_proposals"] += 1
                    continue
                if name not in cues and config.agpl and config.cues == "peaks":
                    raise UserError(f"There are no peaks of the photo {name}: build the maps again (stage cam).")
                columns, yx = cues.get(name, (np.zeros(0, np.int64), np.zeros((0, 2), np.int64)))
                tags = np.array(sorted(column[c] for c in index.tags(place[name])), np.int64)
                mine = np.isin(columns, tags)
                sample = prepared(proposals, k, rows, columns[mine], yx[mine], config=config)
                self.number.append(place[name])
                self.samples.append(Sample(*sample, tags))
                label = sample[-1].label
                found["cues"] += int(mine.sum())
                found["without_cues"] += len(tags) > 0 and not mine.any()
                found["foreground"] += int((label > 0).sum())
                found["background"] += int((label == 0).sum())
                found["left_out"] += int((label < 0).sum())
        if not self.number:
            raise UserError("cim: no training photo has a proposal; look at the stage proposals.")
        job.count(**found)
        if config.agpl:
            self.look_at_cues(found, job)

    def __len__(self):
        return len(self.samples)

    def look_at_cues(self, found, job):
        """UserError where no photo has a cue, a warning where many tagged ones have none."""
        what, way = ("peak", "lower cam.peak_floor or cam.floor") if self.config.cues == "peaks" else (
            "point", "name the points of this dataset (dataset.points)"
        )  # fmt: skip
        if not found["cues"]:
            raise UserError(f"cim: no training photo has a {what}: {way}, or set cim.agpl to false to learn from tags.")
        if found["without_cues"] > len(self) / 10:
            taught = "background" if self.config.without_cues == "background" else "nothing"
            job.warn(
                f"{found['without_cues']} of {len(self)} photos have tags and no {what}: there all proposals are "
                f"taught as {taught} by the first labels; {way}, or see cim.without_cues."
            )

    def overlaps(self, position):
        """Overlaps of the photo's proposals, on the device."""
        if position in self.kept:
            return self.kept[position]
        found = overlaps_of(self.samples[position].sets, config=self.config, device=self.device)
        self.room -= (size := found.shared.nbytes)
        if self.room >= 0:
            self.kept[position] = found
        else:
            self.room += size
        return found

    def shown(self, position, side, flip):
        """(photo (h, w, 3) uint8, shares, grid float32) as they enter the network, mirrored if `flip`."""
        one, photo = self.samples[position], self.index.photo(self.number[position])
        return shown(photo, one.shares, one.grid, side=side, flip=flip, config=self.config)


def chosen(proposals, k, most):
    """(n,) int64: the rows of image k that take part, best-ranked first, as the store has them."""
    rows = proposals.rows(k)
    return np.arange(rows.start, rows.stop)[:most]


def prepared(proposals, k, rows, columns, yx, *, config):
    """(shares, grid, Sets, FirstLabels) of the proposals `rows` of image k, by the cues at `yx` (P, 2), pixels."""
    size = proposals.size[k]
    runs, first = runs_of(proposals, rows)
    sets, containing = sets_of(runs, first, size, yx=np.clip(yx, 0, np.asarray(size) - 1))
    labels = first_labels(
        sets, containing, columns, support=config.support, support_iou=config.support_iou,
        without=BACKGROUND if config.without_cues == "background" else LEFT_OUT,
    )  # fmt: skip
    return *boxed(proposals, k, rows, bins=config.roi), sets, labels


def runs_of(proposals, rows):
    """(run lengths, (n + 1,) where each mask's begin) of the successive `rows` of an Instances table."""
    first = proposals.rle_first[rows[0] : rows[-1] + 2]
    return proposals.rle[first[0] : first[-1]], first - first[0]


def boxed(proposals, k, rows, *, bins):
    """(shares (n, 4) float32, grid (n, bins, bins) float16) of the proposals `rows` of image k."""
    height, width = map(int, proposals.size[k])
    boxes = proposals.bbox[rows]
    grid = grids(*runs_of(proposals, rows), (height, width), boxes, bins=bins).astype(np.float16)
    return corners(boxes, (height, width)), grid


def overlaps_of(sets, *, config, device):
    """Overlaps of Sets, on `device`."""
    shared = sets.shared(device=device)
    area = shared.diagonal().clone()
    return Overlaps(shared, area, big_ones(shared, area, contain=config.contain, share=config.big))


def cues_of(tables, categories, *, floor):
    """{image id: (class columns (P,) int64 from 1 on, yx (P, 2) int64)} of Tables peaks/1, strongest first.

    Equal ones stay in order. categories : category ids in the order of the columns, the first is column 1.
    """
    column = {category: k + 1 for k, category in enumerate(categories)}
    found = {}
    for table in tables:
        for k, name in enumerate(table["image_id"]):
            rows = np.arange(*table["first"][k : k + 2])
            rows = rows[(table["score"][rows] >= floor) & np.isin(table["category"][rows], categories)]
            rows = rows[np.argsort(-table["score"][rows], kind="stable")]
            columns = np.array([column[int(c)] for c in table["category"][rows]], np.int64)
            found[str(name)] = columns, table["yx"][rows].astype(np.int64)
    return found


def entering(size, *, side, longest, stride):
    """(h, w) at which a photo of `size` enters: its short side at `side`, but no side above `longest`, px.

    Both are rounded to multiples of `stride`, so that the feature map's cells tile the photo and boxes lie in place.
    """
    factor = min(side / min(size), longest / max(size))
    return tuple(max(1, round(edge * factor / stride)) * stride for edge in size)


def shown(photo, shares, grid, *, side, flip, config):
    """(photo (h, w, 3) uint8, shares, grid float32) at a short side, mirrored left to right if `flip`."""
    size = entering(photo.shape[:2], side=side, longest=config.longest, stride=config.output_stride)
    photo, grid = resize(photo, size), grid.astype(np.float32)
    if not flip:
        return photo, shares, grid
    return np.ascontiguousarray(photo[:, ::-1]), mirrored(shares), grid[:, :, ::-1].copy()
