"""What LIID learns from and what it labels: filtered proposals in the training, salient instances in the graph."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stages import graph_cut, mil, pseudo_labels
from stages.graph_cut.config import Config as Cut
from stages.mil import samples
from stages.mil.config import Config
from stages.mil.shards import pairs
from stages.pseudo_labels.config import Config as Labels
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.run.job import Job

SIZE = (32, 48)
KEYS = {"backbone": "test_efficientnet", "weights": "none", "size": 64, "last_conv": False, "roi": 2, "keep": 2}


def masks(*columns):
    """(n, 32, 48) bool: vertical strips from .. to."""
    found = np.zeros((len(columns), *SIZE), bool)
    for mask, (first, stop) in zip(found, columns):
        mask[:, first:stop] = True
    return found


PROPOSALS = masks((0, 24), (2, 24), (24, 48), (24, 46))  # two on each half, in rank order
SALIENT = {"a": masks((0, 12), (36, 48)), "b": masks(), "c": masks((12, 24))}


@pytest.fixture
def inputs(tmp_path):
    """Photos a, b for training and c to be measured alone, of the tag 5, whose map is 1 on the left half."""
    proposals, salient, cam = InstancesBuilder({}), InstancesBuilder({}), MapsBuilder(np.float16)
    for name, found in SALIENT.items():
        Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
        proposals.add(name, SIZE, PROPOSALS, category=0)
        salient.add(name, SIZE, found, category=0)
        cam.add(name, SIZE, [(5, np.array([[1.0, 1.0, 0.0, 0.0]]))])
    Index.build(
        tmp_path, {5: "cat"}, image_id=list("abc"), path=[f"{name}.png" for name in "abc"], size=[SIZE] * 3,
        tags=[(5,)] * 3, train=[True, True, False], with_masks=[False, False, True],
    ).save(tmp_path / "index.zarr.zip")  # fmt: skip
    made = {"proposals": proposals.finish(), "salient": salient.finish(), "cam": cam.finish()}
    for name, artifact in made.items():
        artifact.save(tmp_path / f"{name}.zarr.zip")
    return SimpleNamespace(**{name: tmp_path / f"{name}.zarr.zip" for name in ("index", *made)})


@pytest.mark.parametrize(("select", "left"), [("ranking", [0, 2 / 48]), ("hcp", [0, 24 / 48])])
def test_it_learns_from_the_proposals_of_training_photos(inputs, select, left):
    """The first two of the ranking are both on the left half, HCP's one on each; photo c teaches nothing.

    R of the right half is its maximum 1 / 2 and its mean 1 / 16: below eta.
    """
    config = Config(**KEYS, nodes="salient", select=select)
    index = Index.load(inputs.index)
    found = samples.prepare(index, pairs(inputs.proposals, inputs.cam), [0, 5], config, Job())
    assert [sample.number for sample in found] == [0, 1]
    for sample in found:
        assert sample.shares[:, 0].tolist() == pytest.approx(left)
        assert sample.pseudo.tolist() == [1, int(left[1] < 0.5)]


def test_salient_instances_are_the_nodes_and_become_the_labels(inputs):
    """Two nodes of a, none of b, one of c, which is labelled though nothing is learned from it; proposals unread."""
    job = Job(shard=0)
    given = SimpleNamespace(index=inputs.index, salient=inputs.salient, cam=inputs.cam)
    table = mil.run(given, Config(**KEYS, scores="cam", nodes="salient"), job)["mil"]
    assert table["first"].tolist() == [0, 2, 2, 3] and table["row"].tolist() == [0, 1, 2]
    assert job.numbers == {"images": 3, "nodes": 3, "without_nodes": 1}
    # cells of 12 px, centres 6, 18, 30, 42: 1 in the first box, 0 in the fourth, (1 + 0.75) / 2 from 12 to 24
    assert table["p"][:, 1] == pytest.approx([1, 0, 0.875], abs=1e-3)
    table.save(inputs.index.with_name("mil.zarr.zip"))
    given = SimpleNamespace(
        index=inputs.index, mil=[inputs.index.with_name("mil.zarr.zip")], proposals=None, salient=[inputs.salient]
    )
    instances = graph_cut.run(given, Cut(solver="argmax"), Job())["instances"]
    assert instances.image_id == ["a", "b", "c"] and instances.first.tolist() == [0, 1, 1, 2]
    assert (instances.masks(0) == SALIENT["a"][:1]).all() and (instances.masks(2) == SALIENT["c"]).all()
    instances.save(inputs.index.with_name("cut.zarr.zip"))
    given = SimpleNamespace(index=inputs.index, instances=inputs.index.with_name("cut.zarr.zip"))
    labels = pseudo_labels.run(given, Labels(), Job())["labels"]
    assert labels.image_id == ["a", "b", "c"] and labels.category.tolist() == [5, 5]
