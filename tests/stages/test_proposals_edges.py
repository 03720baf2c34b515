"""Proposals led by learned edges and salient instances: trees, weights, stores by hand; without, all is as before."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import ROOT
from PIL import Image
from proposals_squares import SMALL, two_squares
from scipy import sparse

from stages.proposals import cues, predict, ranking, run, trees
from stages.proposals.config import Config
from stages.proposals.hierarchy import propose
from stages.saliency.packaged import PACKAGE
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.errors import UserError
from tag2mask.run import recipes
from tag2mask.run.config import parse
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan
from tag2mask.run.registry import alone
from tag2mask.store.packaged import packaged_file

LED = SMALL.model_copy(update={"edges": True, "trees": ("edges", "edges+colour")})
installed = pytest.mark.skipif(packaged_file(PACKAGE, "u2netp.onnx") is None, reason="needs Python below 3.13")


def slow_tree(edges, length, strength, sizes, power):
    """Parents by looking at all pairs of regions before every merge."""
    groups = {k: {k} for k in range(len(sizes))}
    parents = np.arange(2 * len(sizes) - 1)
    for new in range(len(sizes), len(parents)):
        pairs = []
        for a in groups:
            for b in groups:
                across = [k for k, (i, j) in enumerate(edges) if {i, j} & groups[a] and {i, j} & groups[b]]
                if a < b and across:
                    mean = (length * strength)[across].sum() / length[across].sum()
                    smaller = min(sum(sizes[k] for k in groups[one]) for one in (a, b))
                    pairs.append((mean * smaller**power, a, b))
        _, a, b = min(pairs)
        groups[new] = groups.pop(a) | groups.pop(b)
        parents[[a, b]] = new
    return parents.tolist()


PATH = np.array([[0, 1], [1, 2], [2, 3]])


def test_small_regions_go_first_by_hand():
    given = PATH, np.ones(3), np.array([1.0, 2, 1.5]), np.array([16, 16, 1, 1])
    # 1, 2, 1.5: 0 with 1, then 2 with 3
    assert trees.balanced_tree(*given, power=0).tolist() == [4, 4, 5, 5, 6, 6, 6]
    # 4, 2, 1.5: 2 with 3; then 4 and 2 x sqrt(2): 1 with both
    assert trees.balanced_tree(*given, power=0.5).tolist() == [6, 5, 4, 4, 5, 6, 6]


def test_boundaries_of_merged_regions_are_means_by_length():
    edges = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])
    # once 0 and 1 are one, (3 x 2 + 6) / 4 = 3 is below the 4 between 2 and 3
    made = trees.balanced_tree(edges, np.array([1.0, 3, 1, 1]), np.array([1.0, 2, 6, 4]), np.ones(4), power=1)
    assert made.tolist() == [4, 4, 5, 6, 5, 6, 6]


@pytest.mark.parametrize("power", [0, 0.25, 1])
def test_trees_as_the_slow_version(power):
    rng = np.random.default_rng(4)
    for _ in range(3):
        extra = np.sort(rng.choice(11, (9, 2)), 1)
        edges = np.unique(np.concatenate([extra[extra[:, 0] < extra[:, 1]], [[k, k + 1] for k in range(10)]]), axis=0)
        length, strength = rng.integers(1, 9, len(edges)).astype(float), rng.random(len(edges))
        sizes = rng.integers(1, 200, 11)
        made = trees.balanced_tree(edges, length, strength, sizes, power=power)
        assert made.tolist() == slow_tree(edges.tolist(), length, strength, sizes, power)


def test_a_tree_for_each_power_and_one_of_the_colours():
    contours = {"boundary": np.array([3.0, 2, 1]), "edges": np.array([1.0, 2, 1.5])}
    grown = trees.grow(
        ("edges", "boundary", "lab"), {"lab": np.array([[0.0], [5], [6], [8]])}, edges=PATH, length=np.ones(3),
        contours=contours, sizes=np.array([16, 16, 1, 1]), powers=(0.0, 0.5),
    )  # fmt: skip
    assert [one.tolist() for one in grown[:3]] == [[4, 4, 5, 5, 6, 6, 6], [6, 5, 4, 4, 5, 6, 6], [6, 5, 4, 4, 5, 6, 6]]
    assert len(grown) == 4


def test_given_sets_are_candidates_by_hand():
    """The chain ((0, 1), 2), 3 of test_proposals, and 1 with 2, which is no node; 1 alone is too small."""
    chain = [np.array([4, 4, 5, 6, 5, 6, 6])]
    given = np.array([[0, 1, 1, 0], [1, 1, 1, 0], [0, 1, 0, 0]], bool)
    graph = dict(
        sizes=np.array([8, 8, 16, 32]), edges=PATH, length=np.full(3, 2.0), strength=np.array([1.0, 2, 3]),
        border=np.array([0.0, 0, 4, 0]), min_area=16,
    )  # fmt: skip
    sets, area, weight = trees.candidates(chain, contour_power=0.0, given=given, **graph)
    assert area.tolist() == [64, 32, 32, 24, 16, 16]
    assert sets.toarray().astype(int).tolist()[3] == [0, 1, 1, 0]
    octave = np.log(2)  # what a given set stays as it is, beside a node's own
    assert weight[[2, 3]] == pytest.approx([octave / 2 + octave / 2, 24 / 64 * octave])
    made = trees.sets(given, np.arange(1, 5, dtype=np.uint64), stays=octave, **graph)
    # sides of 2 with 1 and 3, and 4 pixels on the photo's border, whose contrast is 0; the side of 3, the same border
    assert made[1].tolist() == [24, 32] and made[2].tolist() == [5, 6] and made[4] == pytest.approx([8 / 8, 6 / 6])


def test_superpixels_half_inside():
    labels = np.array([[0, 0, 1, 1, 2]])
    masks = np.array([[[1, 0, 0, 0, 0]], [[0, 1, 1, 1, 0]]], bool)
    assert cues.covered(labels, masks).tolist() == [[True, False, False], [True, True, False]]
    assert cues.covered(labels, masks[:0]).shape == (0, 3)


def test_what_overlaps_a_salient_instance_comes_early_by_hand():
    sizes = np.array([4, 4, 8])
    sets = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32)
    area = sets @ sizes
    leader = np.array([[1, 0, 0], [0, 0, 0]], bool)
    factor = ranking.leading(sparse.csr_matrix(sets), area, leader[:1], sizes, lead=3)
    assert factor.tolist() == [2.5, 1, 4, 1]  # 1 + 3 x IoU: 4 / 8, 0, 1, 0
    weight = trees.weigh(np.array([0.5, 0.5, 0.25, 0.25]), area, factor, power=1)
    assert weight == pytest.approx([5 / 7, 2 / 7, 0.4, 0.1])  # octaves of 8 and 4 pixels keep 1 and 0.5
    order = ranking.rank(ranking.overlaps(sparse.csr_matrix(sets), area, sizes), weight, count=4, nms_iou=0.7)
    # gains: 5 / 7 + 0.5 x 0.5, 2 / 7, 0.4 + 5 / 14, 0.1 + 5 / 14; then 2 / 7, 0.2, 0.05
    assert order.tolist() == [0, 1, 2, 3]
    plain = ranking.rank(ranking.overlaps(sparse.csr_matrix(sets), area, sizes), factor * 0.1, count=1, nms_iou=0.7)
    assert plain.tolist() == [2]  # 0.4 + 0.5 x 0.25 against 0.25 + 0.5 x (0.4 + 0.1)


def plain_photo(seed=0):
    """A grey photo of faint noise, the outline of a square that its colours do not show, and the square."""
    photo = (128 + np.random.default_rng(seed).integers(0, 3, (48, 48, 3))).astype(np.uint8)
    square = np.zeros((48, 48), bool)
    square[12:30, 20:40] = True
    outline = np.zeros((48, 48), np.float16)
    outline[12:30, 20:40] = 1
    outline[14:28, 22:38] = 0
    return photo, outline, square


def best_iou(found, mask):
    membership, labels, _ = found
    masks = membership[:, labels]
    return ((masks & mask).sum((1, 2)) / (masks | mask).sum((1, 2))).max()


def test_learned_edges_find_what_colours_do_not_show():
    photo, outline, square = plain_photo()
    assert best_iou(propose(photo, config=SMALL), square) < 0.6
    assert best_iou(propose(photo, config=LED, boundaries=outline), square) > 0.75
    assert best_iou(propose(photo, config=LED, boundaries=outline[::2, ::2]), square) > 0.7  # of cells that tile it


def test_a_salient_instance_is_a_proposal():
    photo, masks = two_squares()
    both = masks.any(0)
    config = SMALL.model_copy(update={"salient": True})
    assert best_iou(propose(photo, config=SMALL), both) < 0.7  # apart as they are, no tree joins them
    assert best_iou(propose(photo, config=config, salient=both[None]), both) > 0.9
    without = propose(photo, config=config, salient=np.zeros((0, 48, 48), bool))
    assert all((a == b).all() for a, b in zip(without, propose(photo, config=SMALL)))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 3), (2, 30)])
def test_hard_photos(size):
    """One colour, no edge, everything salient: the whole photo."""
    config = Config(edges=True, salient=True, trees=("edges", "lab"))
    made = propose(
        np.full((*size, 3), 90, np.uint8), config=config, boundaries=np.zeros(size), salient=np.ones((1, *size), bool)
    )
    assert made[0].all(1).any() and made[1].shape == size


def test_without_edges_all_is_as_before():
    """Bit for bit: the digest is that of the code before edges came."""
    y, x = np.mgrid[:120, :160]
    photo = np.stack([x, y, 90 + 40 * np.sin(x / 9) * np.cos(y / 7)], 2).astype(np.uint8)
    photo[(y - 50) ** 2 + (x - 60) ** 2 < 900] = (200, 60, 40)
    photo[80:100, 90:140] //= 2
    made = propose(photo, config=Config(min_area=20), boundaries=np.eye(120), salient=np.ones((1, 120, 160), bool))
    membership, labels, score = made
    runs = np.concatenate(cues.run_lengths(membership, labels))
    assert hashlib.sha256(runs.tobytes() + score.tobytes()).hexdigest()[:16] == "997190b9c629419a"


@pytest.fixture
def inputs(tmp_path):
    """Paths of an index of two training photos and one for validation, of their edges and of salient instances."""
    photo, outline, square = plain_photo()
    maps, instances = MapsBuilder(np.float16), InstancesBuilder({})
    (tmp_path / "photos").mkdir()
    for name in "abc":
        Image.fromarray(photo).save(tmp_path / "photos" / f"{name}.png")
        maps.add(name, square.shape, [(0, outline)] if name == "a" else [])
        instances.add(name, square.shape, square.T[None], category=0, score=[1.0])
    index = Index.build(
        tmp_path / "photos", {1: "square"}, image_id=list("abc"), path=[f"{name}.png" for name in "abc"],
        size=[(48, 48)] * 3, tags=[(1,)] * 3, train=[True, True, False], val=[False, False, True], shards=2,
    )  # fmt: skip
    paths = {name: tmp_path / f"{name}.zarr.zip" for name in ("index", "edges", "salient")}
    for made, path in zip((index, maps.finish(), instances.finish()), paths.values()):
        made.save(path)
    return SimpleNamespace(**paths)


def test_stores_lead_the_proposals_of_a_shard(inputs):
    config = LED.model_copy(update={"salient": True})
    photo, outline, square = plain_photo()
    table = run(inputs, config, Job(shard=0, shards=2))["proposals"]
    membership, labels, score = propose(photo, config=config, boundaries=outline, salient=square.T[None])
    assert (table.masks(0) == membership[:, labels]).all() and (table.score == score).all()


def test_photos_without_edges(inputs):
    """As where a folder of maps made elsewhere lacks them: a training photo is an error, validation photos warn."""
    with pytest.raises(UserError, match=r"^The edges hold no map of the photo b: add it, or set proposals\.edges: fal"):
        run(inputs, LED, Job(shard=1, shards=2))
    job = Job()
    held_out = SimpleNamespace(index=inputs.index, held_out_edges=inputs.edges)
    assert len(predict(held_out, LED, job)["held_out"]) == 0
    assert len(job.warnings) == 1 and "1 of 1 validation photos have no edges, the first is c" in job.warnings[0]


def test_stores_that_are_missing_are_one_sentence(inputs):
    for key, stage in (("edges", "edges"), ("salient", "saliency")):
        config = SMALL.model_copy(update={key: True})
        with pytest.raises(
            UserError, match=rf"^proposals\.{key} needs what the stage {stage} makes, .*{stage}: \.\.\."
        ):
            run(SimpleNamespace(index=inputs.index), config, Job(shard=0))
    other = InstancesBuilder({})
    other.add("z", (48, 48), np.zeros((0, 48, 48), bool), category=0, score=[])
    other.finish().save(inputs.salient)
    with pytest.raises(UserError, match=r"^The store of the stage saliency lacks the photo a: build it again\.$"):
        run(inputs, SMALL.model_copy(update={"salient": True}), Job(shard=0, shards=2))


def test_the_configuration_is_held():
    for values, part in [
        ({"trees": ["edges"]}, "the tree 'edges' needs `edges: true`"),
        ({"edge_powers": [-0.5]}, "edge_powers must not be below 0"),
    ]:
        with pytest.raises(UserError, match=part):
            parse(Config, values, where="proposals")


def declared(**more):
    given = yaml.safe_load((ROOT / "config/recipes.yaml").read_text())
    return Plan.load({**given, "show": ["cim_edges"], **more})


def test_what_is_read_and_what_it_rests_on():
    plan = declared()
    reads = {name: read.what for name, read in plan.reads("proposals", "edges", "predict").items()}
    assert reads == {"held_out_edges": "edges.held_out", "held_out_salient": "saliency.held_out_salient"}
    assert {"edges", "salient"} <= {picture.maps for picture, _, _ in recipes.pictures(plan)}
    assert plan.reads("proposals", "default") == {} and plan.section("proposals", "default")["config"]["upstream"] == {}
    upstream = plan.section("proposals", "edges")["config"]["upstream"]
    assert upstream["edges"]["side"] == 320 and upstream["saliency"]["source"] == "u2netp"
    for recipe in ("cim_edges", "liid_edges"):
        assert recipes.extras(plan, recipe) == [
            "edges of HED (trained on BSDS500 boundaries)", "saliency of U2-Netp (trained on masks of DUTS)",
        ]  # fmt: skip
    imported = declared(proposals={"source": "mat", "path": "x"})  # nothing leads what was made elsewhere
    assert imported.reads("proposals", "edges") == {}


@installed
def test_any_photo_outside_a_run():
    """Edges and salient instances are made on the way, by the keys that the run's section hands on."""
    section = declared().section("proposals", "edges")["config"]
    photo = two_squares(96)[0]
    boundaries = alone("edges.edges")(photo, section["upstream"]["edges"])
    salient, _ = alone("saliency.salient")(photo, section["upstream"]["saliency"])
    membership, labels, _ = propose(photo, config=Config(**section), boundaries=boundaries, salient=salient)
    found, _ = alone("proposals.proposals")(photo, section)
    assert (rle.decode(found, labels.shape) == membership[:, labels]).all()
    section["upstream"]["edges"] = {"source": "folder", "path": "x"}
    with pytest.raises(UserError, match=r"^edges\.path, x, has no map of a photo of no run"):
        alone("proposals.proposals")(photo, section)
    section["upstream"] = {"edges": {"side": 64}, "saliency": {"source": "folder", "path": "x"}}
    with pytest.raises(UserError, match=r"^saliency\.path, x, has nothing of a photo of no run"):
        alone("proposals.proposals")(photo, section)
