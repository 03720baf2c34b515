"""From any choice of pairs to a good one with exactly the wanted count: add, remove, rename, exchange."""

import numpy as np
from scipy import sparse


def repaired(chosen, program, *, deadline):
    """(P,) bool with exactly program.keep pairs, at most one a node: the best single steps until none helps.

    chosen : (P,) bool, at most one pair a node. deadline() true stops early, but not before the count is met.
    """
    return _Search(chosen.copy(), program).run(deadline)


class _Search:
    """worth : (P,) what a pair adds to the chosen ones. chosen : (P,) bool. taken : (n,) bool, nodes with a choice."""

    def __init__(self, chosen, program):
        self.program, self.chosen = program, chosen
        self.least = 1e-11 * program.largest  # a gain that is none
        p, ends = len(program.node), (program.tail, program.head)
        both = np.concatenate(ends), np.concatenate(ends[::-1])
        self.edges = sparse.csr_array((np.tile(program.weight, 2), both), shape=(p, p))
        self.worth = program.gain + self.edges @ chosen.astype(float)
        self.taken = np.zeros(program.node[-1] + 1, bool)
        self.taken[program.node[chosen]] = True

    def run(self, deadline):
        surplus = int(self.chosen.sum()) - self.program.keep
        for _ in range(-surplus):
            self.turn(self.best_addition(), True)
        for _ in range(surplus):
            self.turn(self.worst_choice(), False)
        while not deadline() and (self.rename() or self.exchange()):
            pass
        return self.chosen

    def turn(self, pair, on):
        own = slice(*self.edges.indptr[pair : pair + 2])
        self.chosen[pair] = self.taken[self.program.node[pair]] = on
        self.worth[self.edges.indices[own]] += self.edges.data[own] if on else -self.edges.data[own]

    def best_addition(self):
        return int(np.where(self.taken[self.program.node], -np.inf, self.worth).argmax())

    def worst_choice(self):
        return int(np.where(self.chosen, self.worth, np.inf).argmin())

    def rename(self):
        """Give one node the keyword by which the sum grows most; False where none does."""
        node, current = self.program.node, np.zeros(len(self.taken))
        current[node[self.chosen]] = self.worth[self.chosen]
        better = np.where(self.taken[node], self.worth - current[node], 0)
        pair = int(better.argmax())
        if better[pair] <= self.least:
            return False
        self.turn(int(np.flatnonzero(self.chosen & (node == node[pair]))[0]), False)
        self.turn(pair, True)
        return True

    def exchange(self):
        """Put the best node that is out in the place of the worst that is in; False where that does not help."""
        if self.taken.all() or not self.taken.any():
            return False
        out, into = self.worst_choice(), self.best_addition()
        before = self.worth[out]
        self.turn(out, False)
        if self.worth[into] > before + self.least:
            self.turn(into, True)
            return True
        self.turn(out, True)
        return False
