"""Ragged arrays: parts of different lengths, one after another in a flat array, with their starts.

A flat array may lie on the disk (`tag2mask.store.store.Stored`); then what is taken from it or joined to it is a
`Parts`, which reads when it is asked for. Both are read from the beginning to the end, an `Unpacked` in any order.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tag2mask.store.scratch import Scratch

BLOCK = 1 << 20  # elements that are gathered at a time: their positions take five times the room of run lengths


def starts(counts: ArrayLike) -> np.ndarray:
    """(n + 1,) int64 start offsets of ragged parts of `counts` elements."""
    return np.concatenate(([0], np.cumsum(np.asarray(counts, np.int64)))).astype(np.int64)


def take_ragged(flat: Any, first: np.ndarray, parts: ArrayLike) -> tuple[Any, np.ndarray]:
    """(values, first) of the ragged `parts` of `flat`, in the order asked for. Vectorised."""
    parts = np.asarray(parts, np.int64)
    begin = first[:-1][parts]
    new = starts(first[1:][parts] - begin)
    if not isinstance(flat, np.ndarray):
        return parts_of(flat).taken(begin, new), new
    values = np.empty((int(new[-1]), *flat.shape[1:]), flat.dtype)
    cuts = np.unique(np.searchsorted(new, np.arange(0, new[-1] + BLOCK, BLOCK)).clip(max=len(parts)))
    for a, b in zip(cuts, cuts[1:]):
        position = np.arange(new[a], new[b]) + np.repeat(begin[a:b] - new[a:b], np.diff(new[a : b + 1]))
        values[new[a] : new[b]] = flat[position]
    return values, new


def joined(flats: Sequence[Any]) -> Any:
    """The flat arrays one after another."""
    if all(isinstance(flat, np.ndarray) for flat in flats):
        return np.concatenate(flats)
    own = [parts_of(flat) for flat in flats]
    number = np.cumsum([0, *(len(one.sources) for one in own)])
    return Parts(
        [source for one in own for source in one.sources],
        source=np.concatenate([one.source + k for one, k in zip(own, number)]),
        begin=np.concatenate([one.begin for one in own]),
        first=starts(np.concatenate([np.diff(one.first) for one in own])),
    )


def parts_of(flat: Any) -> "Parts":
    """Any flat array as the one part of itself."""
    if isinstance(flat, Parts):
        return flat
    return Parts([flat], source=np.zeros(1, np.int32), begin=np.zeros(1, np.int64), first=starts([len(flat)]))


class Parts:
    """A flat array of S parts of others; its slices are read when they are asked for, copies of what they hold.

    sources : list of flat arrays. source : (S,) int, begin : (S,) int64, where part s begins. first : (S + 1,) int64,
    where it stands here.
    """

    def __init__(self, sources: list[Any], *, source: np.ndarray, begin: np.ndarray, first: np.ndarray) -> None:
        length = np.diff(first)
        some = np.flatnonzero(length)
        source, begin, length = source[some], begin[some], length[some]
        # what goes on where the part before it ends is one part with it
        new = np.ones(len(some), bool)
        new[1:] = (source[1:] != source[:-1]) | (begin[1:] != begin[:-1] + length[:-1])
        self.sources, self.source, self.begin = sources, source[new], begin[new]
        self.first = np.append(first[:-1][some][new], first[-1])
        self.shape, self.dtype = (int(first[-1]),), sources[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        """The values `part`, a slice of step 1."""
        start, stop, _ = part.indices(len(self))
        values = np.empty(max(0, stop - start), self.dtype)  # not a list of slices, which would hold all they are from
        for s in range(int(np.searchsorted(self.first, start, side="right")) - 1, len(self.source)):
            low, high = max(start, int(self.first[s])), min(stop, int(self.first[s + 1]))
            if low >= high:
                break
            shift = int(self.begin[s] - self.first[s])
            values[low - start : high - start] = self.sources[self.source[s]][low + shift : high + shift]
        return values

    def taken(self, begin: np.ndarray, first: np.ndarray) -> "Parts":
        """The parts that begin at `begin` (n,) here and stand at `first` (n + 1,) there; each lies in one part."""
        own = np.searchsorted(self.first, begin, side="right").clip(1, max(1, len(self.source))) - 1
        if not len(self.source):
            return self
        return Parts(
            self.sources, source=self.source[own], begin=self.begin[own] + begin - self.first[own], first=first
        )


class Unpacked:
    """A copy of a flat array in a file without a name: a slice costs its own bytes, whichever was asked for before.

    A store's chunk is unpacked whole for the few run lengths of a photo, and of a large dataset's chunks a training
    wants another one nearly every time.
    """

    def __init__(self, flat: Any) -> None:
        self.shape, self.dtype = flat.shape, np.dtype(flat.dtype)
        self.scratch = Scratch()
        for k in range(0, len(flat), BLOCK):
            self.scratch.append(np.ascontiguousarray(flat[k : k + BLOCK]).data)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        """The values `part`, a slice of step 1; to be read only."""
        start, stop, _ = part.indices(len(self))
        size = self.dtype.itemsize
        return np.frombuffer(self.scratch.read(start * size, stop * size), self.dtype)
