"""What a scheduler is asked for: memory and minutes by the size of the work, cores by the devices."""

from types import SimpleNamespace

import pytest

from tag2mask.run.plan import Plan
from tag2mask.run.request import Request, cpu_threads, gpu_threads

COCO = 118_287


def ask(rule, *, photos=COCO, shards=256, gpus=1, **wildcards):
    plan = Plan.load(
        {
            "variants": {"mil": {"default": {"keep": 40}}},
            "recipes": {"a": {"graph_cut": "default"}}, "show": ["a"], "gpus": gpus,
            "dataset": {"kind": "scenes", "n_train": photos, "shards": shards},
        }
    )  # fmt: skip
    return Request(plan, rule, SimpleNamespace(**{"variant": "default"} | wildcards))


def test_memory_is_what_is_declared_or_what_so_many_photos_take():
    """1.5 kB for each of 40 nodes and 1,000 MB to spare; declared are 8,000."""
    assert [ask("graph_cut", photos=n).mem_mb for n in (10_000, 200_000)] == [8_000, 13_000]


def test_a_job_of_a_shard_holds_its_own_photos():
    """5 kB each, 2,000 MB of the job itself and 1,000 to spare; declared are 8,000, and 4,000 of what answers."""
    assert ask("bestie_train", photos=2_000_000).mem_mb == 13_000
    assert [ask("bestie", photos=2_000_000, shards=n, shard="0000").mem_mb for n in (1, 8)] == [13_000, 4_250]
    assert ask("bestie_predict", photos=2_000_000).mem_mb == 4_000  # other photos, whose number nobody knows


def test_processes_of_a_training_have_memory_of_their_own():
    assert [ask("bestie_train", photos=10, gpus=n).mem_mb for n in (0, 1, 4)] == [8_000, 8_000, 32_000]
    assert ask("bestie", photos=10, gpus=4, shard="0000").mem_mb == 4_000


def test_minutes_of_a_shard_are_for_a_thousand_photos():
    assert [ask("cam", shards=n, shard="0000").minutes for n in (256, 8)] == [60, 888]  # 118,287 / 8 x 60 / 1,000
    assert ask("evaluate", recipe="a").minutes == 179 and ask("evaluate", photos=10, recipe="a").minutes == 61


def test_the_minutes_of_the_neighbours_grow_with_the_pairs_of_nodes():
    """Ten hours of one thread at COCO's size: twice as long is asked for, and nothing to speak of for a demo."""
    few, half, all_ = (ask("graph", photos=n).minutes for n in (400, COCO // 2, COCO))
    assert few == 61 and 1_100 < all_ < 1_300 and (all_ - 60) == pytest.approx(4 * (half - 60), rel=0.01)


def test_a_dataset_whose_list_cannot_be_read_asks_for_what_is_declared(tmp_path):
    given = {"kind": "voc", "root": str(tmp_path)}
    plan = Plan.load({"recipes": {"a": {"transfer": "default"}}, "show": ["a"], "dataset": given})
    asked = Request(plan, "graph", SimpleNamespace(variant="default"))
    assert plan.photos is None and (asked.minutes, asked.mem_mb) == (60, 8_000)


def test_a_scheduler_is_asked_for_the_key_and_for_readers_of_a_device():
    assert cpu_threads(1, shared=None, real=2) == 1 and cpu_threads(4, shared=None, real=2) == 4
    asked = [gpu_threads(1, shared=None, devices=n, present=0) for n in (1, 4)]
    assert asked == [8, 32]  # whatever the machine has where it is called
    assert gpu_threads(12, shared=None, devices=1, present=0) == 12


def test_on_a_machine_jobs_share_its_cores():
    assert cpu_threads(1, shared=8, real=2) == 4  # two at once, though --cores says eight
    assert cpu_threads(16, shared=8, real=64) == 8
    assert [gpu_threads(1, shared=16, devices=n, present=4) for n in (1, 4)] == [4, 16]
    assert gpu_threads(1, shared=64, devices=1, present=1) == 8
