"""What a job asks of a machine or of a scheduler: memory and minutes by the size of its work, cores by its devices."""

import math
from dataclasses import dataclass
from typing import Any

from tag2mask.run.plan import Plan, View
from tag2mask.run.registry import Stage, dataset, of, rules

RESERVE = 1000  # MB above the most that was measured
SHARD = 1000  # photos that the minutes of a job of one shard are for
READERS = 8  # cores that read photos for a device


@dataclass(frozen=True)
class Request:
    """A job of a rule. wildcards : has variant, recipe and shard where its files are named by them."""

    plan: Plan
    rule: str
    wildcards: Any

    @property
    def view(self) -> View:
        """The variant of its stage, or the recipe that a shared stage works for."""
        variant = getattr(self.wildcards, "variant", "default")
        return self.plan.view(rules()[self.rule][0].word, variant, getattr(self.wildcards, "recipe", None))

    @property
    def photos(self) -> float:
        """Training photos that it works on; 0 where it answers others, or nobody can tell."""
        if rules()[self.rule][1] == "predict":
            return 0
        sharing = self.plan.config(dataset().word)["shards"] if hasattr(self.wildcards, "shard") else 1
        return (self.plan.photos or 0) / sharing

    @property
    def mem_mb(self) -> int:
        """MB: what the stage declares, or what it is measured to hold of so many photos, whichever is more, for every
        process of a training."""
        stage, function = rules()[self.rule]
        processes = max(1, self.plan.gpus) if function == "train" else 1
        held = RESERVE + memory_mb(stage, self.view, self.photos)
        return math.ceil(max(stage.jobs[function].mem_mb, held)) * processes

    @property
    def minutes(self) -> int:
        """What the stage declares; of a job of one shard for every SHARD of its photos, where it is a number."""
        stage, function = rules()[self.rule]
        declared = stage.jobs[function].minutes
        if callable(declared):
            return math.ceil(declared(self.view, self.photos))
        return math.ceil(declared * max(1, self.photos / SHARD if hasattr(self.wildcards, "shard") else 1))


def memory_mb(stage: Stage, view: View, photos: float) -> float:
    """MB that a process of the stage needs at most."""
    return stage.peak_mb + of(stage.memory_kb, view) * photos / 1e3


def cpu_threads(threads: int, *, shared: int | None, real: int) -> int:
    """Cores of a job on the CPU: never more such jobs at once than the machine has real cores, whatever --cores says.

    threads : the key. shared : --cores, or None where a scheduler runs the job: then it is asked for the key, for what
    the machine has where it is called says nothing of its nodes. real : cores of this machine.
    """
    return threads if shared is None else min(shared, max(threads, math.ceil(threads * shared / real)))


def gpu_threads(threads: int, *, shared: int | None, devices: int, present: int) -> int:
    """Cores of a job that has `devices`, for the photos: READERS a device, on this machine at most its share of the
    cores. threads, shared : see `cpu_threads`. present : devices of this machine.
    """
    readers = READERS if shared is None else min(READERS, shared // present)
    return max(threads, readers * devices)
