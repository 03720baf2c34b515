"""Exact k nearest neighbours among proposals whose images share a tag, tile by tile, every pair of tiles once.

A tile of similarities comes from one product in a short number format (bfloat16 on a CPU, float16 on a GPU, where
that is faster than float32). What it can be off by is bounded from the rows at hand (`Panel`, `slack`), so a pair is
dropped only when it is proven to be none of the k nearest of either end; the few that stay are compared in float64
(`exact.Best`). Centring the rows of a tag at their mean makes the short format's error small where features are alike.
The memory is two panels of features, one tile, and the pairs that stay.
Source: LIID, Sec. 5.2 and 5.3 (three largest edge weights); the authors' code compares only proposals whose images
share a tag.
"""

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from stages.graph.exact import Best, chunks, rows_of
from stages.graph.tiles import tile_pairs

PANEL = 1 << 27  # bytes of a panel of features on a CPU; a GPU takes 16 times as much
KEPT = 1 << 22  # pairs that wait for float64
DENSE = 1 / 32  # of a tile's pairs: where more stay, the whole tile in float64 is no slower


def nearest(features, groups, *, k, signed=False, tile=2048, device="cpu", progress=None, panel=None, kind=None):
    """(N, k) int64: for every node its k nearest among the nodes of its groups, nearest first; -1 where there are less.

    features : (N, D) float16 (or memory map), rows read in panels, lengths are divided out, a row of zeros has
    cosine 0. groups : list of (n_g,) sorted int arrays, the nodes of one tag each; a node may stand in several and a
    neighbour found in several counts once. Nearest: largest |cosine| (signed: cosine), of equals the smallest number.
    tile : nodes per side of a tile, four times as many on a GPU. progress : wraps the list of tile pairs. panel :
    bytes, kind : torch dtype of the first comparison, by default the device's; neither changes the answer.
    """
    cuda = torch.device(device).type == "cuda"
    panel = panel or PANEL * (16 if cuda else 1)
    tile = tile * (4 if cuda else 1)
    kind = kind or fast_kind(features.shape[1], device)
    best = Best(features, k=k, signed=signed)
    rows = max(panel // (features.shape[1] * kind.itemsize), tile)
    plan = list(tile_pairs(groups, len(features), tile=tile, panel=rows))
    reduced = torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False  # `slack` counts on sums in float32
    try:
        search, memory = None, {}
        for nodes, block, a, b in progress(plan) if progress else plan:
            if search is None or search.nodes is not nodes:
                if search:
                    search.settle()
                search = Search(best, nodes, kind=kind, device=device, memory=memory)
            search.compare(block, a, b)
        if search:
            search.settle()
    finally:
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = reduced
    return best.neighbours()


def fast_kind(width, device):
    """The number format for the first comparison: float16 on a GPU; on a CPU bfloat16 where it is faster here."""
    if torch.device(device).type == "cuda":
        return torch.float16
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        a = torch.ones((512, width), dtype=kind)
        for _ in range(3):  # the first call also prepares the product
            start = time.perf_counter()
            a @ a.T
            seconds[kind] = min(seconds.get(kind, np.inf), time.perf_counter() - start)
    return min(seconds, key=seconds.get)


@dataclass
class Panel:
    """Some nodes' rows at unit length minus `centre`, in the short format.

    values : (n, D) on the device. shift : (n,) float32 on the device with cosine(i, j) = values i . values j + shift i
    + shift j but for rounding. error, length : (n,) float64, the length of what rounding took, and of `values`.
    """

    values: torch.Tensor
    shift: torch.Tensor
    error: np.ndarray
    length: np.ndarray


def panel_of(features, square, nodes, *, centre, kind, device):
    """The Panel of `nodes`; square : (N,) squared lengths. centre : (D,) float64."""
    values = torch.empty((len(nodes), features.shape[1]), dtype=kind, device=device)
    shift, error, length = np.empty(len(nodes), np.float32), np.empty(len(nodes)), np.empty(len(nodes))
    for part in chunks(*values.shape):
        rows = unit_rows(features, square, nodes[part])
        shift[part] = rows @ centre - centre @ centre / 2
        rows -= centre
        short = torch.from_numpy(rows).to(kind)
        back = short.double().numpy()
        rows -= back
        error[part] = np.sqrt(np.einsum("nd,nd->n", rows, rows))
        length[part] = np.sqrt(np.einsum("nd,nd->n", back, back))
        values[part] = short.to(device)
    return Panel(values, torch.from_numpy(shift).to(device), error, length)


def unit_rows(features, square, nodes):
    """(n, D) float64: rows at unit length, rows of zeros unchanged."""
    rows = rows_of(features, nodes)
    rows /= np.sqrt(np.where(square[nodes] > 0, square[nodes], 1.0))[:, None]
    return rows


def slack(a, b, *, kind):
    """How far a tile's similarity can be from the true one: (error, length) of its rows, of its columns.

    By Cauchy and Schwarz what rounding took from the rows changes a product by at most error_a length_b + (length_a +
    error_a) error_b. A sum of D products in float32, in any order, is off by D 2^-24 of length_a length_b, with twice
    the room for hardware that truncates; its result is rounded to the format. The last term: the shifts and the
    grid of 2^-30, on which equal similarities are ordered by number.
    """
    (error_a, length_a, width), (error_b, length_b, _) = a, b
    rounding = 2 * width * 2.0**-24 + 0.51 * torch.finfo(kind).eps
    return error_a * length_b + (length_a + error_a) * error_b + rounding * length_a * length_b + 2e-6


def true_places(mask):
    """(m,) int64, rising: where the flattened mask is true. On a CPU numpy finds them seven times as fast as torch."""
    flat = mask.reshape(-1)
    return flat.nonzero()[:, 0] if flat.is_cuda else torch.from_numpy(np.flatnonzero(flat.numpy()))


@dataclass
class Search:
    """The comparisons among the nodes of one tag.

    low : (n, k), proven lower bounds of k similarities of each node; least : (n,), its k-th similarity is no smaller.
    pairs, high : what may matter, and the upper bounds of their similarities. memory : tensors to use again.
    """

    best: Best
    nodes: np.ndarray
    kind: torch.dtype
    device: str
    memory: dict
    panels: dict = field(default_factory=dict)
    pairs: list = field(default_factory=list)
    high: list = field(default_factory=list)

    def __post_init__(self):
        best, step = self.best, max(len(self.nodes) // 2048, 1)
        self.low = np.full((len(self.nodes), best.keys.shape[1]), -np.inf)
        self.least = best.least(self.nodes)  # what other tags have found counts here too
        self.centre = unit_rows(best.features, best.square, self.nodes[::step]).mean(0)

    def compare(self, block, a, b):
        """Compare the nodes of slice `a` with those of `b`. block : the slices of the panels that these lie in."""
        tile_a, tile_b = (self.part(panel, tile) for panel, tile in zip(block, (a, b)))
        values = self.product(tile_a.values, tile_b.values)
        values += tile_a.shift[:, None]
        values += tile_b.shift
        if not self.best.signed:
            values.abs_()
        if a == b:
            values.fill_diagonal_(-torch.inf)
        off = slack(*((t.error.max(), t.length.max(), t.values.shape[1]) for t in (tile_a, tile_b)), kind=self.kind)
        if a == b:  # the first that these nodes are compared with: nothing is known yet to hold them against
            first = values.topk(min(self.low.shape[1], len(values)), dim=1).values.double().cpu().numpy() - off
            self.low[a, : first.shape[1]] = np.maximum(first, self.low[a, : first.shape[1]])
            self.least[a] = np.maximum(self.least[a], self.low[a, -1])
        found = [self.reaching(values, side, off, axis=axis) for axis, side in enumerate((a, b)[: 1 + (a != b)])]
        if sum(len(hit[0]) for hit in found) > DENSE * values.numel():
            self.best.offer_tile(self.nodes[a], self.nodes[b])
            for side in (a, b):
                self.least[side] = np.maximum(self.least[side], self.best.least(self.nodes[side]))
            return
        for (row, column, value), mine, other in zip(found, (a, b), (b, a)):
            self.pairs.append(np.stack([row + mine.start, column + other.start], 1).astype(np.int32))
            self.high.append((value + off).astype(np.float32))
            if a != b:
                self.raise_low(row + mine.start, value - off)
        if sum(map(len, self.pairs)) > KEPT:
            self.settle()

    def product(self, a, b):
        """(n, m) float32: a b', in memory that the last product had: fresh pages cost more than the arithmetic."""
        shape, number = (len(a), len(b)), len(a) * len(b)
        for name, kind in (("short", self.kind), ("values", torch.float32)):
            if number > len(self.memory.get(name, ())):
                self.memory[name] = torch.empty(number, dtype=kind, device=self.device)
        short, values = (self.memory[name][:number].view(shape) for name in ("short", "values"))
        return values.copy_(torch.mm(a, b.T, out=short))

    def part(self, panel, tile):
        """The tile's share of a panel, which is loaded where it is not at hand; at most two are."""
        key = panel.start
        if key not in self.panels:
            while len(self.panels) > 1:
                self.panels.pop(next(iter(self.panels)))
            best = self.best
            self.panels[key] = panel_of(
                best.features, best.square, self.nodes[panel], centre=self.centre, kind=self.kind, device=self.device
            )
        self.panels[key] = whole = self.panels.pop(key)  # the last used stands last
        own = slice(tile.start - panel.start, tile.stop - panel.start)
        return Panel(whole.values[own], whole.shift[own], whole.error[own], whole.length[own])

    def reaching(self, values, side, off, *, axis):
        """(own, other, value), numpy: places along `axis`, nodes `side`, and across it of what may be among the k
        nearest of the former."""
        least = torch.from_numpy((self.least[side] - off).astype(np.float32)).to(values.device)
        least = torch.nextafter(least, torch.full_like(least, -torch.inf))  # float32 must not round it up
        own = (values.amax(1 - axis) >= least).nonzero()[:, 0]
        chosen, least = values.index_select(axis, own), least[own]
        bar = least[:, None] if axis == 0 else least
        place = true_places((chosen >= bar) & (chosen > -torch.inf))  # -inf: itself
        value = chosen.reshape(-1)[place].double()
        first, second = place // chosen.shape[1], place % chosen.shape[1]
        found = (own[first], second) if axis == 0 else (own[second], first)
        return *(one.cpu().numpy() for one in found), value.cpu().numpy()

    def raise_low(self, row, value):
        """Put lower bounds `value` (M,) of similarities of the nodes `row` (M,) among the k largest."""
        order = np.lexsort((-value, row))
        row, value = row[order], value[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        own, place = np.unique(row, return_inverse=True)
        more = np.full((len(own), self.low.shape[1]), -np.inf)
        kept = rank < self.low.shape[1]
        more[place[kept], rank[kept]] = value[kept]
        self.low[own] = -np.sort(-np.concatenate([self.low[own], more], 1), axis=1)[:, : self.low.shape[1]]
        self.least[own] = np.maximum(self.least[own], self.low[own, -1])

    def settle(self):
        """Compare in float64 the pairs that still may matter to an end, each once."""
        if not self.pairs:
            return
        pairs, high = np.concatenate(self.pairs), np.concatenate(self.high)
        pairs = np.sort(pairs[high >= self.least[pairs[:, 0]].astype(np.float32) - 1e-6], axis=1).astype(np.int64)
        n = len(self.nodes)
        key = np.unique(pairs[:, 0] * n + pairs[:, 1])
        self.pairs, self.high = [], []
        self.best.offer(self.nodes[np.stack([key // n, key % n], 1)])
        self.least = np.maximum(self.least, self.best.least(self.nodes))
