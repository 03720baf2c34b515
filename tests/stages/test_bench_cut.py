"""The benchmarks of the cut and of the neighbours on tiny sizes: generators, plain peers, resuming, the page."""

import numpy as np
import pytest
import torch
from scipy import sparse

from benchmarks import cut, cut_peers, cut_problems, cut_tables, neighbours
from stages.graph_cut.solve import solve


def test_generated_problems_are_as_the_card_says():
    problem = cut_problems.generate("dup", 20_000, width=16, seed=1)
    count = np.array([len(own) for own in problem.tags])
    # 1,000 photos: shares .62 .27 .08 .03, standard errors below .016
    assert np.bincount(count, minlength=5)[1:] / 1000 == pytest.approx([0.62, 0.27, 0.08, 0.03], abs=0.05)
    assert (problem.truth == 0).mean() == pytest.approx(0.5, abs=0.03)
    own = cut_problems.allowed_labels(problem)
    assert own[np.arange(20_000), problem.truth].all() and (own.sum(1) == 1 + count[problem.photo]).all()
    assert problem.prob.sum(1) == pytest.approx(1, abs=1e-5)
    # three of four proposals are judged by their class, with a margin of 4.8 on average
    assert (problem.prob.argmax(1) == problem.truth).mean() == pytest.approx(0.7, abs=0.06)
    assert np.linalg.norm(problem.features.astype(float), axis=1) == pytest.approx(1, abs=2e-3)
    assert (problem.features >= 0).all()


def test_generated_problems_repeat_and_grow():
    small, large = (cut_problems.generate("noisy", n, width=8, seed=3) for n in (200, 6000))
    for name in ("features", "prob", "truth"):
        assert (getattr(small, name) == getattr(large, name)[:200]).all()
    other = cut_problems.generate("noisy", 200, width=8, seed=4)
    assert (small.prob != other.prob).any() and small.tags == large.tags[:10]
    bare = cut_problems.generate("noisy", 200, width=8, seed=3, features=False)
    assert len(bare.features) == 0 and (bare.prob == small.prob).all()


def test_coco_has_persons_and_sparse_labels():
    problem = cut_problems.generate("nodup", 40_000, width=4, shape=cut_problems.COCO, features=False)
    assert problem.prob.shape == (40_000, 81) and len(problem.tags) == 1000
    assert 0.4 < np.mean([1 in own for own in problem.tags]) < 0.65
    assert 2.5 < np.mean([len(own) for own in problem.tags]) < 3.3
    own, allowed = cut_problems.own_labels(problem), cut_problems.allowed_labels(problem)
    dense = np.zeros(own.shape, bool)
    dense[np.repeat(np.arange(40_000), np.diff(own.indptr)), own.indices] = True
    assert (dense == allowed).all() and own.data == pytest.approx(problem.prob[allowed])


def test_peers_by_hand():
    """A triangle whose nodes may have {0, 1}, {1, 2}, {0, 2}; every edge weighs 1.

    p 0: .6 .4; 1: .7 .3; 2: .1 .9. Costs 0: .4 .6; 1: .3 .7; 2: .9 .1. Labels 0, 1, 2: .4 + .3 + .1 + 3 edges = 3.8;
    1, 1, 2: .6 + .3 + .1 + 2 = 3.0; 0, 2, 2: .4 + .7 + .1 + 2 = 3.2; 0, 1, 0: .4 + .3 + .9 + 2 = 3.6.
    """
    prob = sparse.csr_matrix(([0.6, 0.4, 0.7, 0.3, 0.1, 0.9], [0, 1, 1, 2, 0, 2], [0, 2, 4, 6]), shape=(3, 3))
    edges, weight = np.array([[0, 1], [1, 2], [0, 2]]), np.ones(3)
    label, energy, done = cut_peers.plain_pulp(prob, edges, weight, time_limit=30)
    assert done and label.tolist() == [1, 1, 2] and energy == pytest.approx(3.0)
    _, relaxed, done = cut_peers.matrix_lp(prob, edges, weight, time_limit=30)
    # halves everywhere: costs 3 x .5, every edge cut by half: 3.0 as well
    assert done and relaxed == pytest.approx(3.0)
    assert cut_peers.matrix_lp(prob, edges, 0 * weight, time_limit=30)[1] == pytest.approx(0.4 + 0.3 + 0.1)


def test_the_solver_agrees_with_both_peers():
    problem = cut_problems.generate("nodup", 400, width=32)
    made = cut_problems.edge_table(problem, cut_problems.neighbour_lists(problem))
    edges, weight = made["edges"].astype(np.int64), 5.0 * np.abs(made["cosine"].astype(np.float64))
    prob = cut_problems.own_labels(problem)
    solution = solve(prob, None, edges, weight)
    own = cut_peers.energy(solution.label, cut_peers.costs(prob), edges, weight)
    _, pulp, done = cut_peers.plain_pulp(prob, edges, weight, time_limit=60)
    _, relaxed, ended = cut_peers.matrix_lp(prob, edges, weight, time_limit=60)
    assert done and ended and own == pytest.approx(pulp, rel=1e-7) and own == pytest.approx(relaxed, rel=1e-7)


def test_bench_cut_resumes_and_writes_its_page(tmp_path):
    todo = cut.cases(small=100, middle=200, large=400, coco=400, regimes=("dup",))
    kept = [case for case in todo if case.labels == "tags" and case.neighbours == "mutual"]
    assert [case.peer for case in kept] == ["", "pulp", "lp", ""]
    said = []
    for case in kept:
        cut.prepare(case, tmp_path)

    def here(case, folder, repeats):
        return cut.measure(case, folder, repeats=repeats)

    results = cut.run(kept, folder=tmp_path, repeats=2, start=here, log=said.append)
    assert len(said) == 4 and all(found["gap"] <= 1e-6 for found in results.values())
    for found in (results[kept[1]], results[kept[2]]):
        assert found["peer_done"] and found["own_energy"] == pytest.approx(found["peer_energy"], rel=1e-6)
    again = cut.run(kept, folder=tmp_path, repeats=2, start=here, log=said.append)
    assert len(said) == 4 and again == results  # nothing was measured twice
    one = cut.run(kept[:1], folder=tmp_path, repeats=2, fresh={kept[0].name}, log=said.append)[kept[0]]
    assert len(said) == 5  # measured again, in processes of its own
    assert one["energy"] == results[kept[0]]["energy"] and 10 < one["before_mb"] < one["peak_mb"] < 400
    page = cut_tables.text(results, command="a command")
    assert "| dup | mutual | tags |" in page and "COCO's shape: 400 nodes" in page and "Growth" in page
    assert "times as fast" not in page  # the bar speaks of other sizes


def test_verdicts_of_the_bar():
    own = cut.Case("dup", 200_000, "mutual", "tags")
    found = dict(gap=0.0, status="optimal", seconds=[0.9, 1.2, 0.8], peak_mb=400.0)
    assert cut_tables.bar({own: found}).count(", reached") == 2
    assert "**not reached**" in cut_tables.bar({own: found | {"seconds": [1.2]}})
    assert "**not reached**" in cut_tables.bar({own: found | {"status": "time_limit"}})
    peer = cut.Case("dup", 2_000, "mutual", "all", peer="pulp")
    slow = found | {"seconds": [1.0], "peer_seconds": [99.0], "peer_done": True}
    assert "least 99, **not reached**" in cut_tables.bar({peer: slow})
    assert "least > 150, reached" in cut_tables.bar({peer: slow | {"peer_seconds": [150.0], "peer_done": False}})


def test_bench_neighbours_agrees_with_its_peer(tmp_path):
    neighbours.prepare(400, 16, tmp_path)
    said, cases, threads = [], [(400, 16, "tags")], torch.get_num_threads()
    for _ in range(2):
        rows = neighbours.rows_of(
            cases, folder=tmp_path, sample=50, threads=threads, fresh=False, start=neighbours.measure, log=said.append
        )
    difference = np.array(rows[0]["ours"]["cosine"]) - np.array(rows[0]["peer"]["cosine"])
    assert difference.shape == (50, 3) and np.abs(difference).max() < 1e-5 and len(said) == 2
    assert "| 400 x 16 | tags |" in neighbours.text(rows, command="a command", sample=50, threads=1)
