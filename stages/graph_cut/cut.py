"""Reads p and the edges of all shards, solves, makes instances of the proposals that got a class."""

import numpy as np

from stages.common.errors import UserError
from stages.common.index import Index
from stages.common.instances import Instances
from stages.common.tables import Table
from stages.graph_cut.energy import argmax_labels
from stages.graph_cut.solve import solve


def cut(inputs, config, job):
    """See `stages.graph_cut.run`."""
    index = Index.load(inputs.index)
    tables = [without_features(Table.load(path, "mil/1")) for path in inputs.mil]
    labels = np.array([0, *sorted(index.categories)])
    for path, table in zip(inputs.mil, tables):
        if list(table.meta["labels"]) != labels.tolist():
            raise UserError(f"{path} has other classes than {inputs.index}: build the stage mil again.")
    prob = np.concatenate([t["p"] for t in tables]) if tables else np.zeros((0, len(labels)), np.float32)
    allowed = np.concatenate([allowed_labels(t, index, labels, config.labels) for t in tables])
    edges, weight = np.zeros((0, 2), np.int64), np.zeros(0)
    if config.solver == "exact":
        graph = Table.load(inputs.edges, "graph/1")
        if graph.meta["nodes"] != len(prob):
            raise UserError(f"{inputs.edges} is a graph of {graph.meta['nodes']} nodes, mil has {len(prob)}.")
        edges, weight = graph["edge"], edge_weight(graph["cosine"], config.delta)
    solution = solve(prob, allowed, edges, weight, solver=config.solver, time_limit=config.time_limit)
    describe(solution, prob, allowed, labels=labels, names=index.categories, config=config, job=job)
    meta = {"energy": solution.energy, "bound": solution.bound, "gap": solution.gap, "status": solution.status}
    return {
        "instances": chosen(inputs.proposals, tables, solution.label, labels=labels),
        "labels": Table("labels/1", {"label": labels[solution.label].astype(np.int16)}, meta),
    }


def without_features(table):
    """A mil table without f, which the cut does not read and which is most of it: the memory is the graph's alone."""
    return Table(table.schema, {name: values for name, values in table.values.items() if name != "f"}, table.meta)


def edge_weight(cosine, delta):
    """(M,) float64: delta x |cosine| between two proposals. Source: LIID, Eq. 10, third case."""
    return delta * np.abs(np.asarray(cosine, np.float64))


def allowed_labels(table, index, labels, which):
    """(N, L) bool: the photo's tags and the background, or every label where `which` is "all"."""
    number = {name: i for i, name in enumerate(index.image_id)}
    per_image = np.full((len(table["image_id"]), len(labels)), which == "all")
    for i, name in enumerate(table["image_id"]):
        per_image[i] |= np.isin(labels, [0, *index.tags(number[str(name)])])
    return np.repeat(per_image, np.diff(table["first"]), axis=0)


def chosen(stores, tables, label, *, labels):
    """Instances of all shards: the proposals whose label is not the background, in node order, ids from 1.

    stores : paths of the shards' proposals. tables : their mil tables. label : (N,) columns. labels : (L,) ids.
    """
    parts, at = [], 0
    for path, table in zip(stores, tables):
        proposals, own = Instances.load(path), label[at : at + len(table["row"])]
        at += len(own)
        kept = own > 0
        part = proposals.select(table["row"][kept])
        parts.append(part.replaced(category=labels[own[kept]].astype(np.int16), score=table["p"][kept, own[kept]]))
    result = Instances.concat(parts)
    return result.replaced(id=np.arange(1, len(result) + 1, dtype=np.int64))


def describe(solution, prob, allowed, *, labels, names, config, job):
    """Component sizes, label shares and the share changed by the cut for the manifest; warnings for the log."""
    n = len(solution.label)
    share = np.bincount(solution.label, minlength=len(labels)) / max(n, 1)
    changed = float((solution.label != argmax_labels(prob, allowed)).mean()) if n else 0.0
    title = {0: "background", **names}
    job.count(
        nodes=n, components=len(solution.components), largest_component=int(solution.components.max(initial=0)),
        component_sizes=histogram(solution.components), status=solution.status, energy=solution.energy,
        bound=solution.bound, gap=solution.gap, changed_by_cut=changed,
        label_share={title[int(k)]: round(float(s), 6) for k, s in zip(labels, share) if s},
    )  # fmt: skip
    job.log.info("%d nodes, status %s, gap %.2g, cut changed %.1f %%", n, solution.status, solution.gap, 100 * changed)
    if solution.status == "time_limit":
        job.warn(
            f"graph_cut reached its time_limit of {config.time_limit:g} s: the labelling is within a relative gap of "
            f"{solution.gap:.2g} of the optimum (bound {solution.bound:.6g}); raise graph_cut.time_limit for a proof."
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
