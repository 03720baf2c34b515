"""The proposals of one photo as sets of atoms: how much of each other any two share, as a matrix product.

An atom is all pixels that lie in the same proposals. Proposals that are unions of superpixels have no more atoms than
superpixels; any other masks work as well. No mask is painted: atoms come from run lengths.
"""

from dataclasses import dataclass

import numpy as np
import torch

from tag2mask.learn.device import moved

CHUNK = 8192  # atoms of one product, which bounds its memory
MASKS = 256  # masks whose grids are made at once
EXACT = 2**24  # float32 counts pixels exactly up to here


@dataclass
class Sets:
    """N proposals over A atoms. bits : (N, ceil(A / 8)) uint8, packed membership. sizes : (A,) int64, pixels.

    area : (N,) int64, pixels.
    """

    bits: np.ndarray
    sizes: np.ndarray
    area: np.ndarray

    def __len__(self):
        return len(self.area)

    def members(self, start=0, stop=None):
        """(N, stop - start) uint8 0 or 1: which atoms start..stop (start a multiple of 8) each proposal has."""
        stop = len(self.sizes) if stop is None else min(stop, len(self.sizes))
        return np.unpackbits(self.bits[:, start // 8 : -(-stop // 8)], axis=1)[:, : stop - start]

    def shared(self, *, device="cpu"):
        """(N, N) float32, float64 for photos of 2^24 pixels and more: pixels that two proposals share, exact."""
        kind = torch.float32 if self.sizes.sum() < EXACT else torch.float64
        total = torch.zeros(len(self), len(self), dtype=kind, device=device)
        for start in range(0, len(self.sizes), CHUNK):
            inside = moved(torch.from_numpy(self.members(start, start + CHUNK)), device).to(kind)
            sizes = moved(torch.from_numpy(self.sizes[start : start + CHUNK]), device).to(kind)
            total += (inside * sizes) @ inside.T
        return total


def sets_of(runs, first, size, *, yx=()):
    """(Sets, (N, P) bool: which proposals contain the pixels `yx`) of run lengths.

    runs : (R,) COCO run lengths of N masks, column-major, background first; first : (N + 1,) where each begins.
    size : (H, W). yx : (P, 2) int pixels.
    """
    pixels, number = int(size[0]) * int(size[1]), len(first) - 1
    lengths = np.diff(first)
    owner = np.repeat(np.arange(number), lengths)
    turn = np.cumsum(np.asarray(runs, np.int64)) - owner * pixels  # where a run ends and the other kind begins
    place = np.arange(len(turn)) - np.repeat(np.asarray(first[:-1]) - first[0], lengths)
    # the last run of a mask ends at the photo's end, where nothing turns
    inside = turn < pixels
    owner, turn, enters = owner[inside], turn[inside], place[inside] % 2 == 0
    segment, at = np.unique(np.concatenate(([0], turn)), return_inverse=True)
    at = at[1:]
    # random numbers name the masks; a segment's sum of names tells in which masks it lies
    names = np.random.default_rng(0).integers(1, 2**63, size=number, dtype=np.uint64)
    step = np.zeros(len(segment), np.uint64)
    np.add.at(step, at[enters], names[owner[enters]])
    np.subtract.at(step, at[~enters], names[owner[~enters]])
    key = np.cumsum(step, dtype=np.uint64)
    length = np.diff(np.concatenate((segment, [pixels])))
    used = (key != 0) & (length > 0)
    _, once, atom = np.unique(key[used], return_index=True, return_inverse=True)
    sizes = np.bincount(atom, weights=length[used], minlength=len(once)).astype(np.int64)
    columns = np.flatnonzero(used)[once]  # a segment of each atom
    asked = np.searchsorted(segment, yx_places(yx, size), side="right") - 1
    inside = parities(owner, at, np.concatenate((columns, asked)), number)
    member, containing = inside[:, : len(columns)], inside[:, len(columns) :]
    area = (member.astype(np.float64) @ sizes).astype(np.int64)
    return Sets(np.packbits(member, axis=1), sizes, area), containing.astype(bool)


def yx_places(yx, size):
    """(P,) int64: places of the pixels (P, 2) in column-major order."""
    yx = np.asarray(yx, np.int64).reshape(-1, 2)
    return yx[:, 1] * int(size[0]) + yx[:, 0]


def parities(owner, at, segments, number):
    """(number, len(segments)) uint8: 1 where an odd number of the mask's turns lies at or before the segment.

    owner, at : (E,) mask and segment of each turn.
    """
    order = np.argsort(segments, kind="stable")
    column = np.searchsorted(segments[order], at, side="left")  # the first that is not before the turn
    turns = np.zeros((number, len(segments) + 1), np.uint8)
    np.add.at(turns, (owner, column), 1)  # parity survives the wrap at 256
    odd = np.cumsum(turns, axis=1, dtype=np.uint8)[:, :-1] & 1
    found = np.empty_like(odd)
    found[:, order] = odd
    return found


def grids(runs, first, size, boxes, *, bins):
    """(N, bins, bins) float32 in [0, 1]: share of the mask in each cell of a grid on its box (RoICrop of Sec. 3.3).

    runs, first, size : see `sets_of`. boxes : (N, 4) float x, y, width, height in pixels. Exact areas, without a mask
    being painted: a mask is a sum of pieces of columns, and a piece's share of a cell one factor down and one across.
    """
    boxes, found = np.asarray(boxes, np.float64).reshape(-1, 4), []
    for low in range(0, len(boxes), MASKS):
        part = slice(low, low + MASKS)
        ends = first[low : low + MASKS + 1]
        owner, x, top, bottom = columns_of(runs[ends[0] : ends[-1]], np.diff(ends), size)
        left, up, width, height = boxes[part][owner].T
        across = inside_cells(x, x + 1, left, width, bins)
        down = inside_cells(top, bottom, up, height, bins)
        begin = np.searchsorted(owner, np.arange(len(ends) - 1))
        found.append(np.add.reduceat(down[:, :, None] * across[:, None, :], begin))
    return np.concatenate(found).clip(0, 1).astype(np.float32) if found else np.zeros((0, bins, bins), np.float32)


def columns_of(runs, lengths, size):
    """(mask, x, first row, last row + 1), (S,) int64 each: the pieces of columns that make up masks, none empty.

    lengths : (n,) how many of the runs each mask has.
    """
    height, width = int(size[0]), int(size[1])
    owner = np.repeat(np.arange(len(lengths)), lengths)
    stop = np.cumsum(np.asarray(runs, np.int64))
    place = np.arange(len(stop)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    inside = (place % 2 == 1) & (np.asarray(runs) > 0)
    start, stop, owner = (stop - runs)[inside], stop[inside], owner[inside]
    column, last = start // height, (stop - 1) // height  # columns of all masks, one mask behind the other
    number = last - column + 1
    piece = np.repeat(column - (np.cumsum(number) - number), number) + np.arange(number.sum())
    start, stop, owner = (np.repeat(one, number) for one in (start, stop, owner))
    top, bottom = np.maximum(start - piece * height, 0), np.minimum(stop - piece * height, height)
    return owner, piece - owner * width, top, bottom


def inside_cells(low, high, start, length, bins):
    """(S, bins) float32: share of each cell, of `bins` that divide start..start + length, between low and high."""
    scale = bins / np.maximum(length, 1e-9)
    low, high = (low - start) * scale, (high - start) * scale
    cell = np.arange(bins)
    return np.clip(np.minimum(high[:, None] - cell, 1) - np.maximum(low[:, None] - cell, 0), 0, 1).astype(np.float32)
