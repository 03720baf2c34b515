"""What is no multi-way cut is refused with one sentence; a lack of time is told; an interrupt leaves nothing."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cut_reference import energy, ring, union

from stages.graph_cut.solve import solve
from tag2mask.cli import main
from tag2mask.errors import UserError

FINE = dict(
    prob=np.full((3, 2), 0.5),
    allowed=np.ones((3, 2), bool),
    edges=np.array([[0, 1], [1, 2]]),
    weight=np.array([0.2, 0.3]),
)


def changed(name, at, value):
    array = FINE[name].copy()
    array[at] = value
    return {name: array}


WRONG = {
    "p is NaN": changed("prob", (1, 0), np.nan),
    "p is infinite": changed("prob", (1, 0), np.inf),
    "p is minus infinite": changed("prob", (1, 0), -np.inf),
    "p is negative": changed("prob", (2, 1), -1e-9),
    "p is a vector": dict(prob=np.ones(3)),
    "p has three axes": dict(prob=np.ones((3, 2, 1))),
    "p has no label": dict(prob=np.ones((3, 0)), allowed=np.ones((3, 0), bool)),
    "p is text": dict(prob=np.full((3, 2), "a")),
    "p is complex": dict(prob=np.full((3, 2), 0.5 + 1j)),
    "weight is NaN": changed("weight", 0, np.nan),
    "weight is infinite": changed("weight", 0, np.inf),
    "weight is negative": changed("weight", 1, -0.1),
    "a loop's weight is negative": dict(edges=np.array([[0, 1], [2, 2]]), weight=np.array([0.2, -0.3])),
    "a loop's weight is NaN": dict(edges=np.array([[0, 1], [2, 2]]), weight=np.array([0.2, np.nan])),
    "weights cancel out": dict(edges=np.array([[0, 1], [1, 0]]), weight=np.array([0.5, -0.3])),
    "weights add up beyond all floats": dict(edges=np.array([[0, 1], [1, 0]]), weight=np.array([1e308, 1e308])),
    "p adds up beyond all floats": dict(prob=np.full((3, 2), 1e308)),
    "weight has two columns": dict(weight=np.ones((2, 2))),
    "a weight too many": dict(weight=np.ones(3)),
    "weight is text": dict(weight=np.array(["a", "b"])),
    "an edge leaves the graph": changed("edges", (1, 1), 3),
    "an edge comes from -1": changed("edges", (1, 1), -1),
    "edges of three nodes": dict(edges=np.array([[0, 1, 2], [0, 1, 2]])),
    "edges are fractions": dict(edges=np.array([[0.5, 1], [1, 2]])),
    "edges are a vector": dict(edges=np.array([0, 1])),
    "edges are booleans": dict(edges=np.array([[False, True], [True, False]])),
    "a node without label": dict(allowed=np.array([[1, 1], [0, 0], [1, 1]], bool)),
    "allowed of other labels": dict(allowed=np.ones((3, 3), bool)),
    "allowed of other nodes": dict(allowed=np.ones((2, 2), bool)),
    "allowed are fractions": dict(allowed=np.full((3, 2), 0.5)),
    "an unknown solver": dict(solver="best"),
    "time is NaN": dict(time_limit=float("nan")),
}


def is_one_sentence(text):
    return (
        text.strip().count("\n") == 0
        and text.strip().endswith(".")
        and 10 < len(text) < 400
        and "Traceback" not in text
    )


@pytest.mark.parametrize("name", WRONG)
def test_refused_with_one_sentence(name):
    with pytest.raises(UserError) as refused:
        solve(**{**FINE, **WRONG[name]})
    assert is_one_sentence(str(refused.value)), str(refused.value)


def test_the_problem_they_all_start_from_is_fine():
    assert solve(**FINE).status == "optimal"


# --- time ---


def many_rings(count):
    """A fractional problem of known optimum, as large as wanted: rings of 5 and of 7 (see `ring`)."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.2, 0.4, count)
    problem = union(*[ring(5 + 2 * (k % 2), w) for k, w in enumerate(weights)])
    sizes = 5 + 2 * (np.arange(count) % 2)
    return problem, float((sizes * 0.5 + weights * (sizes + 1) / 2).sum())


@pytest.mark.parametrize("limit", [0.0, 1e-3, 0.05, 0.3, -1.0])
def test_a_time_limit_is_told(limit):
    problem, least = many_rings(400)
    solution = solve(**problem, time_limit=limit)
    assert problem["allowed"][np.arange(len(solution.label)), solution.label].all()
    assert solution.energy == pytest.approx(energy(solution.label, **problem), rel=1e-9)
    assert solution.bound <= least * (1 + 1e-9) and solution.energy >= least * (1 - 1e-9)
    assert solution.bound >= 0  # p and weights are not negative, so this much is known for nothing
    assert solution.gap == pytest.approx((solution.energy - solution.bound) / solution.energy, abs=1e-9)
    assert solution.status == "time_limit" or (limit > 0.01 and solution.gap <= 1e-6)
    if limit <= 1e-3:
        assert solution.status == "time_limit"


def test_the_answer_without_time_is_no_worse_than_the_plain_argmax():
    problem, _ = many_rings(100)
    hurried, plain = solve(**problem, time_limit=0.0), solve(**problem, solver="argmax")
    assert plain.status == "argmax" and hurried.energy <= plain.energy + 1e-9


def test_a_problem_without_edges_needs_no_time_to_be_right():
    rng = np.random.default_rng(1)
    prob = rng.random((2000, 5))
    solution = solve(prob, np.ones((2000, 5), bool), np.zeros((0, 2), np.int64), np.zeros(0), time_limit=0.0)
    assert solution.bound <= prob.sum() - prob.max(1).sum() + 1e-9
    if solution.status == "optimal":
        assert solution.label.tolist() == prob.argmax(1).tolist()
    else:
        assert solution.status == "time_limit"


# --- command line ---


def command(*arguments, **options):
    words = [sys.executable, "-m", "tag2mask", "cut", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture
def graph(tmp_path):
    np.savez(tmp_path / "graph.npz", **union(ring(5, 0.4), FINE))
    return tmp_path / "graph.npz"


def called(capfd, *arguments):
    code = main(["cut", *map(str, arguments)])
    return code, *capfd.readouterr()


def test_there_and_back(graph, tmp_path, capfd):
    code, out, err = called(capfd, graph, "--out", tmp_path / "labels.npz")
    assert code == 0 and err == "" and out.count("\n") == 1 and "optimal" in out
    solution = solve(**np.load(graph))
    with np.load(tmp_path / "labels.npz", allow_pickle=False) as made:
        assert set(made.files) >= {"label", "energy", "bound", "status"}
        assert made["label"].dtype == np.int64 and made["label"].tolist() == solution.label.tolist()
        assert made["energy"] == solution.energy == pytest.approx(3.7 + 1.5) and made["bound"] == solution.bound
        assert made["status"] == "optimal"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph.npz", "labels.npz"]


def test_two_runs_write_the_same_bytes(graph, tmp_path):
    made = []
    for seed in ("1", "2"):
        done = command(graph, "--out", tmp_path / "labels.npz", env={**os.environ, "PYTHONHASHSEED": seed})
        assert done.returncode == 0, done.stderr
        made.append((tmp_path / "labels.npz").read_bytes())
        (tmp_path / "labels.npz").unlink()
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["p is NaN", "weight is negative", "a node without label", "an edge leaves the graph"])
def test_a_wrong_graph_is_refused_and_what_was_there_stays(name, tmp_path, capfd):
    np.savez(tmp_path / "graph.npz", **{**FINE, **WRONG[name]})
    (tmp_path / "labels.npz").write_bytes(b"older")
    code, out, err = called(capfd, tmp_path / "graph.npz", "--out", tmp_path / "labels.npz")
    assert code == 1 and out == "" and is_one_sentence(err)
    assert (tmp_path / "labels.npz").read_bytes() == b"older"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph.npz", "labels.npz"]


@pytest.mark.parametrize("bad", ["missing", "a folder", "text", "half a file", "npy", "empty"])
def test_what_is_no_graph_file(bad, graph, tmp_path, capfd):
    file = tmp_path / "bad.npz"
    if bad == "a folder":
        file.mkdir()
    elif bad == "npy":
        with file.open("wb") as stream:
            np.save(stream, np.ones(3))
    elif bad != "missing":
        whole = graph.read_bytes()
        file.write_bytes({"text": b"hello", "half a file": whole[: len(whole) // 2], "empty": b""}[bad])
    code, out, err = called(capfd, file, "--out", tmp_path / "labels.npz")
    assert code == 1 and out == "" and is_one_sentence(err) and "bad.npz" in err
    assert not (tmp_path / "labels.npz").exists()


def test_a_graph_file_with_damaged_bytes(graph, tmp_path, capfd):
    """A flipped byte in the middle of an array: zip's checksum sees it."""
    whole = bytearray(graph.read_bytes())
    whole[whole.index(b"NUMPY") + 140] ^= 255
    (tmp_path / "bad.npz").write_bytes(whole)
    code, out, err = called(capfd, tmp_path / "bad.npz", "--out", tmp_path / "labels.npz")
    assert code == 1 and out == "" and is_one_sentence(err)


@pytest.mark.parametrize("place", ["no/such/folder/labels.npz", "folder"])
def test_a_place_that_cannot_be_written(place, graph, tmp_path, capfd):
    (tmp_path / "folder").mkdir()
    code, out, err = called(capfd, graph, "--out", tmp_path / place)
    assert code == 1 and out == "" and is_one_sentence(err)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "graph.npz"]
    assert not any((tmp_path / "folder").iterdir())


def test_no_time_is_written_down(tmp_path, capfd):
    np.savez(tmp_path / "graph.npz", **many_rings(50)[0])
    code, out, err = called(capfd, tmp_path / "graph.npz", "--out", tmp_path / "labels.npz", "--time-limit", "0")
    assert code == 0 and err == "" and "time_limit" in out
    with np.load(tmp_path / "labels.npz") as made:
        assert made["status"] == "time_limit" and made["bound"] < made["energy"]


@pytest.mark.parametrize(
    "words", [(), ("--out",), ("--out", "x.npz", "--solver", "best"), ("--out", "x", "--time-limit", "a")]
)
def test_wrong_words_on_the_command_line(words, graph, capfd):
    with pytest.raises(SystemExit) as left:
        main(["cut", str(graph), *words])
    assert left.value.code == 2 and "usage" in capfd.readouterr().err


HARD = """
import os, signal, sys, threading
from tag2mask.cli import main
for again in range(6):  # on a busy machine the first ones may fall into imports that swallow them
    timer = threading.Timer(float(sys.argv[1]) + again, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
sys.exit(main(["cut", *sys.argv[2:]]))
"""


@pytest.mark.parametrize("after", [0.4, pytest.param(1.5, marks=pytest.mark.slow)])
def test_an_interrupt_leaves_no_file(after, tmp_path):
    """Ctrl-C while it works; the program is left without time to finish the dense component below by itself."""
    rng, n = np.random.default_rng(0), 160
    allowed = rng.permuted(np.tile([True, True, False, False, False], (n, 1)), axis=1)
    edges = np.argwhere(np.triu(rng.random((n, n)) < 0.2, 1))
    np.savez(
        tmp_path / "graph.npz",
        prob=allowed * 0.5,
        allowed=allowed,
        edges=edges,
        weight=rng.uniform(0.2, 0.3, len(edges)),
    )
    words = [
        sys.executable,
        "-c",
        HARD,
        after,
        tmp_path / "graph.npz",
        "--out",
        tmp_path / "labels.npz",
        "--time-limit",
        4,
    ]
    started = time.monotonic()
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120)
    print(
        f"ended {time.monotonic() - started:.1f} s after the start with {done.returncode}",
        done.stdout,
        done.stderr[-300:],
    )
    assert done.returncode not in (0, None)
    assert [p.name for p in tmp_path.iterdir()] == ["graph.npz"]


def test_an_interrupt_while_the_file_is_written(graph, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    assert main(["cut", str(graph), "--out", str(tmp_path / "labels.npz")]) == 130
    assert capsys.readouterr().err == "Interrupted: cut did not come to its end.\n"
    assert not (tmp_path / "labels.npz").exists()
    assert signal.getsignal(signal.SIGINT) is not None
