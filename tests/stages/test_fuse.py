"""fuse: candidates, their worth and the program by hand and brute force; hard photos; the stage; what recipes say."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import ROOT

from stages import fuse
from stages.fuse.candidates import CONSENSUS, candidates, gathered, support, with_consensus
from stages.fuse.config import Config
from stages.fuse.photo import beside, fused, parted
from stages.fuse.program import chosen, unbeaten
from stages.fuse.worth import agreement, contrast, contrasts, features, kindred, odds, outlined
from tag2mask.data import rle
from tag2mask.data.index import Index
from tag2mask.data.instances import InstancesBuilder
from tag2mask.data.maps import MapsBuilder
from tag2mask.data.spans import Spans
from tag2mask.errors import UserError
from tag2mask.run import recipes
from tag2mask.run.job import Job
from tag2mask.run.plan import Plan

SIZE = (8, 16)


def strip(start, stop, size=SIZE):
    """bool of `size`, (8, 16): columns start to stop, 8 pixels each."""
    mask = np.zeros(size, bool)
    mask[:, start:stop] = True
    return mask


def given(*rows):
    """Candidates of rows (start, stop, category, source), score 0.5."""
    rows = np.array(rows).reshape(-1, 4)
    masks = np.array([strip(a, b) for a, b in rows[:, :2]]).reshape(-1, *SIZE)
    return candidates(rle.encode(masks), rows[:, 2], np.full(len(rows), 0.5, np.float32), rows[:, 3])


def table(photos, names=("a",)):
    """Instances of photos, each a list of (start, stop, category, score)."""
    builder = InstancesBuilder({1: "cat", 2: "dog"})
    for name, rows in zip(names, photos):
        masks = np.array([strip(a, b) for a, b, _, _ in rows]).reshape(-1, *SIZE)
        builder.add(name, SIZE, masks, category=np.array([r[2] for r in rows], int), score=[r[3] for r in rows])
    return builder.finish()


def test_overlaps_by_hand():
    """Of 4 and 6 columns 2 are common: IoU 2 / 8, 2 / 4 of the smaller; a mask without a pixel is no candidate."""
    found = given((0, 4, 1, 0), (3, 3, 1, 0), (2, 8, 1, 1))
    np.testing.assert_allclose(found.iou, [[1, 0.25], [0.25, 1]], rtol=1e-6)
    np.testing.assert_allclose(found.inside, [[1, 0.5], [0.5, 1]], rtol=1e-6)
    assert found.source.tolist() == [0, 1] and len(found.rles) == 2


def test_support_by_hand():
    """3 of 4 columns are common with the first of source 1; its second is of another class; source 2 is too far off."""
    found = given((0, 4, 1, 0), (0, 3, 1, 1), (0, 4, 2, 1), (0, 1, 1, 2))
    np.testing.assert_allclose(support(found, 3, at=0.5)[0], [1, 0.75, 0], rtol=1e-6)
    np.testing.assert_allclose(support(found, 3, at=0.25)[0], [1, 0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(support(found, 3, at=0.5, same=False)[0], [0, 1, 0], rtol=1e-6)


def test_agreement_by_hand():
    """Alone they count 2 + 1 + 1 x 0.5; as kin of share 0.5 the lesser two count half: (0.5 + 0.5 x 0.5) of 3."""
    said, trust = np.array([[0.0, 0.5, 0.5]]), np.array([2.0, 1.0, 1.0])
    np.testing.assert_allclose(agreement(said, trust, ["a", "b", "c"], share=0.5), [1 / 4])
    np.testing.assert_allclose(agreement(said, trust, ["a", "b", "b"], share=0.5), [(0.5 + 0.25) / (2 + 1.5)])
    np.testing.assert_allclose(agreement(said, trust, ["a", "b", "b"], share=0), [0.5 / 3])
    np.testing.assert_allclose(agreement(said, trust, ["a", "b", "b"], share=1), [1 / 4])
    assert agreement(np.ones((2, 1)), np.array([0.3]), ["a"], share=0.5).tolist() == [1, 1]  # a source alone


def test_kin_share_an_outline_directly_or_by_another():
    """The first and the third share nothing, the second has something of both; the fourth is alone."""
    assert kindred([["a"], ["a", "b"], ["b"], ["c"]]).tolist() == [0, 0, 0, 1]
    assert kindred([["bestie"], ["cim"]]).tolist() == [0, 1]


def test_kin_by_what_the_variants_read():
    """LIID's nodes are U2-Netp's instances, which lead the salient maps too; CIM's and PRM's masks are proposals."""
    declared = yaml.safe_load((ROOT / "config/recipes.yaml").read_text())
    declared["variants"]["fuse"]["boxes"] = {"from": {"graph_cut": "boxes", "match": "prm", "transfer": "joined"}}
    plan = Plan.load({**declared, "dataset": {"kind": "scenes"}, "show": ["fused"]})

    def of(variant):
        return plan.section("fuse", variant)["config"]["cut_from"]

    assert of("default") == {
        "bestie": ["semantic.default"], "cim": ["proposals.default"], "transfer": ["semantic.default"],
    }  # fmt: skip
    led = ["saliency.u2netp", "semantic.salient"]
    assert of("salient") == {"bestie": led, "graph_cut": ["saliency.u2netp"], "transfer": led}
    assert of("boxes") == {
        "graph_cut": ["proposals.default"], "match": ["proposals.default"], "transfer": ["semantic.default"],
    }  # fmt: skip
    Config(**plan.section("fuse", "salient")["config"])  # as the job reads it


def test_the_consensus_has_what_half_of_the_votes_say():
    """Columns 0 to 5, 0 to 6, 1 to 6: of three equal votes two say 0 to 6; a first of 2.5 decides."""
    found = given((0, 5, 1, 0), (0, 6, 1, 1), (1, 6, 1, 2), (8, 12, 1, 0), (0, 5, 2, 0))
    made = with_consensus(found, [1, 1, 1], at=0.5)
    assert len(made.rles) == 6 and made.source[5] == CONSENSUS and made.category[5] == 1 and made.score[5] == 0.5
    assert np.array_equal(rle.decode(made.rles[5:], SIZE)[0], strip(0, 6))
    made = with_consensus(found, [2.5, 1, 1], at=0.5)
    assert np.array_equal(rle.decode(made.rles[5:], SIZE)[0], strip(0, 5))
    assert with_consensus(found, [1, 1, 1], at=0.99) is found  # nobody agrees


def test_what_half_of_the_votes_say_pixel_by_pixel():
    rng = np.random.default_rng(0)
    for _ in range(20):
        masks = rng.random((6, 5, 7)) < 0.5
        masks[:, 0, 0] = True
        votes = rng.choice([0, 0.1, 0.3, 1.0], (9, 6)) + np.eye(9, 6)
        votes[6:, 0] += 0.7
        shares = np.tensordot(votes, masks.astype(float), 1)
        found = rle.decode(Spans.of(rle.encode(masks)).agreed(votes), (5, 7))
        assert np.array_equal(found, 2 * shares >= votes.sum(1)[:, None, None] - 1e-9)


def test_contrast_by_hand():
    """The mask of 4 columns has 3 of the map's 4; its box, a half wider each way, 4 more columns, one of the map's."""
    spans = Spans.of(rle.encode(strip(4, 8)[None]))
    boxes = rle.to_bbox(rle.encode(strip(4, 8)[None]))
    values = strip(5, 9).astype(np.float32)
    np.testing.assert_allclose(contrast(spans, boxes, values, margin=0.5), [3 / 4 - 1 / 4], rtol=1e-6)
    whole = rle.encode(np.ones((1, *SIZE), bool))
    spans = Spans.of(whole)
    np.testing.assert_allclose(contrast(spans, rle.to_bbox(whole), values, margin=0.5), [0.25], rtol=1e-6)


def test_the_outline_by_hand():
    """Columns 4 to 8 of ones: of rows 0 to 8 the outline is 3 pixels wide, columns 3 to 8 but none between."""
    edges = np.zeros(SIZE, np.float32)
    edges[:, [3, 4, 7, 8]] = 0.5
    found = given((4, 8, 1, 0), (10, 14, 1, 0))
    # a pixel is on the outline where its window of 3 x 3 has pixels of both: columns 3, 4, 7 and 8
    np.testing.assert_allclose(outlined(found, edges), [0.5 - 0.25, 0], atol=1e-6)
    np.testing.assert_allclose(outlined(found, np.full(SIZE, 0.7, np.float32)), [0, 0], atol=1e-6)


def test_a_map_speaks_of_its_own_class():
    found = given((0, 4, 1, 0), (0, 4, 2, 0))
    one = np.ones(SIZE, np.float32)
    assert contrasts(found, {1: strip(0, 4).astype(np.float32), 2: one}, margin=0.5).tolist() == [1, 0]
    assert contrasts(found, {0: strip(0, 4).astype(np.float32)}, margin=0.5).tolist() == [1, 1]
    assert contrasts(found, {1: strip(0, 4).astype(np.float32)}, margin=0.5).tolist() == [1, 0]


def test_the_odds_are_linear():
    found = given((0, 4, 1, 0), (0, 4, 2, 1))
    config = Config(weight_agreement=4, weight_dispute=-2, weight_score=1, price=1, weight_cam=3)
    seen = features(found, [1, 3], ["a", "b"], {"cam": {2: strip(0, 4)}}, config=config)
    assert {name: values.tolist() for name, values in seen.items()} == {
        "agreement": [0.25, 0.75], "dispute": [0.75, 0.25], "score": [0.5, 0.5], "cam": [0, 1],
    }  # fmt: skip
    np.testing.assert_allclose(odds(seen, config), [1 - 1.5 + 0.5 - 1, 3 - 0.5 + 0.5 - 1 + 3])


def test_the_program_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(40):
        n = int(rng.integers(1, 10))
        worth, tag, reward = rng.normal(size=n).round(1), rng.integers(0, 3, n), rng.random()
        conflict = rng.random((n, n)) < 0.3
        conflict |= conflict.T
        earned = {}
        for x in (np.array(flags, bool) for flags in itertools.product([0, 1], repeat=n)):
            if not np.triu(conflict[np.ix_(x, x)], 1).any():
                earned[x.tobytes()] = worth[x].sum() + reward * len(np.unique(tag[x]))
        found = chosen(worth, conflict, tag, reward=reward)
        assert earned[found.tobytes()] == pytest.approx(max(earned.values()), abs=1e-6)


def test_a_tag_pays_for_its_one_candidate_only():
    apart = np.zeros((3, 3), bool)
    assert chosen([-1, -0.5, -3], apart, [1, 1, 2], reward=2).tolist() == [False, True, False]
    assert chosen([2, 1], np.ones((2, 2), bool), [1, 2], reward=0).tolist() == [True, False]
    assert chosen([2, 1, 1.5], np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], bool), [1, 1, 1], reward=1).tolist() == [
        False, True, True,
    ]  # fmt: skip
    assert chosen([], np.zeros((0, 0), bool), [], reward=1).tolist() == []


def test_what_is_beaten_by_hand():
    """The second conflicts with what the first does and is worth less; the third conflicts with nothing else."""
    conflict = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    assert unbeaten(np.array([2.0, 1.0, 0.5]), conflict, np.array([1, 1, 1])).tolist() == [True, False, True]
    assert unbeaten(np.array([2.0, 1.0, 0.5]), conflict, np.array([1, 2, 1])).tolist() == [True, True, True]
    assert unbeaten(np.array([1.0, 1.0]), np.ones((2, 2), bool), np.array([1, 1])).tolist() == [True, False]


def run_photo(*sources, tags=(1, 2), named=("bestie", "cim", "match"), **keys):
    tables = [table([rows]) for rows in sources]
    return fused(tables, [0] * len(tables), tags, named=named[: len(tables)], maps={}, config=Config(**keys))


def test_the_agreed_mask_is_taken_and_the_disputed_one_void():
    """Two of three agree on columns 0 to 4; columns 10 to 14 are said by one alone, of a worth below its price."""
    keys = {"weight_agreement": 9, "weight_dispute": 0, "weight_score": 0, "price": 4.5, "kin": 1, "consensus": False}
    keys |= {"trust_bestie": 1, "trust_cim": 1, "trust_match": 1, "void": 0.1}
    found = run_photo([(0, 4, 1, 0.9)], [(0, 4, 1, 0.8), (10, 14, 1, 0.9)], [(1, 3, 1, 0.1)], **keys)
    assert found.category.tolist() == [1] and found.source.tolist() == [0]
    assert np.array_equal(rle.decode(found.rles, SIZE)[0], strip(0, 4))
    np.testing.assert_allclose(found.score, [1 / (1 + np.exp(4.5 - 9 * 2.5 / 3))], rtol=1e-6)  # IoU 1, 1, 0.5
    assert np.array_equal(found.void, strip(10, 14))
    assert run_photo([(0, 4, 1, 0.9)], [(0, 4, 1, 0.8)], [(10, 14, 1, 0.9)], **{**keys, "void": 1}).void is None


def test_hard_photos():
    nothing = run_photo([], [])
    assert nothing.rles == [] and nothing.score.shape == (0,) and nothing.void is None
    alone = run_photo([(0, 4, 1, 0.9), (8, 12, 1, 0.1)])  # one source: all of it, for nobody speaks against it
    assert alone.category.tolist() == [1, 1] and alone.void is None
    same = run_photo([(0, 4, 1, 0.9), (0, 5, 1, 0.9)], [(0, 4, 1, 0.9)], [(8, 12, 1, 0.9)])
    assert (rle.decode(same.rles, SIZE).sum(0) <= 1).all()
    assert run_photo([(0, 4, 1, 0.9)], [(8, 12, 2, 0.9)], tags=(2,)).category.tolist() == [2]  # of tags alone
    tables = [table([[(0, 4, 1, 0.9)]]), table([[(0, 4, 1, 0.9)]])]
    found = fused(tables, [None, 0], (1,), named=("bestie", "cim"), maps={}, config=Config())
    assert len(found.rles) == 1
    assert gathered(tables, [None, None], (1,)).rles == []


def test_the_better_one_keeps_what_is_common():
    """Columns 0 to 4; 3 to 8 less one; 2 to 4, of which nothing is left."""
    found = given((0, 4, 1, 0), (3, 8, 1, 1), (2, 4, 2, 2), (10, 12, 1, 0))
    masks = rle.decode(parted(found.rles, found.inside), SIZE)
    assert np.array_equal(masks, [strip(0, 4), strip(4, 8), strip(0, 0), strip(10, 12)])
    kept = run_photo([(0, 4, 1, 0.9)], [(3, 8, 1, 0.8)], [(0, 4, 1, 0.5)], price=1, consensus=False)
    assert np.array_equal(rle.decode(kept.rles, SIZE), [strip(0, 4), strip(4, 8)])
    assert run_photo([(0, 4, 1, 0.9)], [(3, 8, 1, 0.8)], [(0, 4, 1, 0.5)], price=1, overlap=0.2).category.tolist() == [
        1
    ]


def test_large_photos_are_looked_at_scaled_down(monkeypatch):
    """At half the size the means inside and around are the same, for every mask ends at an even column."""
    found = given((4, 8, 1, 0), (10, 14, 2, 0))
    maps = {0: strip(4, 12).astype(np.float32)}
    whole = contrasts(found, maps, margin=0.5)
    monkeypatch.setattr("stages.fuse.worth.LARGEST", 8)
    np.testing.assert_allclose(contrasts(found, {0: maps[0][::2, ::2]}, margin=0.5), whole, atol=1e-6)


def test_what_lies_beside():
    a, b = rle.encode(np.array([strip(0, 4), strip(2, 6)]))
    assert np.array_equal(beside([a], [b]), strip(0, 2))
    assert np.array_equal(beside([a, b], []), strip(0, 6))
    assert beside([], [a]) is None and beside([a], [a, b]) is None


def test_the_stage(tmp_path):
    """Three photos: both sources; one that the second source lacks; nothing."""
    names, job = ["a", "b", "c"], Job()
    index = Index.build(
        tmp_path, {1: "cat", 2: "dog"}, image_id=names, path=names, size=[SIZE] * 3, tags=[(1, 2)] * 3, train=[True] * 3
    )
    semantic = MapsBuilder(np.uint8)
    for name in names:
        semantic.add(name, SIZE, [(0, strip(0, 4).astype(np.uint8))])
    stores = {
        "index": index, "semantic": semantic.finish(),
        "bestie": table([[(0, 4, 1, 0.9)], [(4, 8, 2, 0.7)], []], names),
        "cim": table([[(0, 4, 1, 0.8), (8, 16, 2, 0.6)], []], ["a", "c"]),
    }  # fmt: skip
    files = {name: tmp_path / f"{name}.zarr.zip" for name in stores}
    for name, store in stores.items():
        store.save(files[name])
    made = fuse.run(SimpleNamespace(**files, match=[], transfer=None), Config(), job)["instances"]
    assert made.image_id == names and np.diff(made.first).tolist() == [2, 1, 0]
    assert made.category[made.rows(0)].tolist() == [1, 2] and (np.diff(made.score[made.rows(0)]) <= 0).all()
    assert np.array_equal(made.masks(1), [strip(4, 8)]) and made.categories == {1: "cat", 2: "dog"}
    assert job.numbers["photos"] == 3 and job.numbers["instances"] == 3 and not job.warnings
    empty = tmp_path / "empty.zarr.zip"
    table([[], [], []], names).save(empty)
    fuse.run(SimpleNamespace(index=files["index"], bestie=empty), Config(), job)
    assert len(job.warnings) == 1 and job.warnings[0].startswith("No photo got an instance: its sources have none of")


def test_maps_alone_are_nothing_to_fuse():
    declared = yaml.safe_load((ROOT / "config/recipes.yaml").read_text())
    declared["variants"]["fuse"]["maps"] = {"from": {"cam": "plain"}}
    declared["recipes"]["fused_maps"] = {"fuse": "maps"}
    plan = Plan.load({**declared, "dataset": {"kind": "scenes"}, "show": ["fused_maps"]})
    with pytest.raises(UserError, match=r"^fuse \(maps\) fuses nothing: name some of bestie, cim"):
        plan.look_outside()


def row(*spans):
    """RLE dicts of masks in one row of 64 pixels: (start, stop)."""
    return rle.encode(np.stack([strip(*span, size=(1, 64)) for span in spans]))


def test_halves_are_halves_whichever_mask_is_the_first():
    """14 and 25 pixels that share 7: half of the smaller one; 9 and 12 that share 7: IoU 1/2."""
    ones = np.ones(4, np.int64), np.ones(4, np.float32), np.zeros(4, np.int64)
    found = candidates(row((0, 14), (7, 32), (40, 49), (42, 54)), *ones)
    assert found.inside[0, 1] == found.inside[1, 0] == 0.5 and found.iou[2, 3] == found.iou[3, 2] == 0.5


def test_votes_of_exactly_half_are_enough_whatever_their_scale():
    """The source of half of the trust, its pixels 0 to 12, is not voted down by the two others, 0 to 10."""
    ones = np.ones(3, np.int64), np.ones(3, np.float32), np.arange(3)
    for trust in ((3, 1, 2), (0.3, 0.1, 0.2)):
        made = with_consensus(candidates(row((0, 12), (0, 10), (0, 10)), *ones), trust, at=0.5)
        assert rle.area(made.rles[3:]).tolist() == [12]


def test_a_recipe_reads_what_its_variant_names():
    """Sources and maps of `from` alone; the table says what they rest on; their networks are not this recipe's."""
    declared = yaml.safe_load((ROOT / "config/recipes.yaml").read_text())
    declared["variants"]["fuse"]["more"] = {"from": {"transfer": "points", "saliency": "u2netp"}}
    declared["recipes"]["fused_more"] = {"fuse": "more"}
    plan = Plan.load({**declared, "dataset": {"kind": "scenes"}, "show": ["fused"]})
    named = set(plan.entry("fuse", "default")["from"])
    assert set(plan.reads("fuse", "default")) == named >= {"bestie", "cim"}
    assert set(plan.reads("fuse", "more")) == {"transfer", "saliency"}
    assert recipes.supervision(plan, "fused") == "tags" and recipes.supervision(plan, "fused_more") == "points"
    assert recipes.extras(plan, "fused_more") == ["saliency of U2-Netp (trained on masks of DUTS)"]
    assert set(recipes.measured(plan, "cim")) == {"network", "proposals"}
    assert set(recipes.measured(plan, "fused")) == {"proposals"}
