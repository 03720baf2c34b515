"""Generated multi-way cuts of a dataset's size: features, tags and probabilities by the recipe below.

    python -m benchmarks.cut_problems --regime dup --nodes 20000 --labels tags --out graph.npz

writes one as a GRAPH.npz for `tag2mask cut`.

A photo has 1 to 4 tags (probabilities .62 .27 .08 .03) of 20 classes, 5 objects and 20 proposals, each on one of the
objects. An object is background with probability 1/2, else of one of the tags. A proposal's feature is a x class vector
(halved for background) + b x mode vector + c x object vector + d x noise, all standard normal; then + 0.3, ReLU, unit
length. Its p is the softmax of standard normal scores plus a Gamma(6, 0.8) margin on the true label, or for a share
`err` on a wrong one. An object has one mode; a wrong label is one of the photo's own (tags and background) in 4 of 5
cases, else any other.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from stages.graph.build import nodes_by_tag
from stages.graph.edges import edges_of
from stages.graph.exact import cosines
from stages.graph.neighbours import nearest

PHOTOS = 250  # photos that are drawn at a time


@dataclass(frozen=True)
class Regime:
    """Weights of the class, mode, object and noise vectors; shares of outliers and of misjudged proposals."""

    a: float
    b: float
    c: float
    d: float
    out: float
    err: float


REGIMES = {
    "clean": Regime(1.4, 1.0, 0.0, 0.55, 0.02, 0.20),
    "dup": Regime(1.0, 0.8, 1.2, 0.35, 0.02, 0.25),  # overlapping proposals of one object
    "nodup": Regime(1.0, 0.8, 0.3, 0.8, 0.05, 0.25),  # after NMS
    "noisy": Regime(0.6, 0.6, 0.3, 1.0, 0.10, 0.35),
}


@dataclass(frozen=True)
class Shape:
    """What a dataset is like. popularity : "flat", or "coco" (a person on half of the photos, the rest by rank)."""

    classes: int = 20
    proposals: int = 20
    objects: int = 5
    modes: int = 40
    background_modes: int = 120
    popularity: str = "flat"


VOC = Shape()
COCO = Shape(classes=80, proposals=40, objects=7, popularity="coco")


@dataclass(frozen=True)
class Problem:
    """features : (N, D) float16. prob : (N, L) float32, rows sum to 1. truth : (N,) int64, 0 = background.

    tags : per photo a sorted tuple of labels 1 to L - 1. photo : (N,) int64.
    """

    features: np.ndarray
    prob: np.ndarray
    truth: np.ndarray
    tags: list
    photo: np.ndarray


def generate(regime, nodes, *, width=128, seed=0, shape=VOC, features=True):
    """A Problem of `nodes` proposals (a multiple of the proposals a photo). regime : name in REGIMES.

    features : False leaves them out, all else stays the same. The same photo number gives the same photo whatever
    the number of nodes.
    """
    r, photos = REGIMES[regime], nodes // shape.proposals
    world = np.random.default_rng([seed, 0])
    classes = world.standard_normal((shape.classes + 1, width), np.float32) * r.a
    classes[0] /= 2
    # One block of modes per label, the background's first.
    modes = world.standard_normal((shape.background_modes + shape.classes * shape.modes, width), np.float32) * r.b
    f = np.empty((nodes if features else 0, width), np.float16)
    prob, truth, tags = np.empty((nodes, shape.classes + 1), np.float32), np.empty(nodes, np.int64), []
    for at in range(0, photos, PHOTOS):
        rng = np.random.default_rng([seed, 1, at])  # a whole block is drawn, however many photos of it are wanted
        own = draw_tags(rng, PHOTOS, shape)
        count = np.array([len(one) for one in own])
        table = np.array([one + one[-1:] * (max(count) - len(one)) for one in own])
        label = np.take_along_axis(table, (rng.random((PHOTOS, shape.objects)) * count[:, None]).astype(int), 1)
        label *= rng.random(label.shape) < 0.5
        mode = rng.random(label.shape)
        first = np.where(label == 0, 0, shape.background_modes + (label - 1) * shape.modes)
        mode = first + (mode * np.where(label == 0, shape.background_modes, shape.modes)).astype(int)
        on = rng.integers(0, shape.objects, (PHOTOS, shape.proposals))
        true = np.take_along_axis(label, on, 1).ravel()
        p = probabilities(rng, true, own, shape=shape, err=r.err)
        number = min(PHOTOS, photos - at)
        rows, kept = slice(at * shape.proposals, (at + number) * shape.proposals), slice(number * shape.proposals)
        truth[rows], prob[rows] = true[kept], p[kept]
        tags += own[:number]
        if features:
            thing = classes[label] + modes[mode]
            thing += r.c * rng.standard_normal(thing.shape, np.float32)
            values = np.take_along_axis(thing, on[..., None], 1).reshape(-1, width)
            values += r.d * rng.standard_normal(values.shape, np.float32)
            outlier = rng.random(len(values)) < r.out
            values[outlier] = 1.5 * rng.standard_normal((int(outlier.sum()), width), np.float32)
            values = np.maximum(values + 0.3, 0)[kept]
            f[rows] = values / np.linalg.norm(values, axis=1, keepdims=True).clip(1e-12)
    return Problem(f, prob, truth, tags, np.repeat(np.arange(photos), shape.proposals))


def draw_tags(rng, photos, shape):
    """Per photo a sorted tuple of labels. COCO-like: 1 + Poisson(1.9) tags, at most 10, popular ones more often."""
    if shape.popularity == "flat":
        count = rng.choice(4, photos, p=[0.62, 0.27, 0.08, 0.03]) + 1
        weight = np.ones(shape.classes)
    else:
        count = np.minimum(1 + rng.poisson(1.9, photos), 10)
        weight = 1.0 / np.arange(4, shape.classes + 4)
        weight[0] = 1.25  # puts the first class on half of the photos
    # The `count` largest of log weight + Gumbel noise: labels drawn without replacement in proportion to weight.
    score = np.log(weight) + rng.gumbel(size=(photos, shape.classes))
    order = (-score).argsort(1) + 1
    return [tuple(sorted(row[:n].tolist())) for row, n in zip(order, count)]


def probabilities(rng, truth, tags, *, shape, err):
    """(n, L) float32, rows sum to 1, of proposals with labels `truth`, photo by photo as many as the shape says."""
    scores = rng.standard_normal((len(truth), shape.classes + 1), np.float32)
    own = np.zeros((len(tags), shape.classes + 1), bool)
    own[:, 0] = True
    for i, one in enumerate(tags):
        own[i, list(one)] = True
    every = np.arange(len(truth))
    eligible = np.repeat(own, shape.proposals, axis=0) | (rng.random(len(truth)) >= 0.8)[:, None]
    eligible[every, truth] = False
    wrong = np.where(eligible, rng.random(eligible.shape), -1).argmax(1)
    judged = np.where(rng.random(len(truth)) < err, wrong, truth)
    scores[every, judged] += rng.gamma(6, 0.8, len(truth))
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


def neighbour_lists(problem, *, k=3, pairs="all", progress=None):
    """(N, k) int64: the exact nearest neighbours by |cosine|; -1 where there are less."""
    groups = nodes_by_tag(problem.photo, problem.tags) if pairs == "tags" else [np.arange(len(problem.features))]
    return nearest(problem.features, groups, k=k, progress=progress)


def edge_table(problem, lists):
    """The union's edges (M, 2) int32, `both` (M,) bool (these are the mutual ones), cosine (M,) float32, labels L."""
    union, mutual = (edges_of(lists, mutual=one) for one in (False, True))
    n = len(lists)
    both = np.isin(union[:, 0] * n + union[:, 1], mutual[:, 0] * n + mutual[:, 1])
    cosine = cosines(problem.features, union).astype(np.float32)
    return dict(edges=union.astype(np.int32), both=both, cosine=cosine, labels=np.array(problem.prob.shape[1]))


def allowed_labels(problem):
    """(N, L) bool: the photo's tags and the background."""
    allowed = np.zeros((len(problem.tags), problem.prob.shape[1]), bool)
    allowed[:, 0] = True
    for i, own in enumerate(problem.tags):
        allowed[i, list(own)] = True
    return allowed[problem.photo]


def own_labels(problem):
    """(N, L) CSR of p whose stored entries are the photo's tags and the background: made without a table N x L more."""
    count = np.array([1 + len(own) for own in problem.tags])
    flat = np.concatenate([np.array((0, *own)) for own in problem.tags])
    first = np.concatenate([[0], np.cumsum(count)])
    times = count[problem.photo]
    start = np.concatenate([[0], np.cumsum(times)])
    node = np.repeat(np.arange(len(times)), times)
    column = flat[first[problem.photo][node] + np.arange(len(node)) - start[node]]
    values = problem.prob[node, column].astype(np.float64)
    return sparse.csr_matrix((values, column, start), shape=problem.prob.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--regime", choices=REGIMES, default="dup")
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--labels", choices=("tags", "all"), default="tags")
    parser.add_argument("--neighbours", choices=("mutual", "union"), default="mutual")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    problem = generate(args.regime, args.nodes, seed=args.seed)
    made = edge_table(problem, neighbour_lists(problem))
    kept = made["both"] if args.neighbours == "mutual" else slice(None)
    edges, weight = made["edges"][kept].astype(np.int64), 5.0 * np.abs(made["cosine"][kept].astype(np.float64))
    allowed = allowed_labels(problem) if args.labels == "tags" else np.ones(problem.prob.shape, bool)
    np.savez_compressed(args.out, prob=problem.prob, allowed=allowed, edges=edges, weight=weight)


if __name__ == "__main__":
    main()
