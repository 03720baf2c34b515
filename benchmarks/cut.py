"""The multi-way cut at a dataset's size, against its bar and its plain peers, in one run.

    python -m benchmarks.cut                      # everything, about 36 minutes on two cores
    python -m benchmarks.cut --quick              # small sizes, minutes; prints, writes no page
    python -m benchmarks.cut --only coco --fresh  # some cases again

Every case is a process of its own, so its peak memory is its own; what it found lies in results/bench-cut/<case>.json
and is not measured again while the solver's code stays the same. Writes the section "cut" of docs/benchmarks.md.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from scipy import sparse

from benchmarks import cut_tables, sections
from tag2mask.run.code_digest import code_digest

FOLDER = Path("results/bench-cut")
VERSION = 1  # of what a case measures
REGIMES = ("clean", "dup", "nodup", "noisy")


@dataclass(frozen=True)
class Case:
    """One problem and how it is solved. peer : "", "pulp" or "lp". limit, peer_limit : seconds for one solve."""

    regime: str
    nodes: int
    neighbours: str
    labels: str
    shape: str = "voc"
    peer: str = ""
    limit: float = 600.0
    peer_limit: float = 150.0
    seed: int = 0

    @property
    def name(self):
        parts = [self.shape, self.regime, str(self.nodes), self.neighbours, self.labels, self.peer]
        return "-".join(part for part in parts if part)

    def path(self, folder):
        """Where the generated problem lies."""
        return folder / "data" / f"{self.shape}-{self.regime}-{self.nodes}-{self.seed}.npz"


def cases(*, small=2_000, middle=20_000, large=200_000, coco=600_000, regimes=REGIMES):
    """All cases. small, middle, large, coco : nodes of the problems against PuLP, the LP, the bar, COCO's shape."""
    grid = [(r, n, labels) for labels in ("tags", "all") for r in regimes for n in ("mutual", "union")]
    found = [Case(r, large, n, labels) for r, n, labels in grid]
    found += [Case(r, small, n, labels, peer="pulp") for r, n, labels in grid]
    found += [Case(r, middle, n, labels, peer="lp") for r, n, labels in grid if (r, labels) != ("noisy", "all")]
    found += [Case("noisy", middle, n, "all") for n in ("mutual", "union") if "noisy" in regimes]
    return found + [Case("nodup", coco, n, "tags", shape="coco") for n in ("mutual", "union")]


def prepare(case, folder):
    """Make the file of the case's generated problem where it is missing: p, edges, truth."""
    path = case.path(folder)
    if not path.exists():
        # Here only: the process that measures must not hold torch.
        from benchmarks.cut_problems import COCO, VOC, edge_table, generate, neighbour_lists, own_labels

        shape = {"voc": VOC, "coco": COCO}[case.shape]
        problem = generate(case.regime, case.nodes, seed=case.seed, shape=shape)
        # As the stage builds it where tags say who may meet; the problems of VOC's shape let all meet.
        lists = neighbour_lists(problem, pairs="tags" if case.shape == "coco" else "all")
        own = own_labels(problem)
        arrays = dict(data=own.data.astype(np.float32), indices=own.indices, indptr=own.indptr, truth=problem.truth)
        arrays |= edge_table(problem, lists)
        if case.shape == "voc":
            arrays["prob"] = problem.prob
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, **arrays)
        part.rename(path)


def read(case, path):
    """(prob CSR whose stored entries are the allowed labels, edges, weight, truth) of the case; delta = 5."""
    with np.load(path) as file:
        kept = file["both"] if case.neighbours == "mutual" else slice(None)
        edges, weight = file["edges"][kept].astype(np.int64), 5.0 * np.abs(file["cosine"][kept].astype(np.float64))
        labels = int(file["labels"])
        if case.labels == "all":
            prob = file["prob"].astype(np.float64)
            first = np.arange(0, prob.size + 1, labels)
            prob = sparse.csr_matrix((prob.ravel(), np.tile(np.arange(labels), len(prob)), first), prob.shape)
        else:
            parts = (file["data"].astype(np.float64), file["indices"], file["indptr"])
            prob = sparse.csr_matrix(parts, shape=(len(parts[2]) - 1, labels))
        return prob, edges, weight, file["truth"]


def measure(case, folder, *, repeats):
    """What one case finds, as a dict for its JSON file."""
    from stages.graph_cut.solve import solve

    prob, edges, weight, truth = read(case, case.path(folder))
    before = peak_mb()
    seconds, solution = timed(
        lambda: solve(prob, None, edges, weight, time_limit=case.limit), repeats=repeats, budget=300.0
    )
    peak = peak_mb()
    first = solve(prob, None, edges, weight, solver="argmax").label
    share = np.bincount(solution.label, minlength=prob.shape[1]) / len(truth)
    found = dict(
        edges=len(edges), seconds=seconds, before_mb=before, peak_mb=peak, energy=solution.energy, bound=solution.bound,
        gap=solution.gap, status=solution.status, components=len(solution.components),
        largest=int(solution.components.max()), label=int(share.argmax()), share=float(share.max()),
        changed=float((solution.label != first).mean()), right_before=float((first == truth).mean()),
        right=float((solution.label == truth).mean()), fixed=getattr(solution, "fixed", None),
    )  # fmt: skip
    if case.peer:
        from benchmarks import cut_peers

        peer = {"pulp": cut_peers.plain_pulp, "lp": cut_peers.matrix_lp}[case.peer]
        again, (_, energy, done) = timed(
            lambda: peer(prob, edges, weight, time_limit=case.peer_limit), repeats=repeats, budget=30.0
        )
        own = cut_peers.energy(solution.label, cut_peers.costs(prob), edges, weight)
        found |= dict(peer_seconds=again, peer_done=done, peer_energy=energy if done else None, own_energy=own)
    return found


def peak_mb():
    """The most memory that this process held so far. (`ru_maxrss` starts at what the parent process held.)"""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def timed(call, *, repeats, budget):
    """(seconds of each call, the last result): `repeats` calls, fewer where `budget` seconds are spent."""
    seconds = []
    while len(seconds) < repeats and (not seconds or sum(seconds) + median(seconds) < budget):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return seconds, result


def finished(case, folder, digest):
    """The case's earlier result, or None where there is none of this code."""
    path = folder / f"{case.name}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    key = {"case": asdict(case), "code": digest, "version": VERSION}
    return found.get("found") if found.get("key") == key else None


def run(todo, *, folder, fresh=(), repeats=5, start=None, log=print):
    """{case: result} of all cases, those that are not there yet measured one after the other.

    start : how a case is measured, a function (case, folder, repeats) -> dict; by default in a process of its own.
    """
    digest, results, start = code_digest("graph_cut"), {}, start or in_a_process
    for number, case in enumerate(todo):
        found = None if case.name in fresh else finished(case, folder, digest)
        if found is None:
            log(f"{number + 1}/{len(todo)} {case.name}")
            found = start(case, folder, repeats)
            key = {"case": asdict(case), "code": digest, "version": VERSION}
            (folder / f"{case.name}.json").write_text(json.dumps({"key": key, "found": found}, indent=1))
        results[case] = found
    return results


def in_a_process(case, folder, repeats):
    """The case's result; its problem is made in one process and solved in another."""
    for step in ("--prepare", "--measure"):
        call = [sys.executable, "-m", "benchmarks.cut", step, json.dumps(asdict(case)), "--folder", str(folder)]
        done = subprocess.run([*call, "--repeats", str(repeats)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{case.name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two regimes, small sizes")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--fresh", action="store_true", help="measure again what is there")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument("--prepare", help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare or args.measure:
        case = Case(**json.loads(args.prepare or args.measure))
        if args.prepare:
            prepare(case, args.folder)
        else:
            print(json.dumps(measure(case, args.folder, repeats=args.repeats)))
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    sizes = dict(small=600, middle=2_000, large=20_000, coco=40_000, regimes=("dup", "nodup")) if args.quick else {}
    todo = [case for case in cases(**sizes) if args.only in case.name]
    fresh = {case.name for case in todo} if args.fresh else ()
    start = time.perf_counter()
    results = run(todo, folder=args.folder, fresh=fresh, repeats=args.repeats)
    text = cut_tables.text(
        results, command="make bench-cut" if not (args.quick or args.only) else "python -m benchmarks.cut"
    )
    print(text)
    print(f"{time.perf_counter() - start:.0f} s")
    if not (args.quick or args.only):
        sections.write("cut", text, args.output)


if __name__ == "__main__":
    main()
