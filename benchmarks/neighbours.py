"""Exact nearest neighbours at a dataset's size against faiss's exact index (or torch where faiss is not installed).

    python -m benchmarks.neighbours           # 200,000 x 1,280 and x 2,048
    python -m benchmarks.neighbours --quick   # 20,000 x 256; prints, writes no page

`tags`: only proposals whose images share a tag are compared; the peer then has one index a tag. `all`: any two. Ours
runs whole; the peer answers a random sample of the proposals, its time is scaled up to all of them (what it pays per
index is not), and its answers are compared with ours. Each row is a process of its own. Features are generated
(benchmarks/cut_problems.py, regime nodup), float16. Resumable: results/bench-cut/neighbours-*.json.
Writes the section "neighbours" of docs/benchmarks.md.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import sections
from benchmarks.cut import peak_mb
from benchmarks.cut_tables import table
from tag2mask.run.code_digest import code_digest

FOLDER = Path("results/bench-cut")
METHODS = ("ours", "peer")


def prepare(nodes, width, folder):
    """Make the files of the generated problem that are missing: float16 features, and the nodes of each tag."""
    from benchmarks.cut_problems import generate
    from stages.graph.build import nodes_by_tag

    values, tagged = files(nodes, width, folder)
    if not (values.exists() and tagged.exists()):
        problem = generate("nodup", nodes, width=width)
        groups = nodes_by_tag(problem.photo, problem.tags)
        values.parent.mkdir(parents=True, exist_ok=True)
        np.savez(tagged, nodes=np.concatenate(groups), cuts=np.cumsum([len(group) for group in groups])[:-1])
        np.save(values.with_suffix(".part.npy"), problem.features)
        values.with_suffix(".part.npy").rename(values)


def files(nodes, width, folder):
    return folder / "data" / f"features-{nodes}-{width}.npy", folder / "data" / f"groups-{nodes}.npz"


def measure(method, nodes, width, pairs, *, folder, sample, threads):
    """{seconds, before_mb, peak_mb, peer, cosine of the sample's neighbours}."""
    import torch

    from stages.graph.neighbours import nearest

    torch.set_num_threads(threads)
    values, tagged = files(nodes, width, folder)
    values, groups = np.load(values, mmap_mode="r"), [np.arange(nodes)]
    if pairs == "tags":
        with np.load(tagged) as file:
            groups = np.split(file["nodes"], file["cuts"])
    chosen = np.sort(np.random.default_rng(0).choice(nodes, min(sample, nodes), replace=False))
    before, start, name = peak_mb(), time.perf_counter(), "ours"
    if method == "ours":
        found = nearest(values, groups, k=3)
        seconds, found = time.perf_counter() - start, found[chosen]
    else:
        found, seconds, name = peer(values, groups, chosen, threads=threads)
    cosine = np.full(found.shape, -1.0)
    for column in range(found.shape[1]):
        has = found[:, column] >= 0
        a, b = (np.asarray(values[i], np.float64) for i in (chosen[has], found[has, column]))
        cosine[has, column] = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return dict(seconds=seconds, before_mb=before, peak_mb=peak_mb(), peer=name, cosine=cosine.round(7).tolist())


def peer(values, groups, chosen, *, threads):
    """((n, 3) neighbours of the nodes `chosen`, seconds scaled to all nodes, name) of an exact index for each group."""
    try:
        import faiss

        faiss.omp_set_num_threads(threads)
        name = f"faiss {faiss.__version__} IndexFlatIP"
    except ImportError:
        faiss, name = None, "torch, one product a batch"
    keys, own, total = np.full((len(chosen), 3), -1.0), np.full((len(chosen), 3), -1), 0.0
    for group in groups:
        place = np.flatnonzero(np.isin(chosen, group))
        if len(group) < 2 or not len(place):
            continue
        start = time.perf_counter()
        rows = np.asarray(values[group], np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12)
        query = rows[np.searchsorted(group, chosen[place])]
        search = index(faiss, rows)
        built = time.perf_counter()
        value, number = search(query, 4)
        total += built - start + (time.perf_counter() - built) * len(group) / len(query)
        number = np.where(number >= 0, group[number], -1)
        value = np.where((number < 0) | (number == chosen[place][:, None]), -1.0, value)
        # The same neighbour found under two tags counts once.
        value, number = np.concatenate([keys[place], value], 1), np.concatenate([own[place], number], 1)
        again = (number[:, :, None] == number[:, None, :]) & np.tri(number.shape[1], k=-1, dtype=bool)
        value[again.any(2)] = -1.0
        order = np.argsort(-value, axis=1, kind="stable")[:, :3]
        keys[place], own[place] = (np.take_along_axis(a, order, 1) for a in (value, number))
    return np.where(keys < 0, -1, own), total, name


def index(faiss, rows):
    """A function (query, k) -> (value (n, k), number (n, k)) over (N, D) float32 rows."""
    if faiss is not None:
        flat = faiss.IndexFlatIP(rows.shape[1])
        flat.add(rows)
        return flat.search
    import torch

    whole = torch.from_numpy(rows)

    def search(query, k):
        parts = [
            (torch.from_numpy(query[at : at + 256]) @ whole.T).topk(min(k, len(whole)))
            for at in range(0, len(query), 256)
        ]
        return tuple(torch.cat([part[i] for part in parts]).numpy() for i in (0, 1))

    return search


def rows_of(cases, *, folder, sample, threads, fresh, start=None, log=print):
    """One dict per (nodes, width, pairs): results of both methods, measured where they are not there yet.

    start : how, a function as `in_a_process`, which is the default.
    """
    digest, rows, start = code_digest("graph"), [], start or in_a_process
    for nodes, width, pairs in cases:
        both = {}
        for method in METHODS:
            path = folder / f"neighbours-{nodes}-{width}-{pairs}-{method}.json"
            found = json.loads(path.read_text()) if path.exists() and not fresh else {}
            key = [digest, sample, threads]
            if found.get("key") != key:
                log(f"{nodes} x {width}, {pairs}, {method}")
                measured = start(method, nodes, width, pairs, folder=folder, sample=sample, threads=threads)
                found = {"key": key, **measured}
                path.write_text(json.dumps(found))
            both[method] = found
        rows.append({"nodes": nodes, "width": width, "pairs": pairs, **both})
    return rows


def in_a_process(method, nodes, width, pairs, *, folder, sample, threads):
    """What `measure` finds; the features are made in one process and read in another."""
    for step in ("--prepare", "--measure"):
        call = [sys.executable, "-m", "benchmarks.neighbours", "--folder", str(folder), "--sample", str(sample)]
        call += ["--threads", str(threads), step, method, str(nodes), str(width), pairs]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{nodes} x {width}, {pairs}, {method} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def text(rows, *, command, sample, threads):
    """Markdown of the section."""
    lines = []
    for row in rows:
        own, other = row["ours"], row["peer"]
        worse = np.array(own["cosine"]) - np.array(other["cosine"])
        lines.append(
            [f"{row['nodes']:,} x {row['width']:,}", row["pairs"], f"{own['seconds']:.1f}", f"{other['seconds']:.0f}",
             f"{other['seconds'] / own['seconds']:.1f}", f"{own['peak_mb']:,.0f} ({own['before_mb']:,.0f})",
             f"{other['peak_mb']:,.0f}", f"{worse.min():.0e}"]
        )  # fmt: skip
    name = rows[0]["peer"]["peer"]
    head = ["features", "pairs", "ours, s", "peer, s", "peer / ours", "ours, MB (before)", "peer, MB"]
    note = (
        f"Three nearest neighbours by cosine, {threads} threads. Peer: {name}, float32; it answers {sample:,} random "
        "proposals, scaled up. Pairs `tags`: only proposals whose images share a tag (the peer has an index a tag). MB "
        "is the peak of a process, in ours with the features' file, which is only mapped. Last column: the smallest "
        "difference, ours minus the peer's, of the neighbours' cosines (below 0: the peer found a nearer one)."
    )
    return "\n\n".join(["## Nearest neighbours", f"`{command}`", note, table([*head, "worst cosine"], lines)]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="measure again what is there")
    parser.add_argument("--sample", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument("--prepare", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        prepare(int(args.prepare[1]), int(args.prepare[2]), args.folder)
        return
    if args.measure:
        method, nodes, width, pairs = args.measure
        found = measure(
            method, int(nodes), int(width), pairs, folder=args.folder, sample=args.sample, threads=args.threads
        )
        print(json.dumps(found))
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    sizes = [(20_000, 256)] if args.quick else [(200_000, 1280), (200_000, 2048)]
    cases = [(*size, pairs) for size in sizes for pairs in ("tags", "all")]
    rows = rows_of(cases, folder=args.folder, sample=args.sample, threads=args.threads, fresh=args.fresh)
    page = text(rows, command="make bench-cut", sample=args.sample, threads=args.threads)
    print(page)
    if not args.quick:
        sections.write("neighbours", page, args.output)


if __name__ == "__main__":
    main()
