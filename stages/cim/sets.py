"""The proposals of one photo as sets of atoms: how much of each other any two share, as a matrix product.

An atom is all pixels that lie in the same proposals. Proposals that are unions of superpixels have no more atoms than
superpixels; any other masks work as well. No mask is painted: atoms come from run lengths.
"""

from dataclasses import dataclass

import numpy as np
import torch

CHUNK = 8192  # atoms of one product, which bounds its memory
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
            inside = torch.from_numpy(self.members(start, start + CHUNK)).to(device).to(kind)
            sizes = torch.from_numpy(self.sizes[start : start + CHUNK]).to(device).to(kind)
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


def grids(masks, boxes, *, bins):
    """(n, bins, bins) float32 in [0, 1]: share of the mask in each cell of a grid on its box (RoICrop of Sec. 3.3).

    masks : (n, H, W) bool or uint8. boxes : (n, 4) float x, y, width, height in pixels. Exact areas: the sum over
    pixels, each counted as much as it lies in the cell, is a product of one factor a side.
    """
    masks = torch.as_tensor(masks).float()
    boxes = torch.as_tensor(np.asarray(boxes, np.float32)).reshape(-1, 4)
    down = cell_weights(boxes[:, 1], boxes[:, 3], bins=bins, pixels=masks.shape[1])
    across = cell_weights(boxes[:, 0], boxes[:, 2], bins=bins, pixels=masks.shape[2])
    return (down @ masks @ across.transpose(1, 2)).clamp(0, 1)


def cell_weights(start, length, *, bins, pixels):
    """(n, bins, pixels): what part of a cell each pixel is, for cells that divide start..start + length evenly."""
    edges = start[:, None] + length[:, None] * torch.arange(bins + 1) / bins  # (n, bins + 1)
    low, high = edges[:, :-1, None], edges[:, 1:, None]
    pixel = torch.arange(pixels)
    inside = (torch.minimum(high, pixel + 1.0) - torch.maximum(low, pixel.float())).clamp(min=0)
    return inside / (high - low).clamp(min=1e-6)
