"""What a stage is told about the job it runs in, and where it reports."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tag2mask.run.progress import progress

T = TypeVar("T")


@dataclass
class Job:
    """seed : int. device : "cpu" or "cuda:n". threads : torch and OpenMP threads. workers : processes that read
    photos ahead of a network on a GPU; not used on the CPU. shard, shards : this job's part. rank, ranks : which of the
    processes that train together it is, each on a device of its own; what is made is that of rank 0.

    folder : where the stage's outputs lie (only `images` writes photos there). checkpoints : folder for checkpoints
    of a learning stage, kept when the job dies and deleted when it ends; None where there is none.
    """

    seed: int = 0
    device: str = "cpu"
    devices: tuple[str, ...] = ()
    threads: int = 1
    workers: int = 0
    shard: int | None = None
    shards: int = 1
    rank: int = 0
    ranks: int = 1
    folder: Path | None = None
    checkpoints: Path | None = None
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("tag2mask"))
    warnings: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def warn(self, sentence: str) -> None:
        """A warning for the log, the manifest and the report."""
        self.log.warning(sentence)
        self.warnings.append(sentence)

    def count(self, **values: Any) -> None:
        """Numbers that follow from the inputs alone; they stand in the manifest."""
        self.numbers.update(values)

    def progress(
        self, items: Iterable[T], *, total: int | None = None, before: int = 0, unit: str = "photos", what: str = ""
    ) -> Iterator[T]:
        """`items`, with done, rate and time left shown in terminal and log. before : done by an earlier process."""
        return progress(items, total=total, before=before, unit=unit, what=what, log=self.log)
