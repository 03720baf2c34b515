"""From a photo, its semantic map and its instances to a training sample: scaling, flip, crop, jitter. No I/O."""

from typing import NamedTuple

import numpy as np
import torch

from stages.bestie.labels import Labels, Points
from tag2mask.data.labelmaps import VOID
from tag2mask.learn.crops import frame, framed_area, framed_map, framed_photo, framed_places
from tag2mask.learn.device import moved


class Marks(NamedTuple):
    """n points of a photo. column : (n,) int64 place of the class. yx : (n, 2) float64 pixels. score : (n,) float32."""

    column: np.ndarray
    yx: np.ndarray
    score: np.ndarray


NO_MARKS = Marks(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0, np.float32))


def marks_of(points, column):
    """image id -> Marks, of the photos that have points. points : Table peaks/1. column : category id -> place."""
    found = {}
    for k, name in enumerate(points["image_id"]):
        rows = np.arange(points["first"][k], points["first"][k + 1])
        rows = rows[[int(c) in column for c in points["category"][rows]]] if len(rows) else rows
        if len(rows):
            columns = np.array([column[int(c)] for c in points["category"][rows]], np.int64)
            found[str(name)] = Marks(columns, points["yx"][rows].astype(np.float64), points["score"][rows])
    return found


class Sample(NamedTuple):
    """crop : (S, S, 3) uint8 RGB. target : (S, S) uint8, 0 background, k + 1 class k, 255 not counted. number : (S, S)
    int32, 0 or 1 + the row of the instance; none lies outside the crop. photo : (S, S) bool, inside the photo. column :
    (n,) int64. center : (n, 2) float64 y, x, centroid of its pixels in the crop. points : Marks in pixels of the crop,
    perhaps outside it, or None."""

    crop: np.ndarray
    target: np.ndarray
    number: np.ndarray
    photo: np.ndarray
    column: np.ndarray
    center: np.ndarray
    points: Marks | None


def numbered(masks):
    """(H, W) int32: 1 + the row of each pixel's instance, 0 where none lies, of `masks` (n, H, W) bool.

    Where masks overlap the smaller one wins, of equal ones the earlier row.
    """
    number = np.zeros(masks.shape[1:], np.int32)
    area = masks.sum((1, 2))
    for row in sorted(range(len(masks)), key=lambda k: (-area[k], -k)):
        number[masks[row]] = row + 1
    return number


def centroids(number):
    """(n, 2) float64: mean y and x of the pixels of each number 1 to n in `number` (H, W). Source: BESTIE, Sec. 3.3."""
    y, x = number.nonzero()
    of = number[y, x] - 1
    area = np.bincount(of)
    return np.stack([np.bincount(of, y), np.bincount(of, x)], 1) / area[:, None]


def training_sample(photo, label, *, masks, column, config, mean, rng, points=None):
    """One photo with its labels, scaled, perhaps flipped, cropped and recoloured at random.

    photo : (H, W, 3) uint8 RGB. label : (H, W) uint8 as Sample.target. masks : (n, H, W) bool of the transferred
    instances. column : (n,) int. mean : 3 floats in 0..1, the colour outside the photo, where the target is 255 and
    no instance lies. points : Marks in photo pixels, or None. rng : np.random.Generator. Returns Sample; nothing is
    modified. Draws the same numbers whatever the labels are. Centres are those of what the crop shows, as those of
    refined labels are; an instance that it does not show is left out (BESTIE's code).
    """
    seen = frame(label.shape, rng, scales=config.scales, longest=config.side, flip=config.flip, side=config.size)
    crop = framed_photo(photo, seen, mean=mean, jitter=config.jitter, rng=rng)
    number = framed_map(numbered(masks), seen, outside=0)
    shown, number = np.unique(np.append(number, 0), return_inverse=True)
    number = number[:-1].reshape(crop.shape[:2]).astype(np.int32)
    return Sample(
        crop=crop, target=framed_map(label, seen, outside=VOID), number=number,
        photo=framed_area(seen), column=np.asarray(column, np.int64)[shown[1:] - 1], center=centroids(number),
        points=None if points is None else points._replace(yx=framed_places(points.yx, seen)),
    )  # fmt: skip


class Batch(NamedTuple):
    """crops : (B, S, S, 3) uint8. target : (B, S, S) int64. photo : (B, S, S) bool. labels : Labels. points : Points,
    or None where the dataset has none."""

    crops: np.ndarray
    target: torch.Tensor
    photo: torch.Tensor
    labels: Labels
    points: Points | None

    def to(self, device):
        """The batch with its labels on `device`; the crops stay."""
        return Batch(self.crops, *(moved_to(one, device) for one in self[1:]))


def moved_to(value, device):
    """A tensor, a tuple of tensors, or None, on `device`."""
    if isinstance(value, tuple):
        return type(value)(*(moved_to(one, device) for one in value))
    return value if value is None else moved(value, device)


def collate(samples):
    """The Batch of `samples`: instances in the order of the photos, numbered from 1 through the whole batch."""
    counts = [len(one.column) for one in samples]
    before = np.concatenate([[0], np.cumsum(counts)[:-1]])
    number = np.stack([np.where(one.number, one.number + n, 0) for one, n in zip(samples, before)])
    labels = Labels(
        number=torch.from_numpy(number.astype(np.int64)),
        photo=torch.from_numpy(np.repeat(np.arange(len(samples)), counts)),
        column=torch.from_numpy(np.concatenate([one.column for one in samples])),
        center=torch.from_numpy(np.concatenate([one.center for one in samples]).astype(np.float32)),
        weight=torch.ones(sum(counts)),
    )
    marks = [one.points for one in samples]
    return Batch(
        np.stack([one.crop for one in samples]),
        torch.from_numpy(np.stack([one.target for one in samples]).astype(np.int64)),
        torch.from_numpy(np.stack([one.photo for one in samples])),
        labels,
        joined(marks) if any(one is not None for one in marks) else None,
    )


def joined(marks):
    """Points of a batch from one Marks (or None) a photo."""
    marks = [NO_MARKS if one is None else one for one in marks]
    yx = np.concatenate([one.yx for one in marks]).astype(np.float32)
    return Points(
        photo=torch.from_numpy(np.repeat(np.arange(len(marks)), [len(one.column) for one in marks])),
        column=torch.from_numpy(np.concatenate([one.column for one in marks]).astype(np.int64)),
        y=torch.from_numpy(yx[:, 0].copy()),
        x=torch.from_numpy(yx[:, 1].copy()),
        score=torch.from_numpy(np.concatenate([one.score for one in marks]).astype(np.float32)),
    )
