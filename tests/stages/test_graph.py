"""Neighbours among proposals whose images share a tag, and the edges made of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.graph import neighbours, run
from stages.graph.build import nodes_by_tag
from stages.graph.config import Config
from stages.graph.edges import edges_of
from stages.graph.exact import Best, cosines, squared_lengths
from stages.graph.neighbours import nearest, panel_of, slack, unit_rows
from stages.graph.tiles import tile_pairs
from tag2mask.data.index import Index
from tag2mask.data.tables import Table
from tag2mask.errors import UserError
from tag2mask.run.job import Job

KINDS = (torch.float32, torch.bfloat16, torch.float16)


def slow_nearest(features, photo, tags, k, *, signed=False):
    """The obvious version: every pair by itself, sorted by |cosine| (or cosine), then by number."""
    f = features.astype(np.float64)
    f = f / np.maximum(np.linalg.norm(f, axis=1), 1e-12)[:, None]
    rows = []
    for i in range(len(f)):
        cosine = (f * f[i]).sum(1)
        found = sorted(
            (-round(float(c if signed else abs(c)) * 2**30), j)
            for j, c in enumerate(cosine)
            if j != i and set(tags[photo[i]]) & set(tags[photo[j]])
        )
        rows.append([j for _, j in found[:k]] + [-1] * max(0, k - len(found)))
    return np.array(rows).reshape(-1, k)


def random_tags(rng, photos, *, tags=5):
    return [tuple(sorted(rng.choice(tags, rng.integers(0, 4), replace=False) + 1)) for _ in range(photos)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.booleans(), st.sampled_from(KINDS))
def test_agrees_with_the_slow_version(seed, k, signed, kind):
    rng = np.random.default_rng(seed)
    n, photos = int(rng.integers(1, 60)), 8
    features = rng.normal(size=(n, 6)).astype(np.float16)
    photo, tags = np.sort(rng.integers(0, photos, n)), random_tags(rng, photos)
    found = nearest(features, nodes_by_tag(photo, tags), k=k, signed=signed, tile=16, kind=kind)
    assert found.tolist() == slow_nearest(features, photo, tags, k, signed=signed).tolist()


def clustered(rng, n, *, width=24, clusters=12, spread=0.3):
    """(n, width) float16 rows of unit length about a few directions, as of proposals of a few kinds of things."""
    f = rng.normal(size=(clusters, width))[rng.integers(0, clusters, n)] + spread * rng.normal(size=(n, width))
    return (f / np.linalg.norm(f, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("signed", [False, True])
def test_agrees_where_few_pairs_pass_the_first_comparison(signed, monkeypatch):
    rng = np.random.default_rng(5)
    photo, tags = np.repeat(np.arange(60), 10), random_tags(rng, 60)
    features = clustered(rng, 600) * rng.choice([-1, 1], (600, 1)).astype(np.float16)
    slow = slow_nearest(features, photo, tags, 3, signed=signed)
    offered, offer = [], Best.offer
    monkeypatch.setattr(neighbours, "DENSE", 2.0)  # never a whole tile in float64
    monkeypatch.setattr(Best, "offer", lambda self, pairs: (offered.append(len(pairs)), offer(self, pairs)))
    for kind in KINDS:  # panels of 24 x 120 numbers: several a tag
        found = nearest(
            features, nodes_by_tag(photo, tags), k=3, signed=signed, tile=120, panel=120 * 24 * kind.itemsize, kind=kind
        )
        assert found.tolist() == slow.tolist()
    shared = sum(bool(set(a) & set(b)) for a in tags for b in tags) * 100 / 2
    assert sum(offered) / len(KINDS) < 0.1 * shared  # most pairs were never compared in float64


@pytest.mark.parametrize("spread", [0.0, 1e-3])
def test_agrees_where_features_collapse(spread):
    """All alike, or nearly: the first comparison says nothing, whole tiles are compared in float64."""
    rng = np.random.default_rng(6)
    features = clustered(rng, 150, clusters=2, spread=spread)
    features[::17] = 0
    photo, tags = np.repeat(np.arange(15), 10), random_tags(rng, 15)
    for signed in (False, True):
        slow = slow_nearest(features, photo, tags, 3, signed=signed)
        for kind in KINDS:
            found = nearest(features, nodes_by_tag(photo, tags), k=3, signed=signed, tile=40, kind=kind)
            assert found.tolist() == slow.tolist()


def test_ties_go_to_the_smaller_number_in_every_tiling():
    rng = np.random.default_rng(0)
    features = rng.integers(-2, 3, (40, 2)).astype(np.float16)  # many equal directions, opposite ones, zeros
    photo, tags = np.repeat([0, 1, 2], [10, 10, 20]), [(1, 2), (2,), (1,)]
    slow = slow_nearest(features, photo, tags, 3).tolist()
    for tile in (16, 3, 5):
        for kind in KINDS:
            assert nearest(features, nodes_by_tag(photo, tags), k=3, tile=tile, kind=kind).tolist() == slow


def test_the_answer_depends_on_no_tile_panel_or_number_format():
    rng = np.random.default_rng(7)
    features, photo, tags = clustered(rng, 900, width=64), np.repeat(np.arange(45), 20), random_tags(rng, 45)
    groups = nodes_by_tag(photo, tags)
    first = nearest(features, groups, k=3)
    for tile, panel, kind in ((64, 1, KINDS[1]), (100, 1 << 14, KINDS[0]), (2048, None, KINDS[2])):
        assert (nearest(features, groups, k=3, tile=tile, panel=panel, kind=kind) == first).all()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_the_first_comparison_is_off_by_no_more_than_the_slack(kind):
    """What is dropped rests on this bound; rounding that all goes one way comes near to it."""
    rng = np.random.default_rng(8)
    features = np.concatenate([clustered(rng, 60, width=512), np.full((4, 512), 1.0 + 2.0**-9, np.float16)])
    features[-4:, ::2] = 1.0  # bfloat16 drops the 2^-9 of every second number
    square, nodes = squared_lengths(features), np.arange(len(features))
    true = unit_rows(features, square, nodes) @ unit_rows(features, square, nodes).T
    for centre in (np.zeros(512), unit_rows(features, square, nodes).mean(0)):
        panel = panel_of(features, square, nodes, centre=centre, kind=kind, device="cpu")
        seen = (panel.values @ panel.values.T).float() + panel.shift[:, None] + panel.shift
        bound = slack(
            *[(panel.error[:, None], panel.length[:, None], 512)], (panel.error, panel.length, 512), kind=kind
        )
        assert (np.abs(seen.numpy() - true) <= bound).all()
        assert bound.max() < {torch.float32: 2e-4, torch.bfloat16: 0.02, torch.float16: 0.002}[kind]


def test_tiles_cover_every_pair_with_a_tag_in_common_and_repeat_few():
    rng = np.random.default_rng(9)
    photo = np.repeat(np.arange(80), 10)
    tags = [(1, *own) if i % 2 else own for i, own in enumerate(random_tags(rng, 80, tags=4))]
    tags = [tuple(sorted(set(own))) for own in tags]
    times = np.zeros((800, 800), int)
    for nodes, _, a, b in tile_pairs(nodes_by_tag(photo, tags), 800, tile=50, panel=120):
        times[np.ix_(nodes[a], nodes[b])] += 1
    times = times + times.T - np.diag(np.diag(times))  # a tile with itself holds both directions
    member = np.array([[t in own for t in range(1, 6)] for own in tags])[photo].astype(int)
    shared = member @ member.T
    assert ((times > 0) == (shared > 0))[~np.eye(800, dtype=bool)].all()
    assert (times <= 2 * shared).all()  # twice: both directions within one tile
    # Two tags on the same photos: the second tag compares nothing.
    both = [np.arange(300), np.arange(300)]
    assert len(list(tile_pairs(both, 300, tile=100, panel=300))) == 3 + 3


def test_neighbours_by_hand():
    """Cosines: 0-1 1, 0-2 -0.8, 1-2 -0.8, 3 orthogonal to 0; photo 1 shares no tag."""
    features = np.array([[1, 0], [2, 0], [-4, 3], [0, 1], [1, 0]], np.float16)
    groups = nodes_by_tag(np.array([0, 0, 0, 0, 1]), [(7,), (8,)])
    assert [g.tolist() for g in groups] == [[0, 1, 2, 3], [4]]
    found = nearest(features, groups, k=2)
    assert found.tolist() == [[1, 2], [0, 2], [0, 1], [2, 0], [-1, -1]]
    # 0, 1 and 2 name each other; 3 names 2 and 0, which do not name it
    assert edges_of(found, mutual=True).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert edges_of(found, mutual=False).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [2, 3]]
    assert cosines(features, np.array([[0, 2], [0, 1], [0, 3]])) == pytest.approx([-0.8, 1, 0])


def test_mutual_edges_leave_at_most_k_at_a_node():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(300, 5)).astype(np.float16)
    found = nearest(features, [np.arange(300)], k=3, tile=64)
    mutual, union = (edges_of(found, mutual=m) for m in (True, False))
    assert np.bincount(mutual.ravel()).max() <= 3 < np.bincount(union.ravel()).max()
    assert set(map(tuple, mutual)) < set(map(tuple, union)) and (union[:, 0] < union[:, 1]).all()


def test_no_node_and_no_tag():
    assert nearest(np.zeros((0, 4), np.float16), [], k=3).shape == (0, 3)
    assert nodes_by_tag(np.zeros(0, np.int64), []) == []
    assert nearest(np.ones((2, 4)), nodes_by_tag(np.array([0, 0]), [()]), k=3).tolist() == [[-1] * 3] * 2
    assert edges_of(np.full((2, 3), -1), mutual=True).shape == (0, 2)


def stores(folder, features):
    index = Index.build(
        folder, {1: "a", 2: "b"}, image_id=["p", "q", "r"], path=["p", "q", "r"], size=[[4, 4]] * 3,
        tags=[(1,), (1, 2), (2,)], train=[True] * 3, shards=2,
    )  # fmt: skip
    index.save(folder / "index.zarr.zip")
    shards = [(["p", "q"], [0, 1, 3]), (["r"], [0, 1])]
    for k, ((names, first), f) in enumerate(zip(shards, np.split(features, [3]))):
        arrays = dict(image_id=np.array(names), first=np.array(first), row=np.arange(len(f)), f=f)
        Table("mil/1", arrays, {"labels": [0, 1, 2]}).save(folder / f"mil{k}.zarr.zip")
    return SimpleNamespace(index=folder / "index.zarr.zip", mil=[folder / f"mil{k}.zarr.zip" for k in (0, 1)])


def test_stage_numbers_nodes_through_the_shards(tmp_path):
    features = np.array([[1, 0], [0.6, 0.8], [0, 1], [1, 0]], np.float16)
    job = Job()
    edges = run(stores(tmp_path, features), Config(k=1), job)["edges"]
    # 0 and 3 are alike but share no tag; 1 and 2 are nearest to each other
    assert edges["edge"].tolist() == [[1, 2]] and edges["cosine"] == pytest.approx([0.8], abs=1e-3)
    assert edges.meta["nodes"] == 4 and job.numbers == {"nodes": 4, "edges": 1, "isolated": 2}
    union = run(stores(tmp_path, features), Config(k=1, neighbours="union"), Job())["edges"]
    assert union["edge"].tolist() == [[0, 1], [1, 2], [1, 3]]


def test_stage_pairs_all_and_signed(tmp_path):
    """Cosines: 0-1 0.6, 0-2 0, 0-3 -0.8, 1-2 0.8, 1-3 0 (0.6 * -0.8 + 0.8 * 0.6), 2-3 0.6. Photos p, q, q, r."""
    features = np.array([[1, 0], [0.6, 0.8], [0, 1], [-0.8, 0.6]], np.float16)
    paths = stores(tmp_path, features)

    def edges(**keys):
        return run(paths, Config(k=1, neighbours="union", **keys), Job())["edges"]["edge"].tolist()

    # by |cosine| 0 has 3 (0.8), 1 has 2, 2 has 1, 3 has 0
    assert edges(pairs="all") == [[0, 3], [1, 2]]
    # by cosine + 1 0 has 1 (1.6), 1 has 2, 2 has 1, 3 has 2 (1.6)
    assert edges(pairs="all", similarity="signed") == [[0, 1], [1, 2], [2, 3]]
    # photo p has tag 1, q 1 and 2, r 2: 0 and 3 may not meet
    assert edges(similarity="signed") == [[0, 1], [1, 2], [2, 3]]
    assert edges() == [[0, 1], [1, 2], [2, 3]]


def test_stage_refuses_features_that_are_not_finite(tmp_path):
    with pytest.raises(UserError, match=r"mil0.zarr.zip holds features that are not finite"):
        run(stores(tmp_path, np.full((4, 2), np.nan, np.float16)), Config(), Job())
