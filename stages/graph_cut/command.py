"""The multi-way cut alone: tag2mask cut GRAPH.npz --out LABELS.npz

GRAPH.npz : prob (N, L), allowed (N, L) bool, edges (M, 2) int, weight (M,).
LABELS.npz : label (N,) int64 columns of prob, energy (without p of labels that are not allowed), bound, gap,
component_gap (the largest of any connected component), status.

Four proposals of two classes and background (column 0); the last two may not be class 2:

    import numpy as np, subprocess, sys
    prob = np.array([[0.1, 0.9, 0.0], [0.5, 0.4, 0.1], [0.2, 0.8, 0.0], [0.9, 0.1, 0.0]])
    allowed = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 1, 0]], bool)
    edges, cosine = np.array([[0, 1], [1, 2], [2, 3]]), np.array([0.9, 0.8, 0.1])
    np.savez("graph.npz", prob=prob, allowed=allowed, edges=edges, weight=5 * np.abs(cosine))
    command = [sys.executable, "-m", "tag2mask", "cut", "graph.npz", "--out", "labels.npz"]
    subprocess.run(command, check=True)
    found = np.load("labels.npz")
    print(found["label"], found["energy"], round(float(found["bound"]), 9), found["status"])
    # [1 1 1 0] 1.5 1.5 optimal
"""

import contextlib
import os
import signal
import zipfile
from pathlib import Path

import numpy as np

from stages.graph_cut.energy import checked
from stages.graph_cut.solve import solve
from tag2mask.errors import UserError

NAMES = ("prob", "allowed", "edges", "weight")
CERTIFICATE = ("label", "energy", "bound", "gap", "component_gap", "status")


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


def write(path, solution):
    """The labels file, whole or not at all."""
    part = Path(f"{path}.part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **{name: getattr(solution, name) for name in CERTIFICATE})
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).") from None
    finally:
        part.unlink(missing_ok=True)


def draw(path, arrays, label):
    """A picture of the graph coloured by label, for small ones."""
    from stages.graph_cut.network import MOST, picture

    if len(label) > MOST:
        raise UserError(f"--picture draws up to {MOST} nodes, the graph has {len(label)}: leave it out.")
    try:
        picture(checked(**arrays), label, path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be drawn ({error}).") from None


def solved(arrays, given):
    """The Solution of what the command line asks for."""
    if given.solver != "partition":
        return solve(**arrays, solver=given.solver, time_limit=given.time_limit)
    from stages.graph_cut.partition import partition

    keep = len(arrays["prob"]) if given.keep is None else given.keep
    return partition(**arrays, beta=given.beta, keep=keep, time_limit=given.time_limit)


@contextlib.contextmanager
def killed_by_interrupts():
    """Ctrl-C ends the process at once. Python's own handler would wait for HiGHS, up to the time limit, and may be lost
    in it; nothing is being written meanwhile."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def arguments(parser):
    """GRAPH.npz, --out and the options of the solvers."""
    parser.add_argument("graph", metavar="GRAPH.npz")
    parser.add_argument("--out", required=True, metavar="LABELS.npz")
    parser.add_argument("--solver", choices=("multiway", "partition", "argmax"), default="multiway")
    parser.add_argument("--time-limit", type=float, default=1800.0, metavar="SECONDS")
    parser.add_argument("--beta", type=float, default=30.0, help="partition: weight of prob against the edges")
    parser.add_argument("--keep", type=int, metavar="NODES", help="partition: so many get a label above 0 (all)")
    parser.add_argument("--picture", metavar="FILE.png", help="draw a small graph, coloured by label")


def main(given):
    """Read, cut, write, draw, and say how good the cut is."""
    arrays = read(given.graph)
    with killed_by_interrupts():
        solution = solved(arrays, given)
    write(given.out, solution)
    if given.picture:
        draw(given.picture, arrays, solution.label)
    print(
        f"{len(solution.label)} nodes, {len(solution.components)} components: energy {solution.energy:.6f}, "
        f"bound {solution.bound:.6f}, gap {solution.gap:.2g} (worst component {solution.component_gap:.2g}), "
        f"{solution.status}"
    )
