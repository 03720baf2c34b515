"""The multi-way cut alone: python -m stages.graph_cut GRAPH.npz --out LABELS.npz

GRAPH.npz : prob (N, L), allowed (N, L) bool, edges (M, 2) int, weight (M,).
LABELS.npz : label (N,) int64 columns of prob, energy, bound, status.
"""

import argparse
import os
import sys
import zipfile
from pathlib import Path

import numpy as np

from stages.common.errors import UserError
from stages.graph_cut.solve import solve

NAMES = ("prob", "allowed", "edges", "weight")


def read(path):
    """The four arrays of a graph file, as a dict."""
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise UserError(f"{path} is one array, not an npz file of {', '.join(NAMES)}.")
        with file:
            missing = [name for name in NAMES if name not in file.files]
            if missing:
                raise UserError(f"{path} lacks the array {missing[0]}; it needs {', '.join(NAMES)}.")
            return {name: file[name] for name in NAMES}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path} cannot be read as an npz file of plain arrays ({error}).") from None


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m stages.graph_cut", description=__doc__.splitlines()[0])
    parser.add_argument("graph", metavar="GRAPH.npz")
    parser.add_argument("--out", required=True, metavar="LABELS.npz")
    parser.add_argument("--solver", choices=("multiway", "argmax"), default="multiway")
    parser.add_argument("--time-limit", type=float, default=1800.0, metavar="SECONDS")
    given = parser.parse_args(arguments)
    try:
        solution = solve(**read(given.graph), solver=given.solver, time_limit=given.time_limit)
        part = Path(f"{given.out}.part")
        try:
            with part.open("wb") as file:
                np.savez_compressed(
                    file, label=solution.label, energy=solution.energy, bound=solution.bound, status=solution.status
                )
            os.replace(part, given.out)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise UserError(f"{given.out} cannot be written ({error.strerror}).") from None
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{len(solution.label)} nodes, {len(solution.components)} components: energy {solution.energy:.6f}, "
        f"bound {solution.bound:.6f}, gap {solution.gap:.2g}, {solution.status}"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Interrupted: no labels were written.", file=sys.stderr)
        sys.exit(130)
