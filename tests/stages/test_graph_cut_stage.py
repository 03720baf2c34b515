"""The stage around the multi-way cut: terminal edges, labels allowed, instances, command line."""

import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from cut_problems import FRACTIONAL, NO_EDGES, NO_WEIGHT
from scipy import sparse

from stages.graph_cut import command as command_module
from stages.graph_cut import cut, run
from stages.graph_cut.config import Config
from tag2mask import cli
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.tables import Table
from tag2mask.run.job import Job


def test_terminal_edges_of_the_released_code():
    """A row of five: of the four largest p only those above the floor stay; a sure row keeps its largest alone."""
    prob = sparse.csr_array(np.array([[0.3, 0.25, 0.25, 0.15, 0.05], [0.95, 0.05, 1e-5, 2e-4, 3e-4]]))
    code = cut.with_terminals(prob, most=4, floor=1e-4, sure=0.9)
    assert code.toarray().tolist() == [[0.3, 0.25, 0.25, 0.15, 0], [0.95, 0, 0, 0, 0]] and code.nnz == 10
    assert cut.with_terminals(prob, floor=1e-4).toarray()[1].tolist() == [0.95, 0.05, 0, 2e-4, 3e-4]
    assert cut.with_terminals(prob, most=2).toarray()[0].tolist() == [0.3, 0.25, 0, 0, 0]
    assert cut.with_terminals(prob) is prob


def stores(folder, *, cosine):
    """Two photos of two shards with tags {5} and {5, 9}, two proposals each of which the first is kept; both linked."""
    categories = {5: "cat", 9: "dog"}
    index = Index.build(
        folder, categories, image_id=["a", "b"], path=["a.jpg", "b.jpg"], size=[[4, 6], [4, 6]],
        tags=[(5,), (5, 9)], train=[True, True], shards=2,
    )  # fmt: skip
    index.save(folder / "index.zarr.zip")
    p = [[[0.6, 0.4, 0.0]], [[0.2, 0.5, 0.3]]]
    for shard, name in enumerate("ab"):
        builder = InstancesBuilder(categories)
        masks = np.zeros((2, 4, 6), bool)
        masks[0, :2, :3], masks[1, 2:, 3:] = True, True
        builder.add(name, (4, 6), masks, category=0, score=[1.0, 0.5])
        builder.finish().save(folder / f"proposals{shard}.zarr.zip")
        arrays = dict(
            image_id=np.array([name]), first=np.array([0, 1]), row=np.array([shard]),
            p=np.array(p[shard], np.float32), f=np.ones((1, 2), np.float16),
        )  # fmt: skip
        Table("mil/1", arrays, {"labels": [0, 5, 9]}).save(folder / f"mil{shard}.zarr.zip")
    arrays = dict(edge=np.array([[0, 1]]), cosine=np.array([cosine], np.float32))
    Table("graph/1", arrays, {"nodes": 2}).save(folder / "edges.zarr.zip")
    return SimpleNamespace(
        index=folder / "index.zarr.zip", edges=folder / "edges.zarr.zip",
        mil=[folder / f"mil{k}.zarr.zip" for k in (0, 1)],
        proposals=[folder / f"proposals{k}.zarr.zip" for k in (0, 1)],
    )  # fmt: skip


def test_stage_gives_the_labelled_proposals(tmp_path):
    job = Job()
    made = run(stores(tmp_path, cosine=-1.0), Config(), job)
    instances, labels = made["instances"], made["labels"]
    assert labels["label"].tolist() == [5, 5] and labels.meta["status"] == "optimal"
    assert labels.meta["energy"] == pytest.approx(0.6 + 0.5)  # both background would cost 0.4 + 0.8
    assert instances.image_id == ["a", "b"] and instances.first.tolist() == [0, 1, 2]
    assert instances.category.tolist() == [5, 5] and instances.id.tolist() == [1, 2]
    assert instances.score == pytest.approx([0.4, 0.5])
    assert instances.bbox.tolist() == [[0, 0, 3, 2], [3, 2, 3, 2]]  # row 0 of the first store, row 1 of the second
    assert job.numbers["changed_by_cut"] == 0.5 and job.numbers["component_sizes"] == [[2, 3, 1]]
    assert job.numbers["label_share"] == {"cat": 1.0}
    assert len(job.warnings) == 1 and "label cat to 100.0 %" in job.warnings[0]


def test_stage_without_edges_is_the_argmax(tmp_path):
    inputs, job = stores(tmp_path, cosine=1.0), Job()
    del inputs.edges
    made = run(inputs, Config(solver="argmax"), job)
    assert made["labels"]["label"].tolist() == [0, 5] and made["labels"].meta["status"] == "argmax"
    assert made["instances"].first.tolist() == [0, 0, 1] and job.warnings == []


def test_stage_small_delta_follows_p(tmp_path):
    made = run(stores(tmp_path, cosine=1.0), Config(delta=0.1), Job())
    assert made["labels"]["label"].tolist() == [0, 5]


def test_stage_warns_at_the_time_limit(tmp_path):
    job = Job()
    run(stores(tmp_path, cosine=1.0), Config(time_limit=1e-9), job)
    assert job.numbers["status"] == "time_limit" and "time_limit of 1e-09 s" in job.warnings[0]


def test_labels_all_allows_what_no_tag_names(tmp_path):
    inputs = stores(tmp_path, cosine=1.0)
    index, table = Index.load(inputs.index), Table.load(inputs.mil[0], "mil/1")
    own = cut.allowed_pairs(table, index, np.array([0, 5, 9]), "tags")
    assert own.indices.tolist() == [0, 1] and own.data == pytest.approx([0.6, 0.4])
    every = cut.allowed_pairs(table, index, np.array([0, 5, 9]), "all")
    assert every.indices.tolist() == [0, 1, 2] and every.data == pytest.approx([0.6, 0.4, 0.0])
    keywords = cut.allowed_pairs(table, index, np.array([0, 5, 9]), "keywords")
    assert keywords.indices.tolist() == [1] and keywords.data == pytest.approx([0.4])


def test_the_number_kept_is_the_floor_of_the_decimal():
    assert [cut.kept_of(r, 100) for r in (0.29, 0.57, 1.0, 0.0, 0.999)] == [29, 57, 100, 0, 99]
    assert cut.kept_of(0.6, 7) == 4  # 4.2


def command(*arguments):
    words = [sys.executable, "-m", "tag2mask", "cut", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True)


def test_command_line(tmp_path):
    np.savez(tmp_path / "graph.npz", **FRACTIONAL)
    done = command(tmp_path / "graph.npz", "--out", tmp_path / "labels.npz")
    assert done.returncode == 0 and "optimal" in done.stdout
    with np.load(tmp_path / "labels.npz") as labels:
        assert labels["label"].shape == (3,) and labels["status"] == "optimal"
        assert labels["energy"] == pytest.approx(2.9) and labels["bound"] == pytest.approx(2.9, abs=1e-6)


def test_the_example_of_the_help_runs(tmp_path):
    example = textwrap.dedent("".join(command_module.__doc__.split("column 0)")[1].partition("\n\n")[2]))
    words = [sys.executable, "-c", example]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.stderr == "" and done.stdout.splitlines()[-1] == example.splitlines()[-1].removeprefix("# ")
    assert len(example.strip().splitlines()) == 10


def test_command_line_partition_and_picture(tmp_path, capsys):
    prob = np.array([[0, 0.9], [0, 0.2], [0, 0.5]])
    np.savez(tmp_path / "graph.npz", prob=prob, allowed=np.ones((3, 2), bool), edges=NO_EDGES, weight=NO_WEIGHT)
    words = [tmp_path / "graph.npz", "--out", tmp_path / "labels.npz", "--picture", tmp_path / "graph.png"]
    assert cli.main(["cut", *map(str, words), "--solver", "partition", "--keep", "2", "--beta", "10"]) == 0
    with np.load(tmp_path / "labels.npz") as labels:
        assert labels["label"].tolist() == [1, 0, 1] and labels["energy"] == pytest.approx(10 * (0.9 + 0.5))
    assert (tmp_path / "graph.png").stat().st_size > 1000 and "optimal" in capsys.readouterr().out


def test_command_line_refuses_pickles_and_missing_arrays(tmp_path):
    np.savez(tmp_path / "graph.npz", **{**FRACTIONAL, "prob": np.array([[1], [{}]], object)})
    done = command(tmp_path / "graph.npz", "--out", tmp_path / "labels.npz")
    assert done.returncode == 1 and "cannot be read" in done.stderr and done.stderr.count("\n") == 1
    np.savez(tmp_path / "graph.npz", prob=FRACTIONAL["prob"])
    done = command(tmp_path / "graph.npz", "--out", tmp_path / "labels.npz")
    assert "lacks the array allowed" in done.stderr and not (tmp_path / "labels.npz").exists()
