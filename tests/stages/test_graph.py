"""Neighbours among proposals whose images share a tag, and the edges made of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.errors import UserError
from stages.common.index import Index
from stages.common.job import Job
from stages.common.tables import Table
from stages.graph import run
from stages.graph.build import nodes_by_tag
from stages.graph.config import Config
from stages.graph.neighbours import SPARE, cosines, edges_of, nearest


def slow_nearest(features, photo, tags, k):
    """The obvious version: every pair by itself, sorted by |cosine|, then by number."""
    f = features.astype(np.float64)
    f = f / np.maximum(np.linalg.norm(f, axis=1), 1e-12)[:, None]
    rows = []
    for i in range(len(f)):
        found = sorted(
            (-round(abs(float(f[i] @ f[j])) * 2**30), j)
            for j in range(len(f))
            if j != i and set(tags[photo[i]]) & set(tags[photo[j]])
        )
        rows.append([j for _, j in found[:k]] + [-1] * max(0, k - len(found)))
    return np.array(rows).reshape(-1, k)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.sampled_from([16, 64]))
def test_agrees_with_the_slow_version(seed, k, tile):
    rng = np.random.default_rng(seed)
    n, photos = int(rng.integers(1, 60)), 8
    features = rng.normal(size=(n, 6)).astype(np.float16)
    photo = np.sort(rng.integers(0, photos, n))
    tags = [tuple(sorted(rng.choice(5, rng.integers(0, 4), replace=False) + 1)) for _ in range(photos)]
    found = nearest(features, nodes_by_tag(photo, tags), k=k, tile=tile)
    assert found.tolist() == slow_nearest(features, photo, tags, k).tolist()


def test_ties_go_to_the_smaller_number_in_every_tiling():
    rng = np.random.default_rng(0)
    features = rng.integers(-2, 3, (12, 2)).astype(np.float16)  # many equal directions, opposite ones, zeros
    tags = [(1, 2), (2,), (1,)]
    photo = np.repeat([0, 1, 2], 4)
    assert len(features) <= 3 + SPARE  # so few that all of them are compared again
    for tile in (16, 3, 5):
        found = nearest(features, nodes_by_tag(photo, tags), k=3, tile=tile)
        assert found.tolist() == slow_nearest(features, photo, tags, 3).tolist()


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


def test_stage_refuses_features_that_are_not_finite(tmp_path):
    with pytest.raises(UserError, match=r"mil0.zarr.zip holds features that are not finite"):
        run(stores(tmp_path, np.full((4, 2), np.nan, np.float16)), Config(), Job())
