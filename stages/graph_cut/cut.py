"""Reads p and the edges of all shards, solves, makes instances of the proposals that got a class."""

import math
from fractions import Fraction

import numpy as np
from scipy import sparse

from stages.graph_cut.energy import checked
from stages.graph_cut.solve import solve
from tag2mask.data.index import Index
from tag2mask.data.instances import Instances
from tag2mask.data.tables import Table
from tag2mask.errors import UserError


def cut(inputs, config, job):
    """See `stages.graph_cut.run`."""
    index = Index.load(inputs.index)
    labels = np.array([0, *sorted(index.categories)])
    shards, parts = [], []
    for path in inputs.mil:  # one after another: only p of the allowed labels stays
        table = Table.load(path, "mil/1")
        if list(table.meta["labels"]) != labels.tolist():
            raise UserError(f"{path} has other classes than {inputs.index}: build the stage mil again.")
        shards.append(table["row"])
        parts.append(allowed_pairs(table, index, labels, config.labels))
    prob = sparse.vstack(parts, "csr") if parts else sparse.csr_array((0, len(labels)), dtype=np.float32)
    edges, weight = np.zeros((0, 2), np.int64), np.zeros(0)
    if config.solver != "argmax":
        graph = Table.load(inputs.edges, "graph/1")
        if graph.meta["nodes"] != prob.shape[0]:
            raise UserError(f"{inputs.edges} is a graph of {graph.meta['nodes']} nodes, mil has {prob.shape[0]}.")
        edges, weight = graph["edge"], edge_weight(graph["cosine"], config)
    solution = solved(prob, edges, weight, config=config)
    describe(solution, prob, labels=labels, names=index.categories, config=config, job=job)
    meta = {name: getattr(solution, name) for name in ("energy", "bound", "gap", "component_gap", "status")}
    score = score_of(prob, solution.label)
    return {
        "instances": chosen(inputs.proposals or inputs.salient, shards, solution.label, score=score, labels=labels),
        "labels": Table("labels/1", {"label": labels[solution.label].astype(np.int16)}, meta),
    }


def solved(prob, edges, weight, *, config):
    """The Solution of the program that `config.solver` names. prob : (N, L) sparse, its stored entries are allowed."""
    if config.solver == "partition":
        from stages.graph_cut.partition import partition

        keep = kept_of(config.retain, prob.shape[0])
        return partition(prob, None, edges, weight, beta=config.beta, keep=keep, time_limit=config.time_limit)
    prob = with_terminals(prob, most=config.terminals, floor=config.terminal_floor, sure=config.terminal_sure)
    return solve(prob, None, edges, weight, solver=config.solver, time_limit=config.time_limit)


def kept_of(retain, nodes):
    """floor(r n) of the decimal number r: as floats 0.29 x 100 would be 28. Source: Fan et al., Eq. 8."""
    return math.floor(Fraction(str(retain)) * nodes)


def edge_weight(cosine, config):
    """(M,) float64: delta x |cosine| between two proposals (LIID, Eq. 10, third case); cosine + 1 for `solver:
    partition` (Fan et al., Eq. 5)."""
    cosine = np.asarray(cosine, np.float64)
    return cosine + 1 if config.solver == "partition" else config.delta * np.abs(cosine)


def allowed_pairs(table, index, labels, which):
    """(N, L) sparse rows of p, float32: stored for the photo's tags and the background, or for every label where
    `which` is "all", or for the tags alone where it is "keywords" (the background for a photo without tags).
    Source: LIID, Sec. 3 (0 and Y_i), the authors' code zeroes p outside them; Fan, Sec. 3.1 (arg max over keywords)."""
    number = {name: i for i, name in enumerate(index.image_id)}
    tags = [index.tags(number[str(name)]) for name in table["image_id"]]
    own = [np.flatnonzero(np.isin(labels, t if which == "keywords" and t else (0, *t))) for t in tags]
    if which == "all":
        own = [np.arange(len(labels))] * len(own)
    nodes = np.diff(table["first"])
    column = np.concatenate([np.tile(k, n) for k, n in zip(own, nodes)] or [np.zeros(0, np.int64)])
    count = np.repeat([len(k) for k in own], nodes).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(count)])
    value = table["p"][np.repeat(np.arange(len(count)), count), column]
    return sparse.csr_array((value, column, first), shape=(len(count), len(labels)))


def with_terminals(prob, *, most=None, floor=0.0, sure=None):
    """prob (sparse) with p = 0, still stored, where a proposal has no edge to the terminal.

    most : edges of a proposal at most, those of the largest p, of equals the first columns; None: all. floor : no edge
    with p up to this. sure : one edge only from this p on; None: never. Source: LIID's released code (4, 1e-4, 0.9).
    """
    value, count = prob.data.copy(), np.diff(prob.indptr)
    if len(value) == 0 or (most is None and floor == 0 and sure is None):
        return prob
    node = np.repeat(np.arange(len(count)), count)
    order = np.lexsort((-value, node))
    rank = np.empty(len(value), np.int64)
    rank[order] = np.arange(len(value)) - prob.indptr[node]
    edges = count if most is None else np.minimum(count, most)
    if sure is not None:
        edges = np.where(np.maximum.reduceat(value, prob.indptr[:-1]) >= sure, 1, edges)
    value[(rank >= edges[node]) | (value <= floor)] = 0
    return sparse.csr_array((value, prob.indices, prob.indptr), shape=prob.shape)


def score_of(prob, label):
    """(N,) float32: p of each node's label, 0 where it is not stored."""
    return np.asarray(prob[np.arange(len(label)), label], np.float32) if len(label) else np.zeros(0, np.float32)


def chosen(stores, shards, label, *, score, labels):
    """Instances of all shards: the nodes whose label is not the background, in node order, ids from 1.

    stores : paths of the shards' proposals or salient instances. shards : the rows in them of the shards' nodes.
    label, score : (N,) columns and p. labels : (L,) ids.
    """
    parts, at = [], 0
    for path, row in zip(stores, shards):
        own = slice(at, at + len(row))
        kept, at = label[own] > 0, at + len(row)
        part = Instances.open(path).select(row[kept])
        parts.append(part.replaced(category=labels[label[own][kept]].astype(np.int16), score=score[own][kept]))
    result = Instances.concat(parts)
    return result.replaced(id=np.arange(1, len(result) + 1, dtype=np.int64))


def describe(solution, prob, *, labels, names, config, job):
    """Component sizes, label shares and the share changed by the cut for the manifest; warnings for the log."""
    n = len(solution.label)
    share = np.bincount(solution.label, minlength=len(labels)) / max(n, 1)
    alone = checked(prob, None, np.zeros((0, 2), np.int64), np.zeros(0)).argmax()
    changed = float((solution.label != alone).mean()) if n else 0.0
    title = {0: "background", **names}
    job.count(
        nodes=n, components=len(solution.components), largest_component=int(solution.components.max(initial=0)),
        component_sizes=histogram(solution.components), status=solution.status, energy=solution.energy,
        bound=solution.bound, gap=solution.gap, component_gap=solution.component_gap, changed_by_cut=changed,
        label_share={title[int(k)]: round(float(s), 6) for k, s in zip(labels, share) if s},
    )  # fmt: skip
    job.log.info("%d nodes, status %s, gap %.2g, cut changed %.1f %%", n, solution.status, solution.gap, 100 * changed)
    if solution.status == "time_limit":
        job.warn(
            f"graph_cut reached its time_limit of {config.time_limit:g} s: the labelling is within a relative gap of "
            f"{solution.gap:.2g} of the optimum (bound {solution.bound:.6g}), in its worst component of "
            f"{solution.component_gap:.2g}; raise graph_cut.time_limit for a proof."
        )
    if solution.status == "tolerance":
        job.warn(
            f"graph_cut solved every part, but only to a relative gap of {solution.gap:.2g} in all "
            f"(bound {solution.bound:.6g}) and {solution.component_gap:.2g} in the worst component: p or weights span "
            "too many orders of magnitude; look at them."
        )
    if n and share.max() > config.warn_share:
        job.warn(
            f"graph_cut gave the label {title[int(labels[share.argmax()])]} to {100 * share.max():.1f} % of the "
            "proposals: lower graph_cut.delta, or look at p and at the component sizes."
        )


def histogram(sizes):
    """[[from, to, components]] over powers of two: how many components have from <= size <= to nodes."""
    power = np.floor(np.log2(np.maximum(sizes, 1))).astype(int)
    return [[2**k, 2 ** (k + 1) - 1, int(c)] for k, c in enumerate(np.bincount(power)) if c] if len(sizes) else []
